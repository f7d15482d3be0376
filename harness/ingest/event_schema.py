"""Validity of one event: a native validator says yes quickly, the thorough one says what is wrong.

The native validator (jsonschema-rs) sees every event. What it refuses goes to the ``jsonschema`` library, whose
errors become findings; it has the last word. A test holds the two to the same verdicts.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema_rs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from harness.ingest.formats import checker
from harness.ingest.messages import Finding
from plugin_emulator.documents import Pointer

_SCHEMA = Path(__file__).with_name("schemas") / "event.json"
_LONGEST_MESSAGE = 200


class EventSchema:
    """The JSON Schema of an event, compiled. Stateless once built, so one object serves any number of endpoints.

    ``strict`` adds what the metering plugin promises on top of what the ingest API takes: the event types (EVT-2)
    and the fields of ``data`` (EVT-6, ATR-1). ``extensions`` allows further envelope members.
    """

    def __init__(self, strict: bool = True, extensions: bool = False) -> None:
        schema = copy.deepcopy(_definition())
        if extensions:
            del schema["$defs"]["envelope"]["additionalProperties"]
        if not strict:
            schema["allOf"] = [{"$ref": "#/$defs/envelope"}]
        self._thorough = Draft202012Validator(schema, format_checker=checker())
        flat = _flattened(schema["$defs"]) if strict else {"$ref": "#/$defs/envelope"}
        one = {"$defs": schema["$defs"], **flat}
        batch = {"$defs": schema["$defs"], "type": "array", "items": flat}
        self._native = jsonschema_rs.Draft202012Validator(one, validate_formats=True)
        self._native_batch = jsonschema_rs.Draft202012Validator(batch, validate_formats=True)

    def all_valid(self, events: Sequence[Any]) -> bool:
        """Return whether every event is valid; False may also be a case only ``findings`` can decide."""
        return self._native_batch.is_valid(events)

    def findings(self, event: Any, at: Pointer = ()) -> tuple[Finding, ...]:
        """Return what is wrong with ``event``, which stands at ``at`` in the body; empty when it is valid.

        One finding for each member concerned: of several the first says enough.
        """
        if self._native.is_valid(event):
            return ()
        found: dict[Pointer, Finding] = {}
        for error in self._thorough.iter_errors(event):
            for pointer, message, constraint in _complaints(error):
                rule = _rule(pointer, constraint)
                text = message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…"
                found.setdefault(pointer, Finding(rule, body_pointer(at + pointer), text, constraint))
        return tuple(found[pointer] for pointer in sorted(found, key=lambda pointer: [str(part) for part in pointer]))


@functools.cache
def event_schema(strict: bool = True, extensions: bool = False) -> EventSchema:
    """Return the compiled schema for these choices; compiled once per process."""
    return EventSchema(strict, extensions)


def body_pointer(pointer: Sequence[str | int]) -> str:
    """Return ``pointer`` as a JSON pointer; the whole body is "" (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in pointer)


@functools.cache
def _definition() -> dict[str, Any]:
    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    assert isinstance(schema, dict)
    return schema


def _flattened(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the strict schema with envelope and data in one step for each event type.

    It says the same as the published form, which looks at each event three times, in less than half the time.
    """
    envelope = definitions["envelope"]

    def of_type(kind: str) -> dict[str, Any]:
        data = {**envelope["properties"]["data"], **definitions[kind]}
        return {**envelope, "properties": {**envelope["properties"], "type": {"const": f"kong.{kind}"}, "data": data}}

    api, llm = (of_type(kind) for kind in _KINDS)
    is_llm = {"type": "object", "required": ["type"], "properties": {"type": {"const": "kong.llm_request"}}}
    return {"if": is_llm, "then": llm, "else": api}


def _complaints(error: ValidationError) -> Iterator[tuple[Pointer, str, str]]:
    """Yield pointer, message and the API's name of the broken constraint, one for each member concerned."""
    at: Pointer = tuple(error.absolute_path)
    instance: Any = error.instance
    expected: Any = error.validator_value
    match error.validator:
        case "required":
            for name in expected:
                if name not in instance:
                    yield (*at, name), "is a required member", "required"
        case "additionalProperties":
            schema: Any = error.schema
            for name in instance:
                if name not in schema["properties"]:
                    yield (*at, name), "is not a member of the event", "unknown_property"
        case "type":
            first = expected if isinstance(expected, str) else expected[0]
            yield at, error.message, f"is_{first}"
        case "format" if expected == "date-time":
            yield at, error.message, "is_date_time"
        case "format":
            yield at, error.message, "matches_regex"
        case _:
            yield at, error.message, "invalid"


def _rule(pointer: Pointer, constraint: str) -> str:
    """Return the id of the rule that a value at ``pointer`` inside an event breaks."""
    if len(pointer) > 1:
        built_in = any(pointer[1] in _definition()["$defs"][kind]["properties"] for kind in _KINDS)
        return "EVT-6" if built_in else "ATR-1"
    member = pointer[0] if pointer else ""
    if constraint == "required" or member not in _MEMBER_RULES:
        return "EVT-1"
    return _MEMBER_RULES[str(member)]


_KINDS = ("api_request", "llm_request")
_MEMBER_RULES = {"type": "EVT-2", "time": "EVT-4", "source": "EVT-5", "subject": "DRP-2", "data": "EVT-6"}
