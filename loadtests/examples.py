"""Requests named in a reconciliation, each with the events that arrived for it as evidence."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf, isnan
from typing import Any

import msgspec
import numpy as np

from loadtests.arrivals import DIGEST, VERDICTS, Arrivals
from loadtests.expectations import Expectations
from loadtests.ledger import Ledger
from loadtests.matching import Matching, Mismatch
from loadtests.numbers import label
from loadtests.slots import Slots

#: So many arrivals of one request are shown.
MOST_ARRIVALS = 20


@dataclass(frozen=True, slots=True)
class ArrivedEvent:
    """One event that arrived for a request. ``delivery`` is the ingest request's number in ``lane``."""

    id: str
    type: Any
    subject: Any
    lane: str
    delivery: int
    arrived_at: float
    verdict: str
    wrong: tuple[Mismatch, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """One request: ``number`` is its label, ``status`` 0 when it got no answer, ``ended_at`` None if it never ended.

    ``arrivals`` are the first events that came for it, ``more`` how many others did.
    """

    number: str
    expectation: str
    status: int
    started_at: float
    ended_at: float | None
    arrivals: tuple[ArrivedEvent, ...] = ()
    more: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the example as JSON values."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data


@dataclass(slots=True)
class _Request:
    worker: int
    n: int
    row: Any
    arrivals: list[ArrivedEvent] = field(default_factory=list)
    more: int = 0


class Evidence:
    """Gathers what is to be shown of some requests, given by their places in the ledger."""

    def __init__(
        self, ledger: Ledger, expectations: Expectations, arrivals: Arrivals, matching: Matching, slots: Slots
    ) -> None:
        self._ledger, self._expectations, self._arrivals = ledger, expectations, arrivals
        self._matching, self._slots = matching, slots

    def examples(self, places: Mapping[str, Sequence[int]]) -> dict[str, tuple[Example, ...]]:
        """Return the examples by kind. Reads once more the arrivals that can be theirs."""
        wanted = np.array(sorted(set().union(*places.values())), np.int64)
        found = {place: _Request(*self._ledger.row(place)) for place in wanted.tolist()}
        for rows, of in self._slots.rows_of(wanted):
            placed, slots = self._slots.slots_of(rows)
            shared = np.zeros(len(rows), np.bool_)
            shared[placed] = self._slots.of_another(rows[placed], slots)
            for place, row, same_id in zip(of.tolist(), rows, shared.tolist(), strict=True):
                self._add(found[place], row, same_id)
        return {kind: tuple(self._example(found[place]) for place in each) for kind, each in places.items()}

    def _add(self, request: _Request, row: Any, same_id: bool) -> None:
        if len(request.arrivals) >= MOST_ARRIVALS:
            request.more += 1
            return
        observation, expectation = int(row["observation"]), int(request.row["expectation"])
        seen = self._arrivals.observations.items[observation]
        identity = _id_text(row["id"].tobytes(), bool(row["flags"] & DIGEST))
        wrong: tuple[Mismatch, ...] = ()
        if self._expectations[expectation].events:
            wrong = self._matching.mismatches(expectation, observation)
            wrong += self._against_the_ledger(request.row, expectation, observation, float(row["time"]))
            wrong += (Mismatch("id", "an id that no other event has", identity),) if same_id else ()
        event = ArrivedEvent(
            id=identity,
            type=seen.type,
            subject=seen.subject,
            lane=seen.lane,
            delivery=int(self._arrivals.deliveries.read(int(row["delivery"]), 1)["n"][0]),
            arrived_at=float(row["arrived_at"]),
            verdict=VERDICTS[row["verdict"]],
            wrong=wrong,
        )
        request.arrivals.append(event)

    def _against_the_ledger(
        self, request: Any, expectation: int, observation: int, time: float
    ) -> tuple[Mismatch, ...]:
        """Return what differs from the request as the ledger has it: status and time."""
        event = self._matching.expected(expectation, observation)
        status, found = int(request["status"]), []
        if event is None:
            return ()
        if event.status_field is not None and status:
            seen = self._matching.value(observation, event.status_field)
            if seen != status or isinstance(seen, bool):
                found.append(Mismatch(event.status_field, status, seen))
        if event.timed:
            earliest = float(request["started_at"]) - self._slots.tolerance
            latest = float(request["ended_at"]) + self._slots.tolerance if status else inf
            if not earliest <= time <= latest:
                expected = f"{_clock(earliest)} to {_clock(latest)}" if status else f"{_clock(earliest)} or later"
                found.append(Mismatch("time", expected, None if isnan(time) else _clock(time)))
        return tuple(found)

    def _example(self, request: _Request) -> Example:
        row = request.row
        return Example(
            number=label(self._ledger.run, request.worker, request.n),
            expectation=self._expectations[int(row["expectation"])].name,
            status=int(row["status"]),
            started_at=float(row["started_at"]),
            ended_at=float(row["ended_at"]) or None,
            arrivals=tuple(request.arrivals),
            more=request.more,
        )


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _id_text(data: bytes, digest: bool) -> str:
    """Return an event's id for people: what is kept of one that is no UUID is a digest."""
    return f"digest:{data.hex()}" if digest else str(uuid.UUID(bytes=data))
