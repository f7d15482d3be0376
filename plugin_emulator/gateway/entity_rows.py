"""Entities as rows: plain data with every field, as Kong keeps them in its database and gives them back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plugin_emulator.gateway.entities import DeclaredEntity
from plugin_emulator.gateway.entity_forms import EMULATED_PLUGINS, NESTED, plugin_config_schema, url_fields
from plugin_emulator.plugin_entity import DEFAULT_PROTOCOLS

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EntityKind:
    """One kind of entity.

    ``path`` is its collection in the Admin API, ``key`` the field that stands for the id in a path. Each field of
    ``unique`` has a value only one of them has; ``foreign`` are fields that refer to another kind. ``defaults`` are
    all further fields with what they are when not given.
    """

    name: str
    path: str
    key: str
    unique: tuple[str, ...]
    foreign: Mapping[str, str]
    defaults: Mapping[str, Any]


_TIMEOUT = 60_000
ENTITY_KINDS: dict[str, EntityKind] = {
    kind.name: kind
    for kind in (
        EntityKind(
            "services",
            "services",
            "name",
            ("name",),
            {},
            {
                "name": None,
                "retries": 5,
                "protocol": "http",
                "host": None,
                "port": 80,
                "path": None,
                "connect_timeout": _TIMEOUT,
                "write_timeout": _TIMEOUT,
                "read_timeout": _TIMEOUT,
                "tags": None,
                "client_certificate": None,
                "tls_verify": None,
                "tls_verify_depth": None,
                "ca_certificates": None,
                "enabled": True,
            },
        ),
        EntityKind(
            "routes",
            "routes",
            "name",
            ("name",),
            {"service": "services"},
            {
                "name": None,
                "protocols": ["http", "https"],
                "methods": None,
                "hosts": None,
                "paths": None,
                "headers": None,
                "snis": None,
                "sources": None,
                "destinations": None,
                "https_redirect_status_code": 426,
                "regex_priority": 0,
                "strip_path": True,
                "path_handling": "v0",
                "preserve_host": False,
                "request_buffering": True,
                "response_buffering": True,
                "tags": None,
            },
        ),
        EntityKind(
            "consumers",
            "consumers",
            "username",
            ("username", "custom_id"),
            {},
            {"username": None, "custom_id": None, "tags": None},
        ),
        EntityKind(
            "keyauth_credentials",
            "key-auths",
            "key",
            ("key",),
            {"consumer": "consumers"},
            {"key": None, "tags": None},
        ),
        EntityKind(
            "plugins",
            "plugins",
            "instance_name",
            ("instance_name",),
            {"route": "routes", "service": "services", "consumer": "consumers"},
            {
                "name": None,
                "instance_name": None,
                "config": None,
                "protocols": list(DEFAULT_PROTOCOLS),
                "enabled": True,
                "condition": None,
                "tags": None,
            },
        ),
    )
}
_WHOLE_NUMBERS = frozenset(
    {
        "retries",
        "port",
        "connect_timeout",
        "write_timeout",
        "read_timeout",
        "https_redirect_status_code",
        "regex_priority",
    }
)


def complete_row(kind: str, fields: Mapping[str, Any], gateway: str, *, now: int) -> Row:
    """Return the row of a sound entity: ``fields`` (its ``id`` among them, references as ``{"id": …}``) and defaults.

    ``now`` is the time, in whole seconds, that it is made or changed.
    """
    meta = ENTITY_KINDS[kind]
    given = {name: value for name, value in fields.items() if value is not None}
    if "url" in given:
        given |= url_fields(given.pop("url"))
    row: Row = {"id": given["id"], "created_at": given.get("created_at", now)}
    if kind != "keyauth_credentials":
        row["updated_at"] = now
    for name, default in meta.defaults.items():
        value = given.get(name)
        row[name] = copy.deepcopy(default) if value is None else value
    for name in meta.foreign:
        row[name] = given.get(name)
    for name in _WHOLE_NUMBERS & row.keys():
        row[name] = int(row[name])
    if kind == "plugins" and row["name"] in EMULATED_PLUGINS:
        row["config"] = _filled(plugin_config_schema(row["name"], gateway), row["config"] or {})
    return row


def declared_row(declared: DeclaredEntity, gateway: str, *, now: int) -> Row:
    """Return the row of an entity of a state file."""
    nested = NESTED.get(declared.kind, ())
    fields = {name: value for name, value in declared.fields.items() if name not in nested}
    for name in ENTITY_KINDS[declared.kind].foreign:
        referred = getattr(declared.entity, name)
        fields[name] = None if referred is None else {"id": referred.id}
    fields["id"] = declared.entity.id
    if declared.entity.tags:
        fields["tags"] = list(declared.entity.tags)
    return complete_row(declared.kind, fields, gateway, now=now)


def merged_fields(kind: str, row: Row, changes: Mapping[str, Any], gateway: str) -> dict[str, Any]:
    """Return a row's fields with ``changes`` made to them: records are merged, everything else is replaced."""
    changed = dict(changes)
    if kind == "services" and isinstance(changed.get("url"), str):
        # The URL as a whole takes the place of what it is made of.
        row = {name: value for name, value in row.items() if name not in ("protocol", "host", "port", "path")}
    merged = {**row, **changed}
    before, after = row.get("config"), changed.get("config")
    if kind == "plugins" and isinstance(after, dict) and merged["name"] == row["name"]:
        merged["config"] = _merged(plugin_config_schema(row["name"], gateway), before or {}, after)
    return merged


def _filled(schema: Mapping[str, Any], value: Any) -> Any:
    """Return ``value`` with every field its schema has, records within it made even when they are not given."""
    if isinstance(value, dict) and "properties" in schema:
        return {name: _filled_field(part, value.get(name)) for name, part in schema["properties"].items()}
    if isinstance(value, list) and "items" in schema:
        return [_filled(schema["items"], item) for item in value]
    if isinstance(value, float) and value.is_integer() and schema.get("type") == "integer":
        return int(value)
    return value


def _filled_field(schema: Mapping[str, Any], value: Any) -> Any:
    if value is None and "default" in schema:
        return copy.deepcopy(schema["default"])
    return _filled(schema, {} if value is None and "properties" in schema else value)


def _merged(schema: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**before, **after}
    for name, part in schema.get("properties", {}).items():
        one, other = before.get(name), after.get(name)
        if "properties" in part and isinstance(one, dict) and isinstance(other, dict):
            merged[name] = _merged(part, one, other)
    return merged
