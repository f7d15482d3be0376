"""The outline of a request: id, subject, type and time of each of its entries, apart from the body.

It is what a capture is searched by. A usage event calls the four ``id``, ``subject``, ``type`` and ``time``, a meter
record (AMB-2) ``uniqueId``, ``customerId``, ``meterApiName`` and ``meterTimeInMillis``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import orjson

_EVENT = ("id", "subject", "type", "time")
_RECORD = ("uniqueId", "customerId", "meterApiName", "meterTimeInMillis")


class Outline(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Four columns with a value for each entry of a request, in the body's order.

    None stands for what is missing or no text; a time may be a number, too (milliseconds since the epoch).
    """

    ids: list[str | None]
    subjects: list[str | None]
    types: list[str | None]
    times: list[str | int | float | None]


EMPTY = Outline([], [], [], [])


def outline_of(entries: Sequence[Any]) -> Outline:
    """Return the outline of entries: parsed JSON, or structs of the kinds that a quick yes makes.

    Those are known to be valid: events whose type is their struct's tag, or meter records.
    """
    if entries and isinstance(entries[0], msgspec.Struct):
        return _of_structs(entries)
    return _of_documents([entry if isinstance(entry, dict) else {} for entry in entries])


def outline_of_body(body: bytes, count: int) -> Outline:
    """Return the outline of the ``count`` entries that ``body`` was found to hold; empty when it does not."""
    if not count:
        return EMPTY
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return EMPTY
    entries = document if isinstance(document, list) else [document]
    return outline_of(entries) if len(entries) == count else EMPTY


def _of_documents(entries: Sequence[dict[str, Any]]) -> Outline:
    names = _EVENT if any("id" in entry or "subject" in entry for entry in entries) else _RECORD
    ids, subjects, types, times = ([entry.get(name) for entry in entries] for name in names)
    return Outline(_texts(ids), _texts(subjects), _texts(types), _moments(times))


def _texts(values: Iterable[Any]) -> list[str | None]:
    return [value if isinstance(value, str) else None for value in values]


def _moments(values: Iterable[Any]) -> list[str | int | float | None]:
    return [value if type(value) in (str, int, float) else None for value in values]


def _of_structs(entries: Sequence[Any]) -> Outline:
    fields = type(entries[0]).__struct_fields__
    if "id" not in fields:
        return Outline(
            [entry.uniqueId for entry in entries],
            [entry.customerId for entry in entries],
            [entry.meterApiName for entry in entries],
            [entry.meterTimeInMillis for entry in entries],
        )
    kinds: set[type[msgspec.Struct]] = set(map(type, entries))
    tags = {kind: str(kind.__struct_config__.tag) for kind in kinds}
    types: list[str | None] = [*tags.values()] * len(entries)
    if len(tags) > 1:
        types = [tags[type(entry)] for entry in entries]
    return Outline(
        [entry.id for entry in entries],
        [entry.subject for entry in entries],
        types,
        [entry.time for entry in entries] if "time" in fields else [None] * len(entries),
    )
