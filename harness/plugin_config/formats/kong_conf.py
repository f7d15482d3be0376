"""``kong-conf``: how the gateway comes by a plugin that is not bundled with it: settings, and steps to install it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ..entity import PluginEntity
from ..plugin_kinds import plugin_kind
from .format import CannotExpress, Limit, OutputFile, RenderOptions

_FOLDER = "/usr/local/bin"


class KongConf:
    """Lines for the gateway's ``kong.conf``, and a script that installs the plugin's server."""

    name = "kong-conf"
    title = "kong.conf lines and installation steps of a plugin that runs in a server of its own"
    limits: Sequence[Limit] = (
        Limit("config", "it installs the plugin; its configuration goes into another format"),
        Limit("metering-and-billing", "it is bundled with the gateway: there is nothing to install"),
    )

    def render(self, entities: Sequence[PluginEntity], options: RenderOptions) -> list[OutputFile]:
        """Return ``kong.conf`` and ``install.sh``. Raises CannotExpress for a plugin without a server."""
        names = sorted({entity.name for entity in entities})
        for name in names:
            if _server(name) is None:
                advice = "leave this format out; the gateway needs no setting for it"
                raise CannotExpress(self.name, "name", f"{name} is bundled with the gateway", advice)
        return [OutputFile("kong.conf", _settings(names)), OutputFile("install.sh", _steps(names))]


FORMAT = KongConf()


def _server(name: str) -> tuple[str, str] | None:
    kind = plugin_kind(name)
    return None if kind is None or kind.server is None else (kind.server.module, kind.server.binary)


def _settings(names: Sequence[str]) -> str:
    lines = [f"plugins = bundled,{','.join(names)}", "", f"pluginserver_names = {','.join(names)}"]
    for name in names:
        program = f"{_FOLDER}/{name}"
        lines += [
            "",
            f"pluginserver_{name}_start_cmd = {program}",
            f"pluginserver_{name}_query_cmd = {program} -dump",
        ]
    return "\n".join(lines) + "\n"


def _steps(names: Sequence[str]) -> str:
    lines = ["#!/bin/sh", "# Run where the gateway runs, with Go at hand and the lines in its kong.conf.", "set -eu"]
    for name in names:
        server = _server(name)
        assert server is not None
        module, binary = server
        lines += [
            f"GOBIN=/tmp go install {shlex.quote(module)}@latest",
            f"mv /tmp/{shlex.quote(binary)} {_FOLDER}/{shlex.quote(name)}",
        ]
    return "\n".join([*lines, "kong restart"]) + "\n"
