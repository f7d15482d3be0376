"""What of a capture is kept in memory to find its events by: columns of small numbers, and their texts.

An event has some 30 bytes in columns besides its text, a request some 80. Ids, times and bodies stay in the file.
"""

from __future__ import annotations

import contextlib
import threading
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import orjson

from harness.capture.outline import outline_of
from harness.capture.reader import Row
from harness.capture_page.search_text import Column, Numbers, SearchedText, SearchText

#: An event's verdict is kept as its place in here.
VERDICTS = ("accepted", "duplicate", "invalid", "refused")
_VERDICT_CODES = {name: code for code, name in enumerate(VERDICTS)}
#: The status of a request that got no answer.
NO_ANSWER = 0


@dataclass(frozen=True)
class Contents:
    """An index as it was at one moment.

    By event: ``request`` (the number of its request, from 0), ``verdict``, ``subject`` and ``type`` (places in
    VERDICTS, ``subjects`` and ``types``). By request: ``place`` in the file, ``n``, ``lane`` (place in ``lanes``),
    ``arrived_at`` (seconds since the epoch), ``status``, ``fault`` (place in ``faults``), ``mixed`` (its verdict is),
    ``first`` (the number of its first event), ``entries`` and ``body`` (equal for equal bodies in a lane).
    """

    request: Column
    verdict: Column
    subject: Column
    type: Column
    place: Column
    n: Column
    lane: Column
    arrived_at: Column
    status: Column
    fault: Column
    mixed: Column
    first: Column
    entries: Column
    body: Column
    subjects: Sequence[str | None]
    types: Sequence[str | None]
    lanes: Sequence[str]
    faults: Sequence[str | None]
    text: SearchedText

    @property
    def events(self) -> int:
        """How many events there are."""
        return len(self.request)

    @property
    def requests(self) -> int:
        """How many requests there are."""
        return len(self.place)

    @cached_property
    def batch(self) -> Numbers:
        """The number of each request's batch: one for all requests of a lane with the same body."""
        return np.unique(self.body, return_inverse=True)[1].astype(np.int32)


@dataclass(frozen=True, slots=True)
class Totals:
    """How much there is in an index: requests, events, the place of the last request, the first and the last time of
    arrival (seconds since the epoch), types and lanes."""

    requests: int
    events: int
    last_place: int
    arrived: tuple[float, float] | None
    types: Sequence[str | None]
    lanes: Sequence[str]


class _Names:
    """Numbers texts as they come up."""

    def __init__(self) -> None:
        self.known: list[Any] = []
        self._codes: dict[Any, int] = {}

    def code(self, name: Any) -> int:
        code = self._codes.get(name)
        if code is None:
            code = self._codes[name] = len(self.known)
            self.known.append(name)
        return code


class CaptureIndex:
    """Takes in the rows of a capture in their order; one thread adds, any may take the ``contents``."""

    def __init__(self) -> None:
        self._events: dict[str, array[Any]] = {
            "request": array("i"),
            "verdict": array("b"),
            "subject": array("i"),
            "type": array("i"),
        }
        self._requests: dict[str, array[Any]] = {
            **{name: array("q") for name in ("place", "body")},
            **{name: array("i") for name in ("n", "lane", "fault", "first", "entries")},
            "arrived_at": array("d"),
            "status": array("h"),
            "mixed": array("b"),
        }
        self._names = {name: _Names() for name in ("subject", "type", "lane", "fault")}
        self._text = SearchText()
        self._lock = threading.Lock()
        self._contents: Contents | None = None
        self._arrived: tuple[float, float] | None = None
        self.last_place = 0

    def add(self, row: Row) -> None:
        """Take in the next request. Raises CaptureFormatError when it is damaged."""
        request = row.request()
        body = request.body_bytes()
        entries = _entries(body, row.entries)
        outline = outline_of(entries)
        verdicts = [_VERDICT_CODES[verdict.verdict] for verdict in request.verdicts]
        with self._lock:
            self._contents = None
            self._add_events(row.entries, verdicts, outline.subjects, outline.types)
            for number, entry in enumerate(entries):
                outlined = (outline.ids, outline.subjects, outline.types, outline.times)
                known = [column[number] for column in outlined]
                self._text.add(["" if one is None else str(one) for one in known] + _texts(entry))
            self._add_request(row, hash((row.lane, body)))
            first, last = self._arrived or (row.arrived_at, row.arrived_at)
            self._arrived = min(first, row.arrived_at), max(last, row.arrived_at)
            self.last_place = row.place

    def totals(self) -> Totals:
        """Return how much there is now. Costs nothing."""
        with self._lock:
            names = [tuple(self._names[name].known) for name in ("type", "lane")]
            return Totals(
                len(self._requests["place"]), len(self._events["request"]), self.last_place, self._arrived, *names
            )

    def contents(self) -> Contents:
        """Return the index as it is now."""
        with self._lock:
            if self._contents is None:
                members: dict[str, Any] = {f"{name}s": one.known for name, one in self._names.items()}
                for name, column in (self._events | self._requests).items():
                    members[name] = np.array(column)
                self._contents = Contents(**members, text=self._text.searched())
            return self._contents

    def _add_events(
        self, count: int, verdicts: Iterable[int], subjects: Sequence[str | None], types: Sequence[str | None]
    ) -> None:
        number = len(self._requests["place"])
        self._events["request"].extend([number] * count)
        self._events["verdict"].extend(verdicts)
        self._events["subject"].extend(map(self._names["subject"].code, subjects))
        self._events["type"].extend(map(self._names["type"].code, types))

    def _add_request(self, row: Row, body: int) -> None:
        values = {
            "place": row.place,
            "n": row.n,
            "body": body,
            "lane": self._names["lane"].code(row.lane),
            "fault": self._names["fault"].code(row.fault),
            "first": len(self._events["request"]) - row.entries,
            "entries": row.entries,
            "arrived_at": row.arrived_at,
            "status": NO_ANSWER if row.status is None else row.status,
            "mixed": row.verdict == "mixed",
        }
        for name, column in self._requests.items():
            column.append(values[name])


def _entries(body: bytes, count: int) -> list[Any]:
    """Return the ``count`` entries that ``body`` was found to hold, empty ones where it cannot be read."""
    document: Any = None
    if count:
        with contextlib.suppress(orjson.JSONDecodeError):
            document = orjson.loads(body)
    entries = document if isinstance(document, list) else [document]
    return [entry if isinstance(entry, dict) else {} for entry in entries] if len(entries) == count else [{}] * count


def _texts(entry: dict[str, Any]) -> list[str]:
    """Return the values in an event's data, or in a meter record, which is all data."""
    return [*_leaves(entry.get("data", entry))]


def _leaves(value: Any) -> Iterator[str]:
    kind = type(value)
    if kind is str:
        yield value
    elif kind is dict or kind is list:
        for part in value.values() if kind is dict else value:
            if type(part) is str:  # most are; a generator for each would take half of the time
                yield part
            else:
                yield from _leaves(part)
    else:
        yield orjson.dumps(value).decode()
