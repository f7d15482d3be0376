"""What is put into a simulated queue, and what is written down of what happens to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from operator import truediv

from plugin_emulator.queue import Loss
from plugin_emulator.runtime.simulation import Answer, Arrival

#: Of so many batches it is kept when they began.
_FIRST_BATCHES = 20


class Traffic:
    """Evenly spaced arrivals, made piece by piece for as long as ``goes_on(time)``."""

    def __init__(self, rate: float, event_bytes: int, goes_on: Callable[[float], bool]) -> None:
        self.count = 0
        self.ended = False
        self._rate, self._event_bytes, self._goes_on = rate, event_bytes, goes_on
        self._piece = max(1, min(1000, int(rate)))  # about a second's worth

    def arrivals(self) -> Iterator[Arrival]:
        """Yield the arrivals; memory does not grow with their number."""
        return chain.from_iterable(self._pieces())

    def arrived_by(self, t: float) -> int:
        """Return how many have arrived up to and including time ``t``."""
        number, rate = int(t * self._rate), self._rate
        while number / rate <= t:
            number += 1
        while number and (number - 1) / rate > t:
            number -= 1
        return min(number, self.count)

    def _pieces(self) -> Iterator[Iterator[Arrival]]:
        rate = self._rate
        while self._goes_on(self.count / rate):
            numbers = range(self.count, self.count + self._piece)
            self.count += self._piece
            yield map(Arrival, map(truediv, numbers, repeat(rate)), repeat(""), repeat(self._event_bytes))
        self.ended = True


class Record:
    """Adds up what happens from ``since`` to ``until`` and follows the backlog; times in seconds."""

    def __init__(self, traffic: Traffic, one_at_a_time: bool, since: float, until: float = math.inf) -> None:
        self._traffic, self._one_at_a_time = traffic, one_at_a_time
        self._since, self._until = since, until
        self._up_again_at = math.inf
        self._usual = 0
        self._sample_every = math.inf
        self._next_sample = math.inf
        self._resolved = 0
        self._resolved_before = 0
        self._under_way = 0
        self.arrived_before = 0
        self.delivered_events = self.posts = self.failed_posts = self.held = 0
        self._lost_by_reason: dict[Loss, int] = {}
        self._loss: Loss | None = None  # what was last lost, how much more of it, when, and until when that is all
        self._lost_alike = 0
        self._loss_at = self._loss_until = 0.0
        self.delays = self.max_delay = 0.0
        self.batches_began: list[float] = []
        self.recovered = False
        self.drained_at: float | None = None
        self.points: list[tuple[float, int]] = []
        self.losing: list[list[float]] = []

    def follow(self, up_again_at: float, usual: int, sample_every: float) -> None:
        """Keep the curve, and look for the end of the backlog from ``up_again_at`` on.

        Where there is no queue, the backlog is over when no more than the ``usual`` number is under way.
        """
        self._up_again_at = up_again_at
        self._usual = usual
        self._sample_every = sample_every
        self._next_sample = self._since

    def tried(self, t: float, entries: Sequence[Arrival], answer: Answer) -> None:
        """A try began at ``t``; a retry unless all entries sent before are accounted for."""
        if self._since <= t < self._until:
            self.posts += 1
            self.failed_posts += not answer.ok
        if self._under_way and self._one_at_a_time:
            return  # a retry
        self._look(t)
        self._under_way += len(entries)
        if len(self.batches_began) < _FIRST_BATCHES:
            self.batches_began.append(t)
        if t >= self._up_again_at and self._one_at_a_time and self._is_backlog_over(t):
            self._drained(t + answer.duration)
        self._look(t)

    def delivered(self, t: float, entries: Sequence[Arrival]) -> None:
        """The entries were accepted at ``t``."""
        self._look(t)
        number = len(entries)
        self._under_way -= number
        self._resolved += number
        if self._since <= t < self._until:
            self.delivered_events += number
            self.delays += t * number - sum([entry.t for entry in entries])
            self.max_delay = max(self.max_delay, t - entries[0].t)
        elif t < self._since:
            self._resolved_before += number
        if t >= self._up_again_at:
            self.recovered = True
            if self._is_backlog_over(t):
                self._drained(t)

    def lost(self, t: float, entries: Sequence[Arrival], reason: Loss) -> None:
        """The entries are lost from ``t`` on."""
        number = len(entries)
        if reason is self._loss and t < self._loss_until:  # one more of very many: as short as it can be
            self._resolved += number
            self._lost_alike += number
            self._loss_at = t
            return
        if reason is Loss.GAVE_UP:
            self._look(t)
            self._under_way -= number
        elif t >= self._next_sample:
            self._look(t)
        self._resolved += number
        if t < self._since:
            self._resolved_before += number
        elif t < self._until:
            self._lost_otherwise(t, number, reason)

    def losses(self) -> dict[str, int]:
        """Return how many events were lost for each reason."""
        self._close_loss()
        return {reason.value: number for reason, number in sorted(self._lost_by_reason.items())}

    def _lost_otherwise(self, t: float, number: int, reason: Loss) -> None:
        self._close_loss()
        if self.losing and t - self.losing[-1][1] <= self._sample_every:
            self.losing[-1][1] = t
        elif self._sample_every < math.inf:
            self.losing.append([t, t])
        self._lost_by_reason[reason] = self._lost_by_reason.get(reason, 0) + number
        if reason is not Loss.GAVE_UP:
            self._loss, self._loss_at = reason, t
            self._loss_until = min(self._until, self._next_sample, t + self._sample_every)

    def _close_loss(self) -> None:
        """Book the losses that were only counted."""
        if self._loss is not None:
            self._lost_by_reason[self._loss] += self._lost_alike
            if self.losing:
                self.losing[-1][1] = max(self.losing[-1][1], self._loss_at)
        self._loss, self._lost_alike = None, 0

    def counted(self, until: float) -> int:
        """Return how many events were in the queue at ``since`` or have arrived from then to ``until``."""
        return self._traffic.arrived_by(until) - self._resolved_before

    def _is_backlog_over(self, t: float) -> bool:
        held = self._traffic.arrived_by(t) - self._resolved
        return held <= (self._under_way if self._one_at_a_time else self._usual)

    def _look(self, t: float) -> None:
        held = self._traffic.arrived_by(t) - self._resolved
        if self._since <= t <= self._until:
            self.held = max(self.held, held)
            if t >= self._next_sample:
                self._next_sample = t + self._sample_every
                self.points.append((t - self._since, held - self._under_way if self._one_at_a_time else held))

    def _drained(self, t: float) -> None:
        if self.drained_at is None and not self._traffic.ended:
            self.drained_at = t
            self.points.append((t - self._since, 0))
