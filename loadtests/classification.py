"""The class of each request: what is due by its answer, against what its slots hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loadtests.expectations import OTHER, Due, Expectations
from loadtests.latencies import Latencies, buckets
from loadtests.matching import Array, Matching
from loadtests.slots import BILLED, DISCARDED, NEW_ID, REFUSED, SAME_ID, WRONG, Slots
from loadtests.timeline import Timeline

#: The classes of requests, with what they mean. Where several apply, the first one counts.
MEANINGS = {
    "billed_though_dropped": "billed though it must be dropped, or though the gateway turned it away",
    "missing": "an event that was due never came, or was never accepted",
    "duplicated_new_id": "an event came again with another id: charged twice",
    "wrong": "billed with a wrong subject or field",
    "duplicated_same_id": "an event was delivered again with the same id: charged once",
    "late": "billed later than the bound",
    "billed_once": "billed once, as expected",
    "dropped_right": "had to be dropped, and was",
    "rejected_unbilled": "turned away by the gateway, and not billed",
    "unknown_billed": "answered in another way than expected, or not at all; billed",
    "unknown_unbilled": "answered in another way than expected, or not at all; not billed",
}
CLASSES = tuple(MEANINGS)
#: An event came before its request was begun: no class, but named as well.
BEFORE_START = "before_start"
#: The classes of which requests are named, and BEFORE_START.
NAMED = (*CLASSES[:6], *CLASSES[9:], BEFORE_START)
#: An event that was due and never billed: the place of its request in the ledger, and what the ledger says of that;
#: ``discarded`` where the endpoint took it for a duplicate of another event.
LOST = np.dtype(
    [("place", "<i8"), ("expectation", "<u4"), ("started_at", "<f8"), ("ended_at", "<f8"), ("discarded", "?")]
)
#: So many requests of each are named, those with the lowest numbers.
MOST_EXAMPLES = 100

_CODE = {name: code for code, name in enumerate(CLASSES)}
_DUE: dict[Due, int] = {"none": 0, "events": 1, "unknown": 2}
_STATUSES = 1 << 16
_STATES = 1 << 8


@dataclass
class EventCounts:
    """Events, not requests. ``due`` were to be billed: ``billed`` + ``missing``.

    ``wrong`` and ``late`` are billed all the same. ``missing_refused`` are those missing that came, but were never
    answered with success, ``missing_discarded`` those that the endpoint discarded because another event has their id.
    ``unknown_billed`` are of requests whose answer does not say what is due. ``charged_again`` were accepted again
    with a new id; ``delivered_again`` came again with the same one, and ``delivered_again_needlessly`` of these
    although an earlier delivery had been answered with success. ``unexpected`` stand for no event that was expected.
    ``before_start`` arrived before their request was begun.
    """

    due: int = 0
    billed: int = 0
    missing: int = 0
    missing_refused: int = 0
    missing_discarded: int = 0
    wrong: int = 0
    late: int = 0
    unknown_billed: int = 0
    charged_again: int = 0
    delivered_again: int = 0
    delivered_again_needlessly: int = 0
    unexpected: int = 0
    before_start: int = 0


class Classification:
    """Classifies the requests of a run, chunk by chunk of its ledger, once all arrivals are in their slots.

    ``tally`` counts requests by expectation and class, ``answers`` by status. ``places`` are those of the requests to
    be named. ``lost`` has the missing events (dtype LOST), ``unanswered`` when those requests began and ended that
    were not answered as expected. ``delivered`` says, by stop and expectation, when the last request began that ended
    before the stop and has an event billed; -inf without one. The slots' arrival times become latencies.
    """

    def __init__(
        self,
        expectations: Expectations,
        matching: Matching,
        slots: Slots,
        timeline: Timeline,
        late_after: float | None,
        stops: Sequence[float] = (),
    ) -> None:
        """``late_after`` is in seconds, ``stops`` are the times at which the gateway was told to stop."""
        self._matching, self._slots, self._timeline = matching, slots, timeline
        self._late_after, self._stops = late_after, tuple(stops)
        self.delivered = np.full((len(self._stops), max(1, len(expectations))), -np.inf)
        self._kinds, self._due, self._empty, self._answered = _due_tables(expectations)
        self.latencies = Latencies()
        self.tally = np.zeros((max(1, len(expectations)), len(CLASSES)), np.int64)
        self.answers = np.zeros(_STATUSES, np.int64)
        self.places: dict[str, list[int]] = {name: [] for name in NAMED}
        self.lost: list[Array] = []
        self.unanswered: list[Array] = []
        self._states = np.zeros(len(_DUE) * _STATES, np.int64)
        self._late = self._before_start = 0

    def take(self, place: int, rows: Array) -> None:
        """Classify the requests of ``rows``; the first one's place in the ledger is ``place``."""
        expectation = rows["expectation"].astype(np.int64)
        situation = self._kinds.take(expectation) * _STATUSES + rows["status"]
        due, code = self._due.take(situation), self._empty.take(situation)
        self._note_unanswered(rows, self._answered.take(situation))
        extra = np.flatnonzero(self._slots.extra[place : place + len(rows)])
        code[extra] = np.where(due[extra] == _DUE["none"], _CODE["billed_though_dropped"], _CODE["wrong"])
        started_at, ended_at = rows["started_at"].copy(), rows["ended_at"].copy()
        for of, slot in self._by_event(place, expectation):
            key = due.take(of).astype(np.int64) * _STATES + self._slots.state.take(slot)
            self._states += np.bincount(key, minlength=len(self._states))
            found = _SLOT_CLASS.take(key)
            late, early = self._measure(slot, key, started_at.take(of), ended_at.take(of))
            self._note_delivered(rows[of[_MEASURED.take(key)]] if self._stops else None)
            found[late] = np.minimum(found[late], _CODE["late"])
            code[of] = np.minimum(code.take(of), found)
            lost = np.flatnonzero(found == _CODE["missing"])
            if len(lost):
                self._note_lost(place, of.take(lost), rows, key.take(lost))
            if len(early):
                self._note(BEFORE_START, of.take(early) + place)
        self._count(place, rows, expectation, code)

    def events(self) -> EventCounts:
        """Return the counts of events."""
        states = self._states.reshape(len(_DUE), _STATES)
        bits = np.arange(_STATES)
        due, billed = states[_DUE["events"]], (bits & BILLED) != 0
        missing = int(due[~billed].sum())
        return EventCounts(
            due=int(due.sum()),
            billed=int(due.sum()) - missing,
            missing=missing,
            missing_refused=int(due[~billed & ((bits & REFUSED) != 0)].sum()),
            missing_discarded=int(due[~billed & ((bits & DISCARDED) != 0)].sum()),
            wrong=int(states[:, (bits & WRONG) != 0].sum()),
            late=self._late,
            unknown_billed=int(states[_DUE["unknown"], billed].sum()),
            charged_again=self._slots.charged_again,
            delivered_again=self._slots.delivered_again,
            delivered_again_needlessly=self._slots.needless,
            unexpected=self._slots.extras,
            before_start=self._before_start,
        )

    def _by_event(self, place: int, expectation: Array) -> Iterator[tuple[Array, Array]]:
        """Yield for each k which requests of the chunk have a k-th event, and its slots."""
        first = self._slots.first[place : place + len(expectation)].astype(np.int64)
        counts = self._matching.slots.take(expectation)
        for k in range(self._matching.most_slots):
            of = np.flatnonzero(counts > k)
            if len(of):
                yield of, first.take(of) + k

    def _measure(self, slot: Array, key: Array, started: Array, ended: Array) -> tuple[Array, Array]:
        """Put latencies where the arrival times were; return the places of late events, and of those too early."""
        slots, timeline, measured = self._slots, self._timeline, _MEASURED.take(key)
        arrived = slots.arrived_at.take(slot)
        early = np.flatnonzero(arrived < started)
        self._before_start += len(early)
        seconds = np.where(measured, arrived - ended, np.nan)
        slots.arrived_at[slot] = seconds
        late = np.zeros(0, np.int64)
        if self._late_after is not None:
            late = np.flatnonzero(seconds > self._late_after)
            self._late += len(late)
        timeline.count(timeline.due, timeline.of(ended[_IS_DUE.take(key)]))
        if not measured.all():
            ended, arrived, seconds = ended[measured], arrived[measured], seconds[measured]
        of_ended, of_bucket = timeline.of(ended), buckets(seconds)
        timeline.count(timeline.billed, timeline.of(arrived))
        timeline.add_lags(of_ended, of_bucket, seconds)
        self.latencies.add(seconds, of_bucket)
        return late, early

    def _note_lost(self, place: int, of: Array, rows: Array, key: Array) -> None:
        lost = np.zeros(len(of), LOST)
        lost["place"] = of + place
        for name in ("expectation", "started_at", "ended_at"):
            lost[name] = rows[name].take(of)
        lost["discarded"] = (key % _STATES & DISCARDED) != 0
        self.lost.append(lost)

    def _note_delivered(self, requests: Array | None) -> None:
        """Take in requests with an event that was billed, an entry an event."""
        for stop, latest in zip(self._stops, self.delivered, strict=True):
            assert requests is not None
            before = requests[requests["ended_at"] <= stop]
            np.maximum.at(latest, before["expectation"], before["started_at"])

    def _count(self, place: int, rows: Array, expectation: Array, code: Array) -> None:
        width = len(CLASSES)
        pairs = np.bincount(expectation * width + code, minlength=self.tally.size)
        self.tally += pairs.reshape(self.tally.shape)
        self.answers += np.bincount(rows["status"], minlength=_STATUSES)
        self._timeline.count(self._timeline.requests, self._timeline.of(rows["started_at"]))
        seen = np.bincount(code, minlength=width)
        for name in NAMED[:-1]:
            if seen[_CODE[name]]:
                self._note(name, np.flatnonzero(code == _CODE[name]) + place)

    def _note_unanswered(self, rows: Array, answered: Array) -> None:
        """Keep the times of the requests without the answer that was expected; one that never ended has no end."""
        unanswered = rows[~answered]
        if len(unanswered):
            ended = np.where(unanswered["ended_at"] > 0, unanswered["ended_at"], np.inf)
            self.unanswered.append(np.column_stack((unanswered["started_at"], ended)))

    def _note(self, name: str, places: Array) -> None:
        """Keep the first requests to be named; chunks come in the order of the ledger."""
        known = self.places[name]
        if len(known) < MOST_EXAMPLES or places[0] < known[-1]:
            merged = sorted({*known, *places[:MOST_EXAMPLES].tolist()})
            self.places[name] = merged[:MOST_EXAMPLES]


