"""Configuration of the metering-and-billing plugin (SPEC CFG-1 to CFG-8)."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from plugin_emulator.documents import InvalidDocument, Problem
from plugin_emulator.gateway_versions import GATEWAY_VERSIONS as GATEWAY_VERSIONS
from plugin_emulator.gateway_versions import NEWEST_GATEWAY as NEWEST_GATEWAY
from plugin_emulator.http_url import is_http_url as is_http_url
from plugin_emulator.queue.settings import QueueSettings
from plugin_emulator.schema_check import Schema, without_nulls
from plugin_emulator.vault_reference import is_vault_reference as is_vault_reference

PLUGIN_NAME = "metering-and-billing"

_SCHEMA_FILE = Path(__file__).parent / "schemas" / "config.json"
_STATUS_RANGE = re.compile(r"([0-9]{3})(?:-([0-9]{3}))?")


@dataclass(frozen=True, slots=True)
class SubjectSource:
    """Where the billed party's name stands (SPEC CFG-5, SUB-1 to SUB-5).

    ``field`` is a header's or parameter's name, or a field of the Consumer or application; None is accepted even
    where nothing can then be found.
    """

    look_up_value_in: Literal["application", "consumer", "header", "query"] = "consumer"
    field: str | None = None


@dataclass(frozen=True, slots=True)
class AttributeSource:
    """A request value that is copied into ``data[event_property_name]`` (SPEC CFG-6, ATR-1)."""

    source: Literal["header", "query"]
    look_up_value_in: str
    event_property_name: str


@dataclass(frozen=True, slots=True)
class MeteringConfig:
    """Settings of one plugin instance (SPEC CFG-3).

    ``timeout`` and ``keepalive`` are in milliseconds. ``allow_status_codes`` holds (first, last) pairs, both ends
    included; None admits every status. The token is a secret and in no ``repr``.
    """

    ingest_endpoint: str
    api_token: str = field(repr=False)
    meter_api_requests: bool = True
    meter_ai_token_usage: bool = True
    ssl_verify: bool = True
    timeout: float = 10_000
    keepalive: float = 60_000
    subject: SubjectSource = field(default_factory=SubjectSource)
    attributes: tuple[AttributeSource, ...] = ()
    queue: QueueSettings = field(default_factory=QueueSettings)
    allow_status_codes: tuple[tuple[int, int], ...] | None = None


@functools.cache
def config_schema(gateway: str) -> Schema:
    """Return the schema of ``config`` for a gateway version of GATEWAY_VERSIONS. Raises ValueError for another."""
    if gateway not in GATEWAY_VERSIONS:
        raise ValueError(f"gateway version {gateway!r} is not known; known are {', '.join(GATEWAY_VERSIONS)}")
    return Schema.read(_SCHEMA_FILE, gateway)


def validate_config(config: Any, gateway: str) -> list[Problem]:
    """Return what is wrong in ``config`` for that gateway version, each with its pointer and what to do about it.

    Follows SPEC CFG-1 to CFG-8. Raises ValueError for an unknown gateway version.
    """
    schema = config_schema(gateway)
    problems = schema.check(config)
    if isinstance(config, dict):
        wrong = {problem.pointer for problem in problems}
        problems += [more for more in _beyond_the_schema(config, schema) if more.pointer not in wrong]
    return problems


def load_config(config: Any, gateway: str = NEWEST_GATEWAY) -> MeteringConfig:
    """Return the typed form of ``config`` with every default filled in; vault references stay as they are.

    Raises InvalidDocument with every problem of :func:`validate_config`.
    """
    problems = validate_config(config, gateway)
    if problems:
        raise InvalidDocument(problems)
    given = without_nulls(config, config_schema(gateway).definition)
    for name in ("timeout", "keepalive"):
        if name in given:
            given[name] = float(given[name])
    if "subject" in given:
        given["subject"] = SubjectSource(**given["subject"])
    if "attributes" in given:
        given["attributes"] = tuple(AttributeSource(**attribute) for attribute in given["attributes"])
    if "queue" in given:
        given["queue"] = QueueSettings(**_as_typed(given["queue"], gateway))
    if "allow_status_codes" in given:
        ranges = (_status_range(text) for text in given["allow_status_codes"])
        given["allow_status_codes"] = tuple(pair for pair in ranges if pair)
    return MeteringConfig(**given)


def _as_typed(queue: dict[str, Any], gateway: str) -> dict[str, Any]:
    properties = config_schema(gateway).definition["properties"]["queue"]["properties"]
    return {
        name: int(value) if properties[name]["type"] == "integer" else float(value) for name, value in queue.items()
    }


def _beyond_the_schema(config: dict[str, Any], schema: Schema) -> list[Problem]:
    """Return what JSON Schema has no words for: a usable URL, sensible status ranges."""
    problems = []
    endpoint = config.get("ingest_endpoint")
    if isinstance(endpoint, str) and endpoint and not is_vault_reference(endpoint) and not is_http_url(endpoint):
        hint = schema.definition["properties"]["ingest_endpoint"]["x-hint"]
        problems.append(Problem("is not an absolute http(s) URL", ("ingest_endpoint",), hint))
    codes = config.get("allow_status_codes")
    for index, text in enumerate(codes if isinstance(codes, list) else ()):
        if isinstance(text, str) and _status_range(text) is None:
            hint = 'write two codes from 100 to 599, the lower one first, e.g. "200-299"'
            problems.append(Problem("is not a range of status codes", ("allow_status_codes", index), hint))
    return problems


def _status_range(text: str) -> tuple[int, int] | None:
    """Return the range ``text`` stands for, a single code being a range of one; None when it is none."""
    match = _STATUS_RANGE.fullmatch(text)
    if match is None:
        return None
    first = int(match[1])
    last = int(match[2] or match[1])
    return (first, last) if 100 <= first <= last <= 599 else None
