"""Was every request billed once? The ledger of what was sent against the arrivals, request by request.

Every request of the ledger falls into exactly one class, the worst that applies; none is sampled. Files are read in
chunks, so that the memory needed is that of the slots: about 20 bytes a request with one event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram

from loadtests.arrivals import FAULTS, Arrivals
from loadtests.classification import CLASSES, LOST, MEANINGS, MOST_EXAMPLES, Classification, EventCounts
from loadtests.examples import Evidence, Example
from loadtests.expectations import Expectations
from loadtests.ledger import Ledger
from loadtests.matching import Array, Matching
from loadtests.numbers import label
from loadtests.slots import Slots
from loadtests.timeline import Timeline

__all__ = [
    "CLASSES",
    "MEANINGS",
    "WRONG",
    "Deliveries",
    "Reconciliation",
    "ReconciliationError",
    "Strangers",
    "reconcile",
]

#: The classes of requests that make a run wrong.
WRONG = ("missing", "duplicated_new_id", "billed_though_dropped", "wrong")
#: Rows read at a time: what is made of them fits into a processor's cache.
_CHUNK = 1 << 15


class ReconciliationError(ValueError):
    """The files of a run do not belong together. The message is one line."""


@dataclass
class Strangers:
    """Events that are of no request in the ledger, by what they lack; the first of them are ``examples``.

    ``not_in_ledger`` have a number of this run that no worker gave out. ``unnumbered_accepted`` are those of the
    ``unnumbered`` that are charged: what another plugin bills, or the same one a second time. ``malformed`` have a
    number that no run gives out, as when the gateway spoils it; ``malformed_accepted`` of these are charged.
    ``unrecorded`` events came to the endpoint, but it was killed before they were recorded, and before it answered.
    """

    other_run: int = 0
    unnumbered: int = 0
    unnumbered_accepted: int = 0
    malformed: int = 0
    malformed_accepted: int = 0
    not_in_ledger: int = 0
    unrecorded: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return self.other_run + self.unnumbered + self.malformed + self.not_in_ledger

    @property
    def billed_for_nothing(self) -> int:
        """How many events bill somebody for no request at all. What another run left behind is its own affair."""
        return self.unnumbered_accepted + self.malformed_accepted + self.not_in_ledger

    def in_words(self) -> str:
        """Return how many there are by kind, as ``3 without a number (2 accepted), 1 of another run``."""
        unnumbered = f"{self.unnumbered:,} without a number ({self.unnumbered_accepted:,} accepted)"
        malformed = f"{self.malformed:,} with a malformed number ({self.malformed_accepted:,} accepted)"
        kinds = (
            (self.unnumbered, unnumbered),
            (self.malformed, malformed),
            (self.not_in_ledger, f"{self.not_in_ledger:,} with a number that was never given out"),
            (self.other_run, f"{self.other_run:,} of another run"),
            (self.unrecorded, f"{self.unrecorded:,} not recorded"),
        )
        return ", ".join(words for count, words in kinds if count)


@dataclass
class Deliveries:
    """Requests that reached the ingest endpoint, with ``events`` in all.

    ``sizes`` is how many requests had so many events; ``by_status`` has 0 for no answer. ``retries`` brought an event
    that had come before, whatever became of it then.
    """

    requests: int = 0
    events: int = 0
    bytes: int = 0
    retries: int = 0
    sizes: dict[int, int] = field(default_factory=dict)
    by_status: dict[int, int] = field(default_factory=dict)
    by_fault: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """The result. ``classes`` and ``by_expectation`` count requests; ``classes`` sums up to ``requests``.

    ``answers`` counts requests by status, 0 for no answer. ``wrong_fields`` counts billed arrivals by what is wrong
    with them. ``latency`` has exact seconds (``p50``, ``p90``, ``p99``, ``p99.9``, ``min``, ``max``; empty when
    nothing was billed), from a request's end to the first accepted arrival of each event due; ``histogram`` has the
    same in microseconds. ``lost`` has the missing events (dtype LOST). ``delivered`` says, by stop of the gateway and
    expectation, when the last request began of those that ended before it and have an event billed. ``unanswered``
    has a row for each request whose answer was not the one expected, or that got none: when it began and ended,
    infinity when it never did. ``billable`` is how many requests have events when they are answered as expected.
    """

    run: str
    requests: int
    late_after: float | None
    clock_tolerance: float
    classes: dict[str, int]
    by_expectation: dict[str, dict[str, int]]
    answers: dict[int, int]
    events: EventCounts
    wrong_fields: dict[str, int]
    latency: dict[str, float]
    deliveries: Deliveries
    strangers: Strangers
    histogram: HdrHistogram = field(repr=False)
    timeline: Timeline = field(repr=False)
    examples: dict[str, tuple[Example, ...]] = field(repr=False)
    lost: Array = field(repr=False)
    delivered: Array = field(repr=False)
    unanswered: Array = field(repr=False)
    billable: int

    @property
    def right(self) -> bool:
        """Whether every request was billed as it must be, and nothing else was billed."""
        wrong = sum(self.classes[name] for name in WRONG)
        return not wrong and not self.strangers.billed_for_nothing

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values. The histogram is in HdrHistogram's own encoding."""
        deliveries = asdict(self.deliveries)
        return {
            "run": self.run,
            "right": self.right,
            "requests": self.requests,
            "late_after_seconds": self.late_after,
            "clock_tolerance_seconds": self.clock_tolerance,
            "classes": self.classes,
            "by_expectation": self.by_expectation,
            "answers": {str(status): count for status, count in self.answers.items()},
            "unanswered": len(self.unanswered),
            "billable": self.billable,
            "events": asdict(self.events),
            "wrong_fields": self.wrong_fields,
            "billing_latency_seconds": self.latency,
            "billing_latency_histogram": self.histogram.encode().decode("ascii"),
            "deliveries": {
                **deliveries,
                "sizes": [[size, count] for size, count in self.deliveries.sizes.items()],
                "by_status": {str(status): count for status, count in self.deliveries.by_status.items()},
            },
            "strangers": asdict(self.strangers),
            "timeline": self.timeline.to_json(),
            "examples": {kind: [each.to_json() for each in found] for kind, found in self.examples.items()},
        }


