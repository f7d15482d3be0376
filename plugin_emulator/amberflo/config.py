"""Configuration of the Amberflo plugin, version 0.2 (SPEC §5)."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from plugin_emulator.documents import InvalidDocument, Problem
from plugin_emulator.plugin_entity import check_entity
from plugin_emulator.schema_check import Schema, without_nulls

#: The name on Kong's page, and the one in the plugin's own repository (SPEC AMB-14).
PLUGIN_NAMES = ("amberflo", "metering")


@dataclass(frozen=True, slots=True)
class AmberfloConfig:
    """Settings of one plugin instance.

    ``dimension_headers`` has (dimension, header) pairs, ``replacements`` (old, new) pairs; a dimension whose name is
    empty is off. ``interval`` is in seconds. The key is a secret and in no ``repr``.
    """

    api_key: str = field(repr=False)
    meter_api_name: str
    customer_header: str
    interval: int = 1
    batch_size: int = 10
    debug: bool = False
    method_dimension: str = ""
    host_dimension: str = ""
    route_dimension: str = ""
    service_dimension: str = ""
    dimension_headers: tuple[tuple[str, str], ...] = ()
    replacements: tuple[tuple[str, str], ...] = (("/", ":"),)


@functools.cache
def config_schema() -> Schema:
    """Return the schema of ``config``."""
    return Schema.read(Path(__file__).parent / "schemas" / "config.json")


def load_config(config: Any) -> AmberfloConfig:
    """Return the typed form of ``config`` with every default filled in. Raises InvalidDocument with every problem."""
    problems = config_schema().check(config)
    if problems:
        raise InvalidDocument(problems)
    given = without_nulls(config, config_schema().definition)
    properties = config_schema().definition["properties"]
    values = {name: part["default"] for name, part in properties.items() if "default" in part} | given
    return AmberfloConfig(
        api_key=values["apiKey"],
        meter_api_name=values["meterApiName"],
        customer_header=values["customerHeader"],
        interval=int(values["intervalSeconds"]),
        batch_size=int(values["batchSize"]),
        debug=values["debug"],
        method_dimension=values.get("methodDimension", ""),
        host_dimension=values.get("hostDimension", ""),
        route_dimension=values.get("routeDimension", ""),
        service_dimension=values.get("serviceDimension", ""),
        dimension_headers=tuple(values.get("dimensionHeaders", {}).items()),
        replacements=tuple(values["replacements"].items()),
    )


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
