"""Which entries of a capture are asked for, and finding them: by the outlines, without a look into bodies."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from harness.capture.outline import Outline
from harness.capture.reader import CaptureReader, Row, at_places
from harness.capture.record import Relayed


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entry of a captured request as its outline tells it.

    ``request`` is the request's place in the file, ``n`` its number in its lane, ``position`` the entry's place in
    the body from 0. ``arrived_at`` is in seconds since the epoch. ``status`` is what the client got, ``relayed`` how
    the request fared at a real endpoint, if it was passed on.
    """

    request: int
    lane: str
    n: int
    arrived_at: float
    status: int | None
    fault: str | None
    position: int
    verdict: str
    id: str | None
    subject: str | None
    type: str | None
    time: str | int | float | None
    relayed: Relayed | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """What entries must be to be selected; of several values of one kind any will do, none is no condition.

    ``since`` (included) and ``until`` (excluded) bound the arrival at the ingest endpoint, in seconds since the
    epoch. ``places`` are of requests.
    """

    subjects: Sequence[str] = ()
    types: Sequence[str] = ()
    ids: Sequence[str] = ()
    lanes: Sequence[str] = ()
    verdicts: Sequence[str] = ()
    since: float | None = None
    until: float | None = None
    places: Collection[int] = ()

    def entries(self, reader: CaptureReader) -> Iterator[Entry]:
        """Yield the entries of ``reader`` that are selected, in the order of their requests. Raises as it does."""
        condition, values = self._condition()
        everything = not (self.subjects or self.types or self.ids)
        for row in reader.rows(condition, values):
            if not self._takes(row):
                continue
            outline = row.outline()
            positions = range(row.entries) if everything else self._positions(outline)
            if not positions:
                continue
            relayed = row.relayed()
            verdicts: Sequence[str] = ()
            if row.verdict == "mixed":
                verdicts = [verdict.verdict for verdict in row.request().verdicts]
            for position in positions:
                verdict = verdicts[position] if verdicts else str(row.verdict)
                if not self.verdicts or verdict in self.verdicts:
                    yield _entry(row, outline, position, verdict, relayed)

    def _condition(self) -> tuple[str, list[Any]]:
        """Return what leaves out requests in SQL; it need not leave out all that it could."""
        parts, values = ["entries > 0"], list[Any]()
        for texts in (self.subjects, self.types, self.ids):
            if texts:
                # Outlines of batches are compressed, so these are looked at one by one.
                each = " OR ".join(["instr(outline, ?)"] * len(texts))
                parts.append(f"(typeof(outline) = 'blob' OR {each})")
                values += [msgspec.json.encode(text).decode() for text in texts]
        for column, texts in (("lane", self.lanes), ("verdict", [*self.verdicts, "mixed"] if self.verdicts else ())):
            if texts:
                parts.append(f"{column} IN ({', '.join('?' * len(texts))})")
                values += texts
        for comparison, bound in ((">=", self.since), ("<", self.until)):
            if bound is not None:
                parts.append(f"arrived_at {comparison} ?")
                values.append(bound)
        if self.places:
            condition, places = at_places(self.places)
            parts.append(condition)
            values += places
        return " AND ".join(parts), values

    def _takes(self, row: Row) -> bool:
        """Return whether a request's columns allow one of its entries to be selected."""
        return (
            row.entries > 0
            and (not self.places or row.place in self.places)
            and (not self.lanes or row.lane in self.lanes)
            and (not self.verdicts or row.verdict == "mixed" or row.verdict in self.verdicts)
            and (self.since is None or row.arrived_at >= self.since)
            and (self.until is None or row.arrived_at < self.until)
        )

    def _positions(self, outline: Outline) -> Sequence[int]:
        """Return where in the outline all of id, subject and type are as asked for."""
        found: Sequence[int] | None = None
        columns = ((self.ids, outline.ids), (self.subjects, outline.subjects), (self.types, outline.types))
        for wanted, column in columns:
            if not wanted:
                continue
            if found is None:
                if not any(text in column for text in wanted):  # at the speed of C, and mostly the answer
                    return ()
                found = range(len(column))
            found = [position for position in found if column[position] in wanted]
        return found or ()


def _entry(row: Row, outline: Outline, position: int, verdict: str, relayed: Relayed | None) -> Entry:
    known = position < len(outline.ids)
    return Entry(
        row.place,
        row.lane,
        row.n,
        row.arrived_at,
        row.status,
        row.fault,
        position,
        verdict,
        outline.ids[position] if known else None,
        outline.subjects[position] if known else None,
        outline.types[position] if known else None,
        outline.times[position] if known else None,
        relayed,
    )
