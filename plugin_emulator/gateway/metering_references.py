"""A metering plugin's configuration as loaded by a gateway: vault references are looked up once for all requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from plugin_emulator.documents import InvalidDocument, Problem
from plugin_emulator.gateway.references import UnresolvedReference, resolve_vault_reference
from plugin_emulator.gateway_versions import NEWEST_GATEWAY
from plugin_emulator.http_url import is_http_url
from plugin_emulator.metering_plugins import BY_NAME as METERING
from plugin_emulator.metering_plugins import METERING_PLUGINS
from plugin_emulator.vault_reference import is_vault_reference

_Fields = Mapping[str, Mapping[str, Any]]


def _referenceable(plugin: str, gateway: str) -> _Fields:
    """Return the fields of a plugin's ``config`` that may be references, with their schemas."""
    properties: _Fields = METERING[plugin].config_schema(gateway).definition["properties"]
    return {name: schema for name, schema in properties.items() if schema.get("x-referenceable")}


#: Names of all fields of a ``config`` that may be references.
REFERENCEABLE = frozenset(
    name for plugin in METERING_PLUGINS for name in _referenceable(plugin.names[0], NEWEST_GATEWAY)
)


def load_metering(plugin: str, config: Any, gateway: str, environ: Mapping[str, str]) -> tuple[Any, list[Problem]]:
    """Return the typed form of a metering plugin's ``config``, references replaced by their values, and warnings.

    What cannot be found is empty, as for Kong. Pointers are relative to the plugin. No message quotes a value. Raises
    InvalidDocument for a ``config`` that is not valid and for a vault that is not emulated.
    """
    loaded = METERING[plugin].load(config, gateway)
    warnings = []
    for name, schema in _referenceable(plugin, gateway).items():
        text = config[name]
        if not is_vault_reference(text):
            continue
        at = ("config", name)
        try:
            value = resolve_vault_reference(text, environ)
        except UnresolvedReference as reason:
            value = ""
            message = f"{reason}: the gateway goes on with an empty value"
            warnings.append(Problem(message, at, "set it before the gateway starts"))
        except LookupError as reason:
            hint = "use the environment: {vault://env/NAME}"
            raise InvalidDocument([Problem(str(reason.args[0]), at, hint)]) from None
        if schema.get("format") == "uri" and value and not is_http_url(value):
            message = "resolves to something that is not an http(s) URL"
            warnings.append(Problem(message, at, "correct the variable's value"))
        loaded = replace(loaded, **{name: value})
    return loaded, warnings
