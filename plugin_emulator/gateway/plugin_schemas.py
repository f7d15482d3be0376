"""Plugin schemas in Kong's own language of schemas, as ``/schemas/plugins/{name}`` shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plugin_emulator.gateway.entity_forms import plugin_config_schema
from plugin_emulator.gateway.gateway_plugins import AI_PROXY, KEY_AUTH
from plugin_emulator.plugin_entity import DEFAULT_PROTOCOLS


def plugin_schema(plugin: str, gateway: str) -> dict[str, Any]:
    """Return the schema of an emulated plugin in a gateway version. Raises ValueError for another plugin."""
    protocols = {
        "default": list(DEFAULT_PROTOCOLS),
        "required": True,
        "elements": {"type": "string", "one_of": list(DEFAULT_PROTOCOLS)},
        "type": "set",
        "description": "Protocols of the requests it runs for.",
    }
    config = {**_field(plugin_config_schema(plugin, gateway)), "required": True}
    config.pop("description", None)
    fields: list[dict[str, Any]] = [{"protocols": protocols}, {"config": config}]
    if plugin in (KEY_AUTH, AI_PROXY):
        description = "It runs for every Consumer."
        consumer = {"eq": None, "reference": "consumers", "type": "foreign", "description": description}
        fields.insert(0, {"consumer": consumer})
    return {"entity_checks": [], "fields": fields}


def _field(schema: Mapping[str, Any], *, required: bool = False) -> dict[str, Any]:
    field: dict[str, Any] = {}
    match schema["type"]:
        case "object" if "properties" not in schema:
            field |= {"type": "map", "keys": {"type": "string"}, "values": _field(schema["additionalProperties"])}
        case "object":
            wanted = schema.get("required", ())
            fields = [{name: _field(part, required=name in wanted)} for name, part in schema["properties"].items()]
            field |= {"type": "record", "fields": fields}
        case "array":
            field |= {"type": "array", "elements": _field(schema["items"])}
        case simple:
            field["type"] = simple
    for name, own_name in (("description", "description"), ("default", "default"), ("enum", "one_of")):
        if name in schema:
            field[own_name] = schema[name]
    if "minimum" in schema and "maximum" in schema:
        field["between"] = [schema["minimum"], schema["maximum"]]
    if schema.get("x-referenceable"):
        field["referenceable"] = True
    # What has a default cannot be emptied; numbers can, and then mean "no limit".
    if required or ("default" in schema and schema["type"] in ("boolean", "array")):
        field["required"] = True
    return field