def reconcile(
    directory: Path, late_after: float | None = None, clock_tolerance: float = 0.0, stops: Sequence[float] = ()
) -> Reconciliation:
    """Reconcile the run in ``directory``: ledgers, expectations and arrivals.

    ``late_after`` is the bound in seconds between a request's end and the arrival of its events, None for no bound.
    ``clock_tolerance`` is how far, in seconds, the gateway's clock may be from those of the ledger: the time of an
    event must lie within its request, give or take that (EVT-4). ``stops`` are the times at which the gateway was
    told to stop, in seconds since the epoch. Raises LedgerError, ExpectationsError, RowFileError, ObservationsError,
    MatchingError, TooLarge or ReconciliationError (all OSError or ValueError), with one line that says what is wrong.
    """
    ledger, expectations = Ledger.read(directory), Expectations.read(directory)
    arrivals = Arrivals.read(directory)
    if arrivals.run != ledger.run:
        runs = f"the ledger is of run {ledger.run}, the arrivals are of run {arrivals.run}"
        raise ReconciliationError(f"{directory}: {runs}")
    matching = Matching(expectations, arrivals.observations)
    slots = Slots(ledger, matching, arrivals.events, _CHUNK, clock_tolerance)
    strangers, retried = _take_arrivals(ledger, arrivals, matching, slots)
    timeline = Timeline(*_span(slots, arrivals))
    deliveries = _take_deliveries(arrivals, retried, timeline, strangers)
    classification = Classification(expectations, matching, slots, timeline, late_after, stops)
    place = 0
    for _, _, rows in ledger.chunks(_CHUNK):
        classification.take(place, rows)
        place += len(rows)
    classes = dict(zip(CLASSES, classification.tally.sum(axis=0).tolist(), strict=True))
    assert sum(classes.values()) == len(ledger), "a request is in no class, or in two"
    answers, unanswered = classification.answers, classification.unanswered
    return Reconciliation(
        run=ledger.run,
        requests=len(ledger),
        late_after=late_after,
        clock_tolerance=clock_tolerance,
        classes=classes,
        by_expectation={
            item.name: {name: count for name, count in zip(CLASSES, counts, strict=True) if count}
            for item, counts in zip(expectations, classification.tally.tolist(), strict=False)
        },
        answers={int(status): int(answers[status]) for status in np.flatnonzero(answers)},
        events=classification.events(),
        wrong_fields=_wrong_fields(matching, slots),
        latency=classification.latencies.exact(slots.arrived_at),
        deliveries=deliveries,
        strangers=strangers,
        histogram=classification.latencies.histogram(),
        timeline=timeline,
        examples=Evidence(ledger, expectations, arrivals, matching, slots).examples(classification.places),
        lost=np.concatenate(classification.lost) if classification.lost else np.zeros(0, LOST),
        delivered=classification.delivered,
        unanswered=np.concatenate(unanswered) if unanswered else np.zeros((0, 2)),
        billable=sum(
            sum(counts)
            for item, counts in zip(expectations, classification.tally.tolist(), strict=False)
            if item.events
        ),
    )


