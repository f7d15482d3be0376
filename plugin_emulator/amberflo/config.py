"""Configuration of the Amberflo plugin, version 0.2 (SPEC §5)."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

from plugin_emulator.documents import Problem
from plugin_emulator.plugin_entity import check_entity
from plugin_emulator.schema_check import Schema

#: The name on Kong's page, and the one in the plugin's own repository (SPEC AMB-14).
PLUGIN_NAMES = ("amberflo", "metering")


@functools.cache
def config_schema() -> Schema:
    """Return the schema of ``config``."""
    return Schema.read(Path(__file__).parent / "schemas" / "config.json")


def validate_plugin(entity: Any, gateway: str) -> list[Problem]:
    """Return what is wrong in an Amberflo plugin entity, ``config`` included; pointers are relative to the entity.

    The plugin's settings are the same for every gateway version; the language of its ``condition`` is not.
    """
    problems = check_entity(entity, gateway)
    if not isinstance(entity, dict):
        return problems
    name = entity.get("name")
    if isinstance(name, str) and name and name not in PLUGIN_NAMES:
        problems.append(Problem("is not the Amberflo plugin", ("name",), f"write name: {PLUGIN_NAMES[0]}"))
    config = entity.get("config")
    if config is None:
        hint = "add it with at least apiKey, meterApiName and customerHeader"
        problems.append(Problem("required field is missing", ("config",), hint))
    elif isinstance(config, dict):
        problems += [
            replace(problem, pointer=("config", *problem.pointer)) for problem in config_schema().check(config)
        ]
    return problems
