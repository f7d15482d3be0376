"""The JSON Schema of a meter record: what the ingest API demands, and what the plugin promises (SPEC AMB-1…3)."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from harness.ingest.entry_schema import EntrySchema
from plugin_emulator.documents import Pointer

_SCHEMA = Path(__file__).with_name("schemas") / "record.json"
_MEMBER_RULES = {"customerId": "AMB-1"}


class RecordSchema(EntrySchema):
    """The JSON Schema of a record, compiled.

    ``strict`` is the record that the plugin makes; otherwise it is what the documents of the API ask of any client:
    a customer and a time, and of the rest, when it is there, the right type.
    """

    def __init__(self, strict: bool = True) -> None:
        schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
        definitions = schema["$defs"]
        which = definitions["promised" if strict else "demanded"]
        super().__init__({"$defs": definitions, **which}, _rule, "record")


@functools.cache
def record_schema(strict: bool = True) -> RecordSchema:
    """Return the compiled schema; compiled once per process."""
    return RecordSchema(strict)


def _rule(pointer: Pointer, constraint: str) -> str:
    """Return the id of the rule that a value at ``pointer`` inside a record breaks."""
    if len(pointer) > 1:
        return "AMB-3"
    return _MEMBER_RULES.get(str(pointer[0]), "AMB-2") if pointer else "AMB-2"