def _span(slots: Slots, arrivals: Arrivals) -> tuple[float, float]:
    """Return the first and last time of anything in the run."""
    times = list(slots.span)
    for _, rows in arrivals.deliveries.chunks(_CHUNK):
        times += (float(rows["arrived_at"].min()), float(rows["arrived_at"].max()))
    return min(times, default=0.0), max(times, default=0.0)


def _take_arrivals(ledger: Ledger, arrivals: Arrivals, matching: Matching, slots: Slots) -> tuple[Strangers, Array]:
    """Put all arrivals into their slots; return those of no request, and which deliveries were tried before."""
    retried = np.zeros(arrivals.deliveries.rows, np.bool_)
    strangers = Strangers(examples=list(arrivals.strangers))
    for start, rows in arrivals.events.chunks(_CHUNK):
        if rows["observation"].max() >= len(arrivals.observations) or rows["delivery"].max() >= len(retried):
            raise ReconciliationError(f"{arrivals.events.path}: is damaged: a row points to nothing")
        unknown = slots.take(start, rows, retried)
        if len(unknown):
            strangers.not_in_ledger += len(unknown)
            room = 2 * MOST_EXAMPLES - len(strangers.examples)
            strangers.examples += [_stranger(ledger.run, arrivals, row) for row in rows[unknown[: max(room, 0)]]]
    slots.settle()
    return strangers, retried


def _take_deliveries(arrivals: Arrivals, retried: Array, timeline: Timeline, strangers: Strangers) -> Deliveries:
    """Count the requests at the ingest endpoint, and the strangers that have no row."""
    deliveries = Deliveries()
    for start, rows in arrivals.deliveries.chunks(_CHUNK):
        _count_deliveries(deliveries, timeline, rows, retried[start : start + len(rows)])
        strangers.other_run += int(rows["other_run"].sum(dtype=np.int64))
        strangers.unnumbered += int(rows["unnumbered"].sum(dtype=np.int64))
        strangers.unnumbered_accepted += int(rows["unnumbered_accepted"].sum(dtype=np.int64))
        strangers.malformed += int(rows["malformed"].sum(dtype=np.int64))
        strangers.malformed_accepted += int(rows["malformed_accepted"].sum(dtype=np.int64))
    elsewhere = strangers.other_run + strangers.unnumbered + strangers.malformed
    strangers.unrecorded = deliveries.events - elsewhere - arrivals.events.rows
    return deliveries


def _stranger(run: str, arrivals: Arrivals, row: Any) -> dict[str, Any]:
    seen = arrivals.observations.items[row["observation"]]
    return {
        "lane": seen.lane,
        "arrived_at": float(row["arrived_at"]),
        "number": label(run, int(row["worker"]), int(row["n"])),
        "type": seen.type,
        "subject": seen.subject,
        "source": seen.source,
    }


def _count_deliveries(total: Deliveries, timeline: Timeline, rows: Array, retried: Array) -> None:
    entries, status = rows["entries"], rows["status"]
    total.requests += len(rows)
    total.events += int(entries.sum(dtype=np.int64))
    total.bytes += int(rows["size"].sum(dtype=np.int64))
    total.retries += int(retried.sum())
    for table, values in ((total.sizes, entries), (total.by_status, status)):
        for value, count in zip(*(each.tolist() for each in np.unique(values, return_counts=True)), strict=True):
            table[value] = table.get(value, 0) + count
    for code, count in enumerate(np.bincount(rows["fault"], minlength=len(FAULTS)).tolist()):
        if code and count:
            total.by_fault[FAULTS[code]] = total.by_fault.get(FAULTS[code], 0) + count
    of = timeline.of(rows["arrived_at"])
    timeline.count(timeline.events, of, entries)
    timeline.count(timeline.deliveries, of)
    timeline.count(timeline.retries, of[retried])
    timeline.count(timeline.refused, of[(status < 200) | (status >= 300)])


def _wrong_fields(matching: Matching, slots: Slots) -> dict[str, int]:
    """Return how many billed arrivals had each thing wrong."""
    counts = Counter(subject=slots.wrong_subjects, time=slots.wrong_times, id=slots.wrong_ids)
    for paths, count in zip(matching.fields, slots.wrong_fields.tolist(), strict=False):
        counts.update(dict.fromkeys(paths, count))
    for path, count in zip(matching.status_fields, slots.wrong_statuses.tolist(), strict=False):
        counts[path] += count
    return {path: count for path, count in sorted(counts.items()) if count}
