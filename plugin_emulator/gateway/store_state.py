"""The gateway state an entity store stands for."""

from __future__ import annotations

from collections.abc import Mapping
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
from plugin_emulator.gateway.entity_forms import KEY_AUTH, route_of, service_of
from plugin_emulator.gateway.entity_rows import ENTITY_KINDS, Row
from plugin_emulator.gateway.entity_store import EntityStore
from plugin_emulator.gateway.key_auth_config import load_key_auth
from plugin_emulator.gateway.metering_references import look_up_references
from plugin_emulator.metering_and_billing.config import load_config

_Parents = dict[str, Entity | None]
#: a row, the parents it was built with, what it became, and its warnings
_Built = tuple[Row, tuple[Entity | None, ...], Entity, list[Problem]]


class StateBuilder:
    """Builds states for one gateway version; ``environ`` resolves vault references.

    What has not changed since the state before is taken over from it, so that one write to a large store costs
    little.
    """

    def __init__(self, gateway: str, environ: Mapping[str, str]) -> None:
        self._gateway = gateway
        self._environ = environ
        self._built: dict[tuple[str, str], _Built] = {}

    def build(self, store: EntityStore) -> GatewayState:
        """Return the state of ``store``; its warnings are those of what was not there before.

        Raises InvalidDocument, with pointers relative to the entity at fault.
        """
        built: dict[tuple[str, str], _Built] = {}
        entities: dict[str, dict[str, Any]] = {}
        warnings: list[Problem] = []
        for kind in ENTITY_KINDS:
            entities[kind] = {}
            for own_id, row in store.rows[kind].items():
                foreign = ENTITY_KINDS[kind].foreign
                parents: _Parents = {
                    name: entities[referred][row[name]["id"]] if row[name] else None
                    for name, referred in foreign.items()
                }
                known = self._built.get((kind, own_id))
                same = known is not None and known[0] is row
                if known is None or not same or any(map(_differ, known[1], parents.values())):
                    entity, found = self._entity(kind, row, parents)
                    known = (row, tuple(parents.values()), entity, found)
                    warnings += found
                built[kind, own_id] = known
                entities[kind][own_id] = known[2]
        self._built = built
        return GatewayState(
            services=tuple(entities["services"].values()),
            routes=tuple(entities["routes"].values()),
            consumers=tuple(entities["consumers"].values()),
            credentials=tuple(entities["keyauth_credentials"].values()),
            plugins=tuple(entities["plugins"].values()),
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
        if row["name"] == KEY_AUTH:
            config: Any = load_key_auth(row["config"])
        else:
            config, warnings = look_up_references(load_config(row["config"], self._gateway), self._environ)
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


def _differ(one: Entity | None, other: Entity | None) -> bool:
    return one is not other
