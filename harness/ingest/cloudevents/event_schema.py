"""The JSON Schema of a usage event. A test holds its two validators to the same verdicts."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.ingest.cloudevents.formats import NATIVE_DATE_TIME, checker
from harness.ingest.entry_schema import EntrySchema
from plugin_emulator.documents import Pointer

_SCHEMA = Path(__file__).with_name("schemas") / "event.json"


class EventSchema(EntrySchema):
    """The JSON Schema of an event, compiled.

    ``strict`` adds what the metering plugin promises on top of what the ingest API takes: the event types (EVT-2)
    and the fields of ``data`` (EVT-6, ATR-1). ``extensions`` allows further envelope members.
    """

    def __init__(self, strict: bool = True, extensions: bool = False) -> None:
        schema = copy.deepcopy(_definition())
        if extensions:
            del schema["$defs"]["envelope"]["additionalProperties"]
        if not strict:
            schema["allOf"] = [{"$ref": "#/$defs/envelope"}]
        native = copy.deepcopy(schema["$defs"])
        native["envelope"]["properties"]["time"].update(NATIVE_DATE_TIME)
        flat = _flattened(native) if strict else {"$ref": "#/$defs/envelope"}
        super().__init__(schema, _rule, "event", {"$defs": native, **flat}, checker())


def definitions() -> Mapping[str, Any]:
    """Return the definitions of the published schema, by name."""
    return _definition()["$defs"]  # type: ignore[no-any-return]


@functools.cache
def event_schema(strict: bool = True, extensions: bool = False) -> EventSchema:
    """Return the compiled schema for these choices; compiled once per process."""
    return EventSchema(strict, extensions)


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
