"""``POST /config?flatten_errors=1``: what is wrong, entity by entity, as decK and the Ingress Controller read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plugin_emulator.documents import Pointer, Problem
from plugin_emulator.gateway.admin_errors import invalid_configuration
from plugin_emulator.gateway.entity_forms import NESTED
from plugin_emulator.gateway.kong_messages import entity_at

_TOLD = ("id", "name", "tags")


def flattened_configuration_errors(data: Any, problems: Iterable[Problem]) -> dict[str, Any]:
    """Return the body of a 400 for the configuration ``data`` with these problems, told as the gateway tells them.

    Each unsound entity is an item of ``flattened_errors``, once; ``fields`` has only what belongs to no entity.
    """
    entities: dict[Pointer, dict[str, Any]] = {}
    elsewhere = []
    for problem in problems:
        kind, entity, under = entity_at(data, problem.pointer)
        if kind is None or not isinstance(entity, dict):
            elsewhere.append(problem)
            continue
        item = entities.setdefault(under, _item(kind, entity))
        item["errors"].append(_error(problem, problem.pointer[len(under) :]))
    # An empty table of Lua is an object in JSON.
    return {**invalid_configuration(elsewhere), "flattened_errors": list(entities.values()) or {}}


def _item(kind: str, entity: dict[str, Any]) -> dict[str, Any]:
    """Return an entity without errors yet; the entities inside it are items of their own."""
    own = {name: value for name, value in entity.items() if name not in NESTED.get(kind, ())}
    told = {f"entity_{name}": entity[name] for name in _TOLD if entity.get(name) is not None}
    return {"entity_type": kind.removesuffix("s"), **told, "entity": own, "errors": []}


def _error(problem: Problem, place: Pointer) -> dict[str, str]:
    message = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
    if place in ((), ("@entity",)):
        return {"type": "entity", "message": message}
    # Places of a list count from 1.
    field = ".".join(str(part + 1) if isinstance(part, int) else part for part in place)
    return {"type": "field", "field": field, "message": message}
