"""Simulated runs of one worker's queue: steady traffic by itself, and with an outage in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from plugin_emulator.queue import QueueSettings
from plugin_emulator.runtime.simulation import Answer, simulate

from .record import Record, Traffic
from .workload import (
    OutageKind,
    Workload,
    capacity,
    cycle,
    events_per_post,
    first_try_from,
    given_up_after,
    keeps_up,
    room,
)

#: Points of a curve of waiting events.
_SAMPLES = 600
#: Steady traffic is watched for this long, or for so many POSTs, with at most so many arrivals.
_STEADY_SECONDS = 60.0
_STEADY_POSTS = 20
_STEADY_ARRIVALS = 300_000
#: An outage begins after so many batches, or fewer, when they are far apart: after about so many arrivals.
_BATCHES_BEFORE = 5
_ARRIVALS_BEFORE = 20_000
#: A backlog that has not drained after so many arrivals more, and twice its own number, is not watched any further.
_MOST_WHILE_DRAINING = 200_000
#: How long a queue that cannot drain is watched after the outage, in seconds.
_WATCHED_AFTER = 60.0
#: With ``concurrency_limit`` -1 every event fares by itself: of more tries than this, one event in n is simulated.
_MOST_TRIES = 200_000


@dataclass(frozen=True, slots=True)
class SteadyFigures:
    """One queue without an outage. ``lost`` and ``posts`` are a second; delays in seconds.

    A queue that cannot keep up is looked at once it is full.
    """

    posts: float
    lost: dict[str, float]
    peak_entries: int
    mean_delay: float
    max_delay: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Waiting events over time, and stretches of time in which some were lost; seconds from the outage's start."""

    points: list[tuple[float, int]] = field(repr=False)
    losing: list[tuple[float, float]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class OutageFigures:
    """One queue from the start of an outage to the end of its backlog. Counts of events, times in seconds.

    ``arrived`` includes the events that were in the queue when it began; ``arrived`` less ``delivered`` and ``lost``
    still waited when the simulation was ended, which is so only when ``drained_after`` is None.
    ``held`` is the most events in memory at a time: waiting, being sent or between two tries. ``drained_after``
    runs from the outage's end; ``watched`` from there to the end of the traffic.
    """

    kind: OutageKind
    length: float
    start: float
    arrived: int
    delivered: int
    lost: dict[str, int]
    posts: int
    failed_posts: int
    peak_entries: int
    held: int
    mean_delay: float
    max_delay: float
    drained_after: float | None
    watched: float
    curve: Curve = field(repr=False, compare=False)

    @property
    def lost_events(self) -> int:
        """All events lost, whatever the reason."""
        return sum(self.lost.values())


def run_steady(settings: QueueSettings, workload: Workload) -> tuple[SteadyFigures, list[float]]:
    """Simulate traffic without an outage; return its figures and when its first batches began, in seconds.

    A queue that keeps up starts empty. One that does not is filled first, by a POST that takes as long as that.
    """
    rate = workload.rate
    began = _full_at(settings, workload)
    length = max(_STEADY_SECONDS, _STEADY_POSTS * cycle(settings, workload))
    until = began + min(length, _STEADY_ARRIVALS / rate)
    traffic = Traffic(rate, workload.event_bytes, lambda t: t < until)
    record = Record(traffic, settings.concurrency_limit == 1, began, until)

    def ingest(t: float, number: int) -> Answer:
        return Answer(202, began - t if number == 0 and began > t else workload.rtt)

    outcome = simulate(settings, traffic.arrivals(), ingest, record)
    seconds = until - began
    figures = SteadyFigures(
        posts=record.posts / seconds,
        lost={reason: number / seconds for reason, number in record.losses().items()},
        peak_entries=outcome.peak_entries,
        mean_delay=record.delays / record.delivered_events if record.delivered_events else 0.0,
        max_delay=record.max_delay,
    )
    return figures, record.batches_began


def run_outage(
    settings: QueueSettings,
    workload: Workload,
    kind: OutageKind,
    length: float,
    start: float,
    to_the_end: bool = True,
) -> OutageFigures:
    """Simulate one outage that begins at ``start``.

    Traffic goes on until the backlog has drained, or, when not ``to_the_end``, until the first POST after the outage
    has succeeded: from then on a queue that keeps up only gets shorter. A queue that does not is full by ``start``.
    """
    thinning = _thinning(settings, workload, kind, length)
    rate = workload.rate / thinning
    end = start + length
    drains = keeps_up(settings, workload)
    until = math.inf if drains else end + _WATCHED_AFTER
    latest = end + _longest_drain(settings, workload, kind, length) if drains else until

    def goes_on(t: float) -> bool:
        if t <= end:
            return True
        over = record.drained_at is not None if to_the_end else record.recovered
        return t < latest and not (drains and over)

    traffic = Traffic(rate, workload.event_bytes, goes_on)
    record = Record(traffic, settings.concurrency_limit == 1, start, until)
    record.follow(end, math.ceil(rate * workload.rtt) + 1, sample_every=length / _SAMPLES)
    full_at = 0.0 if drains else start
    down, up = workload.failure(kind), Answer(202, workload.rtt)

    def ingest(t: float, number: int) -> Answer:
        if start <= t < end:
            return down
        return Answer(202, full_at - t) if number == 0 and full_at > t else up

    outcome = simulate(settings, traffic.arrivals(), ingest, record)
    traffic_ended = traffic.count / rate
    counted_until = until if until < math.inf else outcome.ended_at
    return OutageFigures(
        kind=kind,
        length=length,
        start=start,
        arrived=record.counted(counted_until) * thinning,
        delivered=record.delivered_events * thinning,
        lost={reason: number * thinning for reason, number in record.losses().items()},
        posts=record.posts * thinning,
        failed_posts=record.failed_posts * thinning,
        peak_entries=outcome.peak_entries,
        held=record.held * thinning,
        mean_delay=record.delays / record.delivered_events if record.delivered_events else 0.0,
        max_delay=record.max_delay,
        drained_after=record.drained_at - end if record.drained_at is not None and drains else None,
        watched=max(0.0, min(traffic_ended, until) - end),
        curve=Curve(
            points=[(t, number * thinning) for t, number in record.points],
            losing=[(began - start, ended - start) for began, ended in record.losing],
        ),
    )


def outage_starts(settings: QueueSettings, workload: Workload, began: Sequence[float], shifts: int) -> list[float]:
    """Return instants at which an outage may begin: at a try of steady traffic, and ``shifts`` more before it.

    ``began`` is when the first batches of steady traffic left. The first instant is the worst one: the try that
    begins then fails, and the whole outage is still to come.
    """
    full_at = _full_at(settings, workload)
    if full_at:
        return [full_at]
    if not began:  # nothing is ever sent: every event is refused
        return [5 / workload.rate]
    early = [at for at in began[: _BATCHES_BEFORE + 1] if at * workload.rate < _ARRIVALS_BEFORE]
    place = max(len(early), min(2, len(began))) - 1
    at = began[place]
    period = at - began[place - 1] if place else cycle(settings, workload)
    return [at] + [at - period * shift / (shifts + 1) for shift in range(1, shifts + 1) if at >= period]


def tries_in_outage(settings: QueueSettings, workload: Workload, kind: OutageKind, length: float) -> int:
    """Return about how many tries one batch takes in the outage."""
    fails_after = workload.failure(kind).duration
    return min(first_try_from(settings, fails_after, length)[1], given_up_after(settings, fails_after)[1])


def _full_at(settings: QueueSettings, workload: Workload) -> float:
    """Return by when a queue that cannot keep up is full, in seconds; 0 for one that does."""
    if keeps_up(settings, workload):
        return 0.0
    return (room(settings, workload.event_bytes) + 2 * events_per_post(settings)) / workload.rate


def _longest_drain(settings: QueueSettings, workload: Workload, kind: OutageKind, length: float) -> float:
    """Return how long after the outage its backlog can last, with plenty to spare, in seconds."""
    recovery = first_try_from(settings, workload.failure(kind).duration, length)[0] - length + workload.rtt
    held = min(room(settings, workload.event_bytes), workload.rate * (length + recovery)) + settings.max_batch_size
    drain = held / (capacity(settings, workload.rtt) - workload.rate)
    most = max(_MOST_WHILE_DRAINING, 2 * held) / workload.rate
    return recovery + min(2 * drain, most) + 5 * cycle(settings, workload) + 60.0


def _thinning(settings: QueueSettings, workload: Workload, kind: OutageKind, length: float) -> int:
    """Return n when one event in n is enough: with no queue, and no breaker, events know nothing of each other."""
    if settings.concurrency_limit == 1 or settings.failure_threshold:
        return 1
    tries = workload.rate * length * tries_in_outage(settings, workload, kind, length)
    return max(1, math.ceil(tries / _MOST_TRIES))
