"""The queue in virtual time: an hour of retries in milliseconds.

``simulate`` drives one queue over arrivals and an ingest endpoint's behaviour and tells a recorder what happens;
``simulate_schedule`` is its form for one JSON schedule with a full trace.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal, Protocol

import msgspec

from ..queue import BatchQueue, CircuitBreaker, Delivery, Loss, QueueSettings


class Arrival(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An entry that is put into the queue at ``t`` seconds; ``bytes`` is its serialised size."""

    t: Annotated[float, msgspec.Meta(ge=0)]
    id: str
    bytes: Annotated[int, msgspec.Meta(ge=0)] = 0


class Answer(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """How the ingest endpoint answers one try: after ``duration`` seconds with ``status`` (0: no answer at all)."""

    status: Annotated[int, msgspec.Meta(ge=0, le=599)]
    duration: Annotated[float, msgspec.Meta(ge=0)] = 0.0

    @property
    def ok(self) -> bool:
        """Whether the sender counts the try as a success (RET-6)."""
        return 200 <= self.status < 300


#: ``(time the try begins, number of the try from 0)`` to the answer it gets.
Ingest = Callable[[float, int], Answer]


class Recorder(Protocol):
    """Told what happens, in order of time. Entries are those handed in."""

    def tried(self, t: float, entries: Sequence[Arrival], answer: Answer) -> None:
        """A try began at ``t``."""

    def delivered(self, t: float, entries: Sequence[Arrival]) -> None:
        """The entries were accepted; the answer arrived at ``t``."""

    def lost(self, t: float, entries: Sequence[Arrival], reason: Loss) -> None:
        """The entries are lost from ``t`` on."""


class Outcome(msgspec.Struct, frozen=True):
    """``peak_entries``: most entries that ever waited; ``ended_at``: when the last thing happened, in seconds."""

    peak_entries: int
    ended_at: float


def simulate(
    settings: QueueSettings,
    arrivals: Iterable[Arrival],
    ingest: Ingest,
    recorder: Recorder,
    stop_at: float | None = None,
) -> Outcome:
    """Run one queue in virtual time until nothing is left to happen.

    ``arrivals`` must be in order of time; those of one instant are all taken in before the processor runs.
    ``stop_at`` asks for a graceful stop at that time (LIF-2).
    """
    if settings.concurrency_limit == -1:
        return _simulate_unlimited(settings, arrivals, ingest, recorder)
    return _simulate_queue(settings, arrivals, ingest, recorder, stop_at)


def _simulate_queue(
    settings: QueueSettings, arrivals: Iterable[Arrival], ingest: Ingest, recorder: Recorder, stop_at: float | None
) -> Outcome:
    now = 0.0
    queue: BatchQueue[Arrival] = BatchQueue(settings, lambda entries, reason: recorder.lost(now, entries, reason))
    put, advance = queue.put, queue.advance
    coming = iter(arrivals)
    arrival = next(coming, None)
    under_way: tuple[Sequence[Arrival], Answer] | None = None
    next_step: float | None = None  # end of the try under way, or the queue's own wake-up
    tries = 0
    while arrival is not None or next_step is not None:
        if arrival is not None and (next_step is None or arrival.t <= next_step):
            now = arrival.t
            can_begin = False
            while arrival is not None and arrival.t == now:
                can_begin |= put(arrival, arrival.bytes, now)
                arrival = next(coming, None)
            if not can_begin and next_step != now:
                continue
        else:
            assert next_step is not None
            now = next_step
        if under_way is not None and next_step == now:
            batch, answer = under_way
            under_way = None
            if answer.ok:
                recorder.delivered(now, batch)
            queue.tried(answer.ok, now)
        if stop_at is not None and now >= stop_at:
            queue.shut_down()
        due = advance(now)
        if due is None:
            next_step = queue.wake_at
        else:
            answer = ingest(now, tries)
            tries += 1
            recorder.tried(now, due, answer)
            under_way = (due, answer)
            next_step = now + answer.duration
    return Outcome(queue.peak_entries, now)


def _simulate_unlimited(
    settings: QueueSettings, arrivals: Iterable[Arrival], ingest: Ingest, recorder: Recorder
) -> Outcome:
    """``concurrency_limit`` -1: every entry is sent, and retried, by itself at once; no queue, no limit (BAT-7)."""
    now = 0.0
    breaker = CircuitBreaker(settings)
    # (time, order of entry, delivery, answer of the try that ends then or None when the next try begins)
    steps: list[tuple[float, int, Delivery[Arrival], Answer | None]] = []
    order = 0
    tries = 0

    def begin_try(delivery: Delivery[Arrival]) -> None:
        nonlocal order, tries
        answer = ingest(now, tries)
        tries += 1
        order += 1
        recorder.tried(now, delivery.batch, answer)
        heapq.heappush(steps, (now + answer.duration, order, delivery, answer))

    coming = iter(arrivals)
    arrival = next(coming, None)
    while arrival is not None or steps:
        if arrival is not None and (not steps or arrival.t <= steps[0][0]):
            now = arrival.t
            if breaker.sheds(now):
                recorder.lost(now, (arrival,), Loss.BREAKER_OPEN)
            else:
                begin_try(Delivery(settings, [arrival], now))
            arrival = next(coming, None)
            continue
        now, _, delivery, answer = heapq.heappop(steps)
        if answer is None:
            begin_try(delivery)
        elif answer.ok:
            breaker.succeeded()
            recorder.delivered(now, delivery.batch)
        else:
            again_at = None if breaker.probing else delivery.failed(now)
            if again_at is None:
                recorder.lost(now, delivery.batch, Loss.GAVE_UP)
                breaker.gave_up(now)
            else:
                order += 1
                heapq.heappush(steps, (again_at, order, delivery, None))
    return Outcome(0, now)


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Queue settings, arrivals, and the answers of the ingest endpoint: one per try, the last one repeats.

    ``plugin`` is what tells this form of schedule from those of other plugins.
    """

    queue: QueueSettings
    arrivals: list[Arrival]
    ingest: list[Answer] = msgspec.field(default_factory=lambda: [Answer(202)])
    plugin: Literal["metering-and-billing"] = "metering-and-billing"

    def __post_init__(self) -> None:
        if not self.ingest:
            raise ValueError("`ingest` needs at least one answer")

    def answer(self, t: float, number: int) -> Answer:
        """Return the answer to try ``number`` (from 0)."""
        return self.ingest[number] if number < len(self.ingest) else self.ingest[-1]


class Try(msgspec.Struct, frozen=True, gc=False):
    """One POST: when it began, what it carried, how it was answered."""

    t: float
    entries: list[str]
    status: int
    duration: float


class Delivered(msgspec.Struct, frozen=True, gc=False):
    """An entry that arrived; ``t`` is when its answer came."""

    id: str
    t: float


class Lost(msgspec.Struct, frozen=True, gc=False):
    """An entry that will never arrive."""

    id: str
    t: float
    reason: str


class Trace(msgspec.Struct, frozen=True):
    """Everything that happened in one simulated schedule.

    ``tries`` and ``delivered`` are in order of time, ``lost`` in order of arrival.
    """

    tries: list[Try]
    delivered: list[Delivered]
    lost: list[Lost]
    peak_entries: int
    ended_at: float


class _TraceRecorder:
    __slots__ = ("_delivered", "_lost", "_tries")

    def __init__(self, tries: list[Try], delivered: list[Delivered], lost: list[Lost]) -> None:
        self._tries, self._delivered, self._lost = tries, delivered, lost

    def tried(self, t: float, entries: Sequence[Arrival], answer: Answer) -> None:
        self._tries.append(Try(t, [entry.id for entry in entries], answer.status, answer.duration))

    def delivered(self, t: float, entries: Sequence[Arrival]) -> None:
        self._delivered.extend([Delivered(entry.id, t) for entry in entries])

    def lost(self, t: float, entries: Sequence[Arrival], reason: Loss) -> None:
        self._lost.extend([Lost(entry.id, t, reason.value) for entry in entries])


def trace(schedule: Schedule, ingest: Ingest | None = None) -> Trace:
    """Simulate one schedule and record all of it. Arrivals need not be sorted.

    ``ingest`` says how each try is answered; None: as the schedule does.
    """
    tries: list[Try] = []
    delivered: list[Delivered] = []
    lost: list[Lost] = []
    arrivals = sorted(schedule.arrivals, key=lambda arrival: arrival.t)
    recorder = _TraceRecorder(tries, delivered, lost)
    outcome = simulate(schedule.queue, arrivals, ingest or schedule.answer, recorder)
    if lost:
        place = {arrival.id: number for number, arrival in enumerate(arrivals)}
        lost.sort(key=lambda entry: place[entry.id])
    return Trace(tries, delivered, lost, outcome.peak_entries, outcome.ended_at)


def simulate_schedule(schedule: dict[str, Any]) -> dict[str, Any]:
    """Simulate a schedule given as JSON data and return its trace as JSON data.

    Raises msgspec.ValidationError, whose text names the place, when the schedule is not one.
    """
    result: dict[str, Any] = msgspec.to_builtins(trace(msgspec.convert(schedule, Schedule)))
    return result
