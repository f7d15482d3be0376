"""The plugin entity of metering-and-billing (SPEC CFG-9, CFG-10)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from plugin_emulator.documents import Problem
from plugin_emulator.metering_and_billing.config import PLUGIN_NAME, config_schema, validate_config
from plugin_emulator.plugin_entity import check_entity


def validate_plugin(entity: Any, gateway: str) -> list[Problem]:
    """Return what is wrong in a metering-and-billing plugin entity, ``config`` included.

    Pointers are relative to the entity, each problem says what to do. Raises ValueError for a gateway version that
    is not one of GATEWAY_VERSIONS.
    """
    config_schema(gateway)
    problems = check_entity(entity, gateway)
    if not isinstance(entity, dict):
        return problems
    name = entity.get("name")
    if isinstance(name, str) and name and name != PLUGIN_NAME:
        problems.append(Problem("is not the metering plugin", ("name",), f"write name: {PLUGIN_NAME}"))
    config = entity.get("config")
    if config is None:
        problems.append(
            Problem("required field is missing", ("config",), "add it with at least ingest_endpoint and api_token")
        )
    elif isinstance(config, dict):
        problems += [
            replace(problem, pointer=("config", *problem.pointer)) for problem in validate_config(config, gateway)
        ]
    return problems
