"""What the gateway under test is configured with: a state of the test's own, or the example with one plugin."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.conformance.state import EXAMPLE, METERING
from harness.plugin_config.entity import PluginEntity, references
from harness.plugin_config.intent_document import entity_of_intent
from plugin_emulator.documents import Document, InvalidDocument, Problem
from plugin_emulator.gateway.references import render_environment

_TOKEN_VARIABLE = re.compile(r"""api_token["']?\s*:\s*["']?\$\{\{\s*env\s+["'`](DECK_[A-Za-z0-9_]+)["'`]""")

State = dict[str, Any]


def read_state(source: Mapping[str, Any] | str | os.PathLike[str], token: str) -> State:
    """Return a decK or DB-less state: data, a file's, or YAML or JSON text (more than one line, or ``{``).

    ``${{ env "DECK_…" }}`` is filled in from the environment; where it stands for the metering plugin's token and is
    not set, with ``token``. Raises InvalidDocument.
    """
    if isinstance(source, Mapping):
        return copy.deepcopy(dict(source))
    text, file = _text(source)
    environ = dict.fromkeys(_TOKEN_VARIABLE.findall(text), token) | dict(os.environ)
    document = render_environment(text, environ, file).parse(file)
    if not isinstance(document.data, dict):
        raise InvalidDocument([Problem("is no state file: expected an object", file=file)])
    return document.data


def point_at(state: State, endpoint: str, token: str) -> None:
    """Send the events of every metering plugin in ``state``, nested ones too, to ``endpoint``."""
    for plugin in _plugins(state):
        if plugin.get("name") == METERING:
            config = plugin["config"] = dict(plugin.get("config") or {})
            config["ingest_endpoint"], config["api_token"] = endpoint, token


def example_state(plugin: Mapping[str, Any], *, key_auth: bool, upstream: str | None) -> State:
    """Return the tutorial's Service, Route and Consumer with ``plugin``; ``upstream`` is the Service's URL."""
    state: State = {"_format_version": "3.0", **copy.deepcopy({kind: list(each) for kind, each in EXAMPLE.items()})}
    service = state["services"][0]
    if upstream is not None:
        service["url"] = upstream
    state["plugins"] = [dict(plugin)]
    if key_auth:
        options = {"key_names": ["apikey"]}
        state["plugins"].append({"name": "key-auth", "service": service["name"], "config": options})
    return state


def metering_plugin(intent: Mapping[str, Any], endpoint: str, token: str) -> dict[str, Any]:
    """Return the plugin entity that an intent (docs/config.md) means, sending to ``endpoint``.

    Raises InvalidDocument for what cannot be meant.
    """
    data = {name: value for name, value in intent.items() if value is not None}
    config = {"ingest_endpoint": endpoint, "api_token": token, **data.pop("config", {})}
    entity, _ = entity_of_intent(Document({**data, "config": config}, {}))
    for _, reference in references(entity.config):
        problem = Problem(f"{reference.name} is left open", hint="write the value itself: it is applied at once")
        raise InvalidDocument([problem])
    return _as_declared(entity)


def _as_declared(entity: PluginEntity) -> dict[str, Any]:
    declared: dict[str, Any] = {"name": entity.name, "config": entity.config, "enabled": entity.enabled}
    declared |= {kind: name for kind, name in entity.scope.items() if name is not None}
    optional = {"instance_name": entity.instance_name, "condition": entity.condition, "ordering": entity.ordering}
    declared |= {name: value for name, value in optional.items() if value is not None}
    if entity.tags:
        declared["tags"] = list(entity.tags)
    return {**declared, "protocols": list(entity.protocols)}


def _plugins(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        for name, part in value.items():
            if name == "plugins" and isinstance(part, list):
                yield from (plugin for plugin in part if isinstance(plugin, dict))
            elif name != "config":
                yield from _plugins(part)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for part in value:
            yield from _plugins(part)


def _text(source: str | os.PathLike[str]) -> tuple[str, str | None]:
    if isinstance(source, str) and ("\n" in source or source.lstrip().startswith("{")):
        return source, None
    path = Path(source)
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except OSError as error:
        raise InvalidDocument([Problem(f"cannot be read: {error.strerror}", file=str(path))]) from None
    except UnicodeDecodeError as error:
        raise InvalidDocument([Problem(f"is not UTF-8 text (byte {error.start})", file=str(path))]) from None
