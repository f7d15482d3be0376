"""How Amberflo's Go client turns records into batches, as a pure state machine (SPEC AMB-6, AMB-7, AMB-12).

It does no I/O and has no clock. A driver tells it the time, sends the batches it hands out, each at once and beside
the others, and says when a send is over::

    batcher.put(record, now)             # False: the request is held up until ``on_admitted`` is told of its record
    batcher.advance(now)                 # a batch to send now, or None; call it until it is None
    batcher.sent(now)                    # when a send is over, retries included; then advance again
    batcher.wake_at                      # otherwise call advance at this time; None: nothing to wait for

Times are seconds on any clock that does not go back. A record and a tick of one instant: the record comes first. (The
client takes either.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import floor, inf, nextafter
from typing import Generic, TypeVar

R = TypeVar("R")

#: Sends that may be under way at a time.
CONCURRENT_SENDS = 1000
#: Records that wait, while all sends are under way, without holding up their requests.
CHANNEL_SIZE = 100


class RecordBatcher(Generic[R]):
    """Batches of ``batch_size`` records leave at once, smaller ones at the next tick of a clock that starts ``now``.

    A tick comes every ``interval`` seconds whatever arrives; one that finds no record sends nothing. ``on_admitted``
    is told of each record that was refused a place at first and has got one.
    """

    __slots__ = (
        "_batch",
        "_batch_size",
        "_blocked",
        "_channel",
        "_closing",
        "_interval",
        "_next_tick",
        "_on_admitted",
        "_outgoing",
        "_outside",
        "_started_at",
        "sending",
    )

    def __init__(
        self, batch_size: int, interval: float, now: float, on_admitted: Callable[[R], None] = lambda record: None
    ) -> None:
        self._batch_size = batch_size
        self._interval = interval
        self._started_at = now
        self._next_tick = now + interval
        self._on_admitted = on_admitted
        self._batch: list[R] = []
        #: a batch that cannot leave since all sends are under way; nothing is taken from the channel meanwhile
        self._blocked: list[R] | None = None
        self._channel: deque[R] = deque()
        self._outside: deque[R] = deque()  # records that hold up their requests
        self._outgoing: deque[list[R]] = deque()
        self._closing = False
        #: how many sends are under way, those that ``advance`` is about to hand out among them
        self.sending = 0

    def __len__(self) -> int:
        """Return the number of records that have not left in a batch."""
        return len(self._batch) + len(self._blocked or ()) + len(self._channel) + len(self._outside)

    @property
    def busy(self) -> bool:
        """Whether any record has not left, or any send is under way."""
        return bool(self.sending or len(self))

    @property
    def wake_at(self) -> float | None:
        """When to advance if nothing else happens: the next tick, as long as it has something to send."""
        return self._next_tick if self._batch and self._blocked is None else None

    def put(self, record: R, now: float) -> bool:
        """Take in one record; return whether its request may go on (AMB-12). Call ``advance`` next."""
        if self._blocked is None:
            if now > self._next_tick:
                self._tick()
                self._next_tick = self._tick_from(now)
            self._take(record)
            return True
        if len(self._channel) < CHANNEL_SIZE:
            self._channel.append(record)
            return True
        self._outside.append(record)
        return False

    def advance(self, now: float) -> list[R] | None:
        """Let the clock tick; return a batch whose send begins now, or None."""
        if now >= self._next_tick and self._blocked is None:
            self._tick()
            self._next_tick = self._tick_from(nextafter(now, inf))
        return self._outgoing.popleft() if self._outgoing else None

    def sent(self, now: float) -> None:
        """A send is over, delivered or given up: what waited for it leaves, and what waited behind that moves up."""
        self.sending -= 1
        if self._blocked is None:
            return
        batch, self._blocked = self._blocked, None
        self._send(batch)
        if self._closing:
            self._flush()
        while self._channel and self._blocked is None:
            self._take(self._channel.popleft())
            if self._outside:
                self._admit()

    def shut_down(self) -> None:
        """A graceful stop: everything that waits leaves as one batch, however large, and the clock stops (AMB-11)."""
        self._closing = True
        if self._blocked is None:
            self._flush()

    def abandon(self) -> list[R]:
        """Lose everything; return what has not left in a batch, oldest first. The driver ends what is being sent."""
        lost = [*(self._blocked or ()), *self._batch, *self._channel, *self._outside]
        self._blocked = None
        self._batch = []
        self._channel.clear()
        self._outside.clear()
        self.sending = 0
        return lost

    def _take(self, record: R) -> None:
        self._batch.append(record)
        if len(self._batch) >= self._batch_size or self._closing:
            self._hand_over()

    def _tick(self) -> None:
        """The clock has ticked, once or more: ticks that nobody had time for are one."""
        if self._batch:
            self._hand_over()

    def _tick_from(self, earliest: float) -> float:
        """Return the first tick that is not before ``earliest``."""
        if earliest == inf:
            return inf
        number = floor((earliest - self._started_at) / self._interval)
        while (tick := self._started_at + number * self._interval) < earliest:
            number += 1
        return tick

    def _hand_over(self) -> None:
        batch, self._batch = self._batch, []
        if self.sending < CONCURRENT_SENDS:
            self._send(batch)
        else:
            self._blocked = batch

    def _send(self, batch: list[R]) -> None:
        self.sending += 1
        self._outgoing.append(batch)

    def _admit(self) -> None:
        record = self._outside.popleft()
        self._channel.append(record)
        self._on_admitted(record)

    def _flush(self) -> None:
        while self._channel:
            self._batch.append(self._channel.popleft())
            if self._outside:
                self._admit()
        if self._batch:
            self._hand_over()