def _due_tables(expectations: Expectations) -> tuple[Array, Array, Array, Array]:
    """Return the kind of each expectation; by kind and status, what is due, the class if nothing arrived, and if the
    answer is the one expected.

    Expectations that differ in names, subjects or fields alone are of one kind.
    """
    kinds: dict[tuple[Any, ...], int] = {}
    places: list[int] = []
    due: list[Array] = []
    empty: list[Array] = []
    answered: list[Array] = []
    for item in expectations:
        kind = (bool(item.events), item.status, item.rejected, item.any_answer)
        if kind not in kinds:
            kinds[kind] = len(due)
            table = np.full(_STATUSES, _DUE[item.due(OTHER)], np.uint8)
            for status in (0, item.status, *item.rejected):
                table[status] = _DUE[item.due(status)]
            nothing = "rejected_unbilled" if item.events else "dropped_right"
            classes = [_CODE[nothing], _CODE["billed_once"], _CODE["unknown_unbilled"]]
            due.append(table)
            empty.append(np.array(classes, np.uint8)[table])
            right = np.full(_STATUSES, item.answered(OTHER), np.bool_)
            for status in (0, item.status, *item.rejected):
                right[status] = item.answered(status)
            answered.append(right)
        places.append(kinds[kind])
    none = [np.zeros(_STATUSES, np.uint8)]
    expected = np.concatenate(answered or [np.zeros(_STATUSES, np.bool_)])
    return np.array(places or [0], np.int64), np.concatenate(due or none), np.concatenate(empty or none), expected


def _slot_class(due: int, state: int) -> str:
    """Return the class that one slot makes of its request."""
    billed = state & BILLED
    if due == _DUE["none"]:
        return "billed_though_dropped" if billed else CLASSES[-1]
    if due == _DUE["events"] and not billed:
        return "missing"
    for bit, name in ((NEW_ID, "duplicated_new_id"), (WRONG, "wrong"), (SAME_ID, "duplicated_same_id")):
        if billed and state & bit:
            return name
    if due == _DUE["events"]:
        return "billed_once"
    return "unknown_billed" if billed else "unknown_unbilled"


_SLOT_CLASS = np.array(
    [_CODE[_slot_class(due, state)] for due in _DUE.values() for state in range(_STATES)],
    np.uint8,
)
_IS_DUE = np.repeat([due == "events" for due in _DUE], _STATES)
_MEASURED = _IS_DUE & np.tile((np.arange(_STATES) & BILLED) != 0, len(_DUE))
