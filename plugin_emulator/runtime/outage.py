"""Steady traffic and an ingest endpoint that goes away and comes back, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ..queue import Loss, QueueSettings
from .simulation import Answer, Arrival, simulate


class Outage(msgspec.Struct, frozen=True):
    """The ingest endpoint answers 503 from ``start`` for ``length`` seconds."""

    start: float
    length: float

    def covers(self, t: float) -> bool:
        """Return whether a try that begins at ``t`` seconds fails."""
        return self.start <= t < self.start + self.length


class Steady(msgspec.Struct, frozen=True):
    """``rate`` events a second, evenly spaced, for ``duration`` seconds, each of ``entry_bytes`` bytes.

    A POST takes ``rtt`` seconds whatever the answer.
    """

    rate: float
    duration: float
    entry_bytes: int
    rtt: float
    outages: tuple[Outage, ...] = ()

    def arrivals(self) -> Iterator[Arrival]:
        """Yield the arrivals one by one: memory does not grow with their number."""
        rate, size = self.rate, self.entry_bytes
        for number in range(round(rate * self.duration)):
            yield Arrival(number / rate, "", size)

    def answer(self, t: float, number: int) -> Answer:
        """Return how the try that begins at ``t`` is answered."""
        down = any(outage.covers(t) for outage in self.outages)
        return Answer(503 if down else 202, self.rtt)


class Summary(msgspec.Struct, frozen=True):
    """What became of the events. Delays, in seconds, run from arrival in the queue to the ingest's answer."""

    arrived: int
    delivered: int
    lost: dict[str, int]
    posts: int
    failed_posts: int
    peak_entries: int
    mean_delay: float
    max_delay: float
    ended_at: float


class _Tally:
    def __init__(self) -> None:
        self.delivered_count = 0
        self.posts = 0
        self.failed_posts = 0
        self.lost_by_reason: dict[str, int] = {}
        self.delay = 0.0
        self.max_delay = 0.0

    def tried(self, t: float, entries: Sequence[Arrival], answer: Answer) -> None:
        self.posts += 1
        self.failed_posts += not answer.ok

    def delivered(self, t: float, entries: Sequence[Arrival]) -> None:
        self.delivered_count += len(entries)
        self.delay += t * len(entries) - sum(entry.t for entry in entries)
        self.max_delay = max(self.max_delay, t - entries[0].t)

    def lost(self, t: float, entries: Sequence[Arrival], reason: Loss) -> None:
        self.lost_by_reason[reason.value] = self.lost_by_reason.get(reason.value, 0) + len(entries)


def run_steady(settings: QueueSettings, steady: Steady) -> Summary:
    """Simulate steady traffic through one queue and sum up what is sent and lost."""
    tally = _Tally()
    outcome = simulate(settings, steady.arrivals(), steady.answer, tally)
    delivered = tally.delivered_count
    return Summary(
        arrived=delivered + sum(tally.lost_by_reason.values()),
        delivered=delivered,
        lost=tally.lost_by_reason,
        posts=tally.posts,
        failed_posts=tally.failed_posts,
        peak_entries=outcome.peak_entries,
        mean_delay=tally.delay / delivered if delivered else 0.0,
        max_delay=tally.max_delay,
        ended_at=outcome.ended_at,
    )
