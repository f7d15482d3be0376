"""The gateway state an entity store stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plugin_emulator.conditions import compile_condition
from plugin_emulator.documents import Problem
from plugin_emulator.gateway.entities import (
    Consumer,
    Entity,
    GatewayState,
    KeyAuthCredential,
    PluginInstance,
    Route,
    Service,
)
from plugin_emulator.gateway.entity_forms import route_of, service_of
from plugin_emulator.gateway.entity_rows import ENTITY_KINDS, Row
from plugin_emulator.gateway.entity_store import EntityStore
from plugin_emulator.gateway.gateway_plugins import GATEWAY_PLUGINS
from plugin_emulator.gateway.metering_references import load_metering

_Parents = dict[str, Entity | None]


@dataclass(frozen=True, slots=True)
class _Table:
    """The rows of a kind and, by id, what they became."""

    rows: Mapping[str, Row]
    entities: dict[str, Any]


class StateBuilder:
    """Builds states for one gateway version; ``environ`` resolves vault references.

    What has not changed since the state before is taken over from it, so that one write to a large store costs
    little.
    """

    def __init__(self, gateway: str, environ: Mapping[str, str]) -> None:
        self._gateway = gateway
        self._environ = environ
        self._tables = {kind: _Table({}, {}) for kind in ENTITY_KINDS}

    def build(self, store: EntityStore) -> GatewayState:
        """Return the state of ``store``; its warnings are those of what was not there before.

        Raises InvalidDocument, with pointers relative to the entity at fault.
        """
        tables: dict[str, _Table] = {}
        changed: dict[str, set[str]] = {kind: set() for kind in ENTITY_KINDS}
        warnings: list[Problem] = []
        for kind, meta in ENTITY_KINDS.items():
            before, rows = self._tables[kind], store.rows[kind]
            moved = {name: changed[referred] for name, referred in meta.foreign.items() if changed[referred]}
            if before.rows is rows and not moved:
                tables[kind] = before
                continue
            entities: dict[str, Any] = {}
            tables[kind] = _Table(rows, entities)
            for own_id, row in rows.items():
                known = before.entities.get(own_id)
                if known is not None:
                    if before.rows[own_id] is row and not _refers(row, moved):
                        entities[own_id] = known
                        continue
                    changed[kind].add(own_id)
                parents: _Parents = {
                    name: tables[referred].entities[row[name]["id"]] if row[name] else None
                    for name, referred in meta.foreign.items()
                }
                entities[own_id], found = self._entity(kind, row, parents)
                warnings += found
        self._tables = tables
        every = {kind: tuple(table.entities.values()) for kind, table in tables.items()}
        return GatewayState(
            services=every["services"],
            routes=every["routes"],
            consumers=every["consumers"],
            credentials=every["keyauth_credentials"],
            plugins=every["plugins"],
            warnings=tuple(warnings),
        )

    def _entity(self, kind: str, row: Row, parents: _Parents) -> tuple[Entity, list[Problem]]:
        fields = {name: value for name, value in row.items() if value is not None}
        tags = tuple(fields.get("tags", ()))
        match kind:
            case "services":
                return service_of(fields, row["id"], tags), []
            case "routes":
                service = parents["service"]
                assert service is None or isinstance(service, Service)
                return route_of(fields, row["id"], tags, service), []
            case "consumers":
                return Consumer(row["id"], row["username"], row["custom_id"], tags), []
            case "keyauth_credentials":
                consumer = parents["consumer"]
                assert isinstance(consumer, Consumer)
                return KeyAuthCredential(row["id"], row["key"], consumer, tags), []
            case _:
                return self._plugin(row, parents, tags)

    def _plugin(self, row: Row, parents: _Parents, tags: tuple[str, ...]) -> tuple[Entity, list[Problem]]:
        service, route, consumer = parents["service"], parents["route"], parents["consumer"]
        assert service is None or isinstance(service, Service)
        assert route is None or isinstance(route, Route)
        assert consumer is None or isinstance(consumer, Consumer)
        warnings: list[Problem] = []
        if row["name"] in GATEWAY_PLUGINS:
            config: Any = GATEWAY_PLUGINS[row["name"]].load(row["config"])
        else:
            config, warnings = load_metering(row["name"], row["config"], self._gateway, self._environ)
        condition = row["condition"]
        instance = PluginInstance(
            id=row["id"],
            name=row["name"],
            config=config,
            enabled=row["enabled"],
            instance_name=row["instance_name"],
            protocols=tuple(row["protocols"]),
            service=service,
            route=route,
            consumer=consumer,
            condition=None if condition is None else compile_condition(condition, self._gateway),
            tags=tags,
        )
        return instance, warnings


def _refers(row: Row, moved: Mapping[str, set[str]]) -> bool:
    """Return whether a row refers, with one of these fields, to one of these ids."""
    return any(row[name] is not None and row[name]["id"] in ids for name, ids in moved.items())
