"""The life of one entry as far as a capture knows it: what it says, how it was judged, and each time it came.

What happened before the ingest endpoint is not in a capture; whoever knows it puts it beside these.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from harness.capture.difference import changed_members
from harness.capture.reader import CaptureReader, at_places
from harness.capture.record import CapturedRequest, Relayed
from harness.capture.selection import Selection
from harness.capture.verdict import Finding


class Delivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """One time that the entry came.

    ``at`` is in seconds since the epoch; ``wait`` is the seconds since the delivery before it, by a clock that is
    never set back. ``entries`` is the size of its batch. ``status`` is None when the client got no answer.
    ``relayed`` is how the request fared at the real endpoint, if it was passed on. ``differs`` names the members in
    which it is not as the accepted one (else the first one): it is something else under the same id then (EVT-3).
    """

    request: int
    lane: str
    n: int
    at: float
    wait: float | None
    entries: int
    position: int
    status: int | None
    fault: str | None
    verdict: str
    findings: tuple[Finding, ...] = ()
    request_findings: tuple[Finding, ...] = ()
    relayed: Relayed | None = None
    differs: tuple[str, ...] = ()


class Life(msgspec.Struct, frozen=True):
    """An entry with its deliveries, first to last. ``id`` is None for one without."""

    id: str | None
    entry: Any
    deliveries: list[Delivery]

    def conclusion(self) -> str:
        """Return in one line what became of it."""
        taken = [one for one in self.deliveries if one.verdict == "accepted"]
        again = [one for one in self.deliveries if one.verdict == "duplicate"]
        last = self.deliveries[-1]
        tries = f"{len(self.deliveries)} deliver{'y' if len(self.deliveries) == 1 else 'ies'}"
        if taken:
            answered = [one for one in taken if one.status is not None]
            more = f", then {len(again)} more that counted as duplicate" if again else ""
            if others := sum(bool(one.differs) for one in again):
                more += f" ({others} of them not the same but with its id, and so never billed)"
            unheard = "" if answered else ", but the client got no answer and does not know"
            return f"billed: accepted with delivery {self.deliveries.index(taken[0]) + 1} of {tries}{more}{unheard}"
        passed = next((one.relayed for one in self.deliveries if one.relayed and one.relayed.succeeded), None)
        silent = [
            (number, one.relayed.failure)
            for number, one in enumerate(self.deliveries, 1)
            if one.relayed is not None and one.relayed.failure is not None and one.relayed.sent
        ]
        if silent and passed is None:
            number, failure = silent[-1]
            which = "the last one" if number == len(self.deliveries) else f"number {number}"
            return f"not known to be billed: {tries}, {which} passed on without an answer ({failure})"
        if last.relayed is not None and not last.relayed.sent:
            return f"not billed: {tries}, the last one not passed on ({last.relayed.failure})"
        if last.findings or last.request_findings:
            first = (*last.findings, *last.request_findings)[0]
            place = f" {first.pointer}" if first.pointer else ""
            fate = "not billed" if passed is None else f"taken by {passed.host}, which answered {passed.status}"
            return f"{fate}: {last.verdict} ({first.rule}{place}: {first.message})"
        answer = "no answer" if last.status is None else f"answered {last.status}"
        reason = f" by the fault script ({last.fault})" if last.fault else ""
        return f"not billed: {tries}, the last one {answer}{reason}"


@dataclass(frozen=True, slots=True)
class _Found:
    place: int
    request: CapturedRequest
    position: int
    entry: Any
    id: str | None


def lives(reader: CaptureReader, key: str, places: Collection[int] = ()) -> list[Life]:
    """Return the lives of the entries that ``key`` names, in order of their first delivery.

    It names an entry by its id. When none has it, it names those with a text of that value anywhere in them, such as
    a request id kept as an attribute, and those of ingest requests with a header of that value. ``places`` are those
    of the only requests to look into; none: all. Raises as ``reader`` does.
    """
    return _lives(list(_by_id(reader, key, places)) or list(_by_value(reader, key, places)))


def life_at(reader: CaptureReader, place: int, position: int, places: Collection[int]) -> Life | None:
    """Return the life of the entry at ``position`` of the body of the request at ``place``; None: there is none.

    ``places`` are those of the requests that may hold it, too. Raises as ``reader`` does.
    """
    this = _entry_at(reader, place, position)
    if this is None or this.id is None:
        return None if this is None else Life(None, this.entry, _deliveries([this]))
    for life in _lives(_by_id(reader, this.id, {place, *places})):
        if any(one.request == place for one in life.deliveries):
            return life
    return None


def _entry_at(reader: CaptureReader, place: int, position: int) -> _Found | None:
    for row in reader.rows(*at_places([place])):
        if row.place == place and 0 <= position < row.entries:
            request, ids = row.request(), row.outline().ids
            event = list(request.events())[position].event
            return _Found(place, request, position, event, ids[position] if position < len(ids) else None)
    return None


def _lives(found: Iterable[_Found]) -> list[Life]:
    groups: dict[tuple[Any, ...], list[_Found]] = {}
    for one in found:
        source = one.entry.get("source") if isinstance(one.entry, dict) else None
        known = (one.id, source if isinstance(source, str) else None) if one.id is not None else (one.place,)
        groups.setdefault((one.request.lane, *known), []).append(one)
    return [Life(group[0].id, group[0].entry, _deliveries(group)) for group in groups.values()]


def _by_id(reader: CaptureReader, key: str, among: Collection[int]) -> Iterator[_Found]:
    places: dict[int, list[int]] = {}
    for entry in Selection(ids=(key,), places=among).entries(reader):
        places.setdefault(entry.request, []).append(entry.position)
    if not places:
        return
    for row in reader.rows(*at_places(places)):
        if row.place in places:
            request = row.request()
            events = list(request.events())
            for position in places[row.place]:
                yield _Found(row.place, request, position, events[position].event, key)


def _by_value(reader: CaptureReader, key: str, among: Collection[int]) -> Iterator[_Found]:
    written = msgspec.json.encode(key)
    condition, values = at_places(among) if among else ("entries > 0", [])
    for row in reader.rows(condition, values):
        if row.entries == 0 or (among and row.place not in among):
            continue
        request = row.request()
        by_header = any(value == key for _, value in request.headers)
        if not by_header and written not in request.body_bytes() and key.isascii():
            continue
        ids = row.outline().ids
        for event in request.events():
            if by_header or _holds(event.event, key):
                name = ids[event.index] if event.index < len(ids) else None
                yield _Found(row.place, request, event.index, event.event, name)


def _holds(value: Any, key: str) -> bool:
    if isinstance(value, dict):
        return any(_holds(part, key) for part in value.values())
    if isinstance(value, list):
        return any(_holds(part, key) for part in value)
    return bool(value == key)


def _deliveries(group: list[_Found]) -> list[Delivery]:
    made: list[Delivery] = []
    before: float | None = None
    taken = next((one for one in group if one.request.verdicts[one.position].verdict == "accepted"), group[0])
    for one in group:
        request = one.request
        verdict = request.verdicts[one.position]
        made.append(
            Delivery(
                one.place,
                request.lane,
                request.n,
                request.arrived_at,
                None if before is None else round(request.monotonic - before, 6),
                len(request.verdicts),
                one.position,
                request.status,
                request.fault,
                verdict.verdict,
                verdict.findings,
                request.findings,
                request.relayed,
                tuple(".".join(path) for path, _ in changed_members(taken.entry, one.entry)),
            )
        )
        before = request.monotonic
    return made
