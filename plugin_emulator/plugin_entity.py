"""The plugin entity: what stands beside ``config``, the same for every plugin (SPEC CFG-9, CFG-10)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plugin_emulator.conditions import InvalidCondition, compile_condition
from plugin_emulator.documents import Problem
from plugin_emulator.schema_check import Schema

ENTITY_SCHEMA = Schema.read(Path(__file__).parent / "schemas" / "plugin-entity.json")
DEFAULT_PROTOCOLS = ("grpc", "grpcs", "http", "https")
_NO_GROUP_SCOPE = Problem(
    "consumer groups are no scope of this plugin",
    ("consumer_group",),
    "use service, route or consumer, or none for all",
)


def check_entity(entity: Any, gateway: str) -> list[Problem]:
    """Return what is wrong in a plugin entity of any name, its ``config`` left unread.

    Pointers are relative to the entity. ``gateway`` is the version whose language a ``condition`` is in (SPEC CND-5).
    A ``consumer_group`` is refused: the plugin has no such scope.
    """
    problems = ENTITY_SCHEMA.check(entity)
    problems = [_NO_GROUP_SCOPE if problem.pointer == ("consumer_group",) else problem for problem in problems]
    condition = entity.get("condition") if isinstance(entity, dict) else None
    if isinstance(condition, str) and not any(problem.pointer == ("condition",) for problem in problems):
        try:
            compile_condition(condition, gateway)
        except InvalidCondition as error:
            problems.append(error.problem())
    return problems
