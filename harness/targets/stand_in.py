"""The stand-in for Kong's plugin, as a target runs it: its files, what it cannot do, how exact its clock is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import resources
from harness.targets.limits import Limits
from harness.targets.target import TargetUnavailableError

PLUGIN_NAME = "metering-and-billing"
#: The profile whose plugin it stands in for.
PROFILE = "kong-3.16"
#: Where its folder is put in a container, as Kong's Lua path is told.
LUA_FOLDER = "/opt/kong-metering"
#: Seconds by which the time of its events may be off: nginx keeps its clock in milliseconds, and looks at it once for
#: all that it finds to do.
CLOCK_TOLERANCE = 0.005

_VERSION_SUFFIX = "-stand-in"
_NO_PORTAL = "open-source Kong has no Dev Portal, so the stand-in plugin knows no application"
_NO_CONDITION = "open-source Kong, where the stand-in plugin runs, has no conditions"
_NO_ORDERING = "open-source Kong, where the stand-in plugin runs, has no ordering"
_NO_KONNECT = "open-source Kong, where the stand-in plugin runs, belongs to no control plane of Konnect"


def runs_the_stand_in(information: Mapping[str, Any]) -> bool:
    """Return whether a gateway that tells this of itself at ``/`` has the stand-in, whose version says so."""
    plugins = information.get("plugins")
    available = plugins.get("available_on_server") if isinstance(plugins, dict) else None
    plugin = available.get(PLUGIN_NAME) if isinstance(available, dict) else None
    return isinstance(plugin, dict) and str(plugin.get("version")).endswith(_VERSION_SUFFIX)


def stand_in_files() -> dict[str, bytes]:
    """Return the plugin by path in the container. Raises TargetUnavailableError when it is not there."""
    folder = resources.fixtures() / "kong" / "plugins" / PLUGIN_NAME
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.lua"))}
    if not {"handler.lua", "schema.lua"} <= files.keys():
        raise TargetUnavailableError(f"the stand-in plugin is not complete: handler.lua and schema.lua in {folder}")
    return {f"{LUA_FOLDER}/kong/plugins/{PLUGIN_NAME}/{name}": content for name, content in files.items()}


def stand_in_limits(profile: str) -> Limits:
    """Return what the plugin cannot do when it is judged by ``profile`` (``kong-3.14``)."""
    rules = {
        "CFG-8": "the stand-in plugin refuses an old field name as unknown, and does not give the current one",
        **{f"CND-{number}": _NO_CONDITION for number in range(1, 7)},
        "FLT-6": _NO_CONDITION,
    }
    if profile != PROFILE:
        rules["CFG-7"] = f"the stand-in plugin takes the fields of {PROFILE}, whatever the profile"
    portal = ("application_id", "portal_id", "api_id", "api_package_id", "api_product_version_id")
    return Limits(
        rules=rules,
        plugin_fields={"condition": _NO_CONDITION, "ordering": _NO_ORDERING},
        subject_sources={"application": _NO_PORTAL},
        event_fields={**dict.fromkeys(portal, _NO_PORTAL), "control_plane_id": _NO_KONNECT},
    )
