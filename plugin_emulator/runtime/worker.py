"""The queue in real time: one plugin instance's queue on an asyncio event loop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from .. import log_line
from ..delivery.counts import Counts
from ..delivery.event_journal import EventJournal
from ..delivery.http_sender import Try
from ..queue import BatchQueue, CircuitBreaker, Delivery, Loss, QueueSettings

#: Event loops keep timers in milliseconds; half of one on top keeps them from firing early.
_TIMER_SLACK = 0.0005

_IN_WORDS = {
    Loss.OVERFLOW_ENTRIES: "max_entries are waiting, the oldest had to go",
    Loss.OVERFLOW_BYTES: "max_bytes are waiting, the oldest had to go",
    Loss.TOO_LARGE: "larger than max_bytes",
    Loss.WINDOW_FULL: "the batch that is being collected fills the queue",
    Loss.GAVE_UP: "given up after max_retry_time",
    Loss.BREAKER_OPEN: "the circuit breaker is open",
    Loss.STOPPED: "the gateway was stopped",
}
_RULES = {
    Loss.OVERFLOW_ENTRIES: "CAP-1",
    Loss.OVERFLOW_BYTES: "CAP-2",
    Loss.TOO_LARGE: "CAP-2",
    Loss.WINDOW_FULL: "CAP-4",
    Loss.GAVE_UP: "RET-2",
    Loss.BREAKER_OPEN: "BRK-2",
    Loss.STOPPED: "LIF-2",
}


class Sender(Protocol):
    """Sends one batch of serialised events."""

    async def send(self, batch: Sequence[bytes]) -> Try:
        """Try once; must not raise for what the other side does."""

    async def close(self) -> None:
        """Let go of all connections."""

    async def unused(self) -> None:
        """Return when no try is under way."""


class QueueWorker:
    """Drives a BatchQueue with the loop's clock and a Sender.

    ``put`` is called from the loop's own thread. ``settings`` given later through ``configure`` hold from the
    moment the queue is empty; a new sender is used from the next try on (LIF-3). ``journal`` is told of every try
    and loss.
    """

    def __init__(
        self,
        name: str,
        settings: QueueSettings,
        sender: Sender,
        log: Callable[[str], None],
        journal: EventJournal | None = None,
    ) -> None:
        self.counts = Counts()
        self._journal = journal
        self._name = name
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._sender = sender
        self._settings = settings
        self._queue = self._new_queue()
        self._breaker = CircuitBreaker(settings)
        self._timer: asyncio.TimerHandle | None = None
        #: when the timer rings; not asked of the timer, since uvloop's have no time when that is less than 1 ms away
        self._rings_at = math.inf
        self._reconfigured = False
        self._under_way: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Number of entries that wait in the queue."""
        return len(self._queue)

    @property
    def busy(self) -> bool:
        """Whether anything is waiting, being sent or to be retried."""
        return self._queue.busy or bool(self._under_way)

    def put(self, entry: bytes) -> None:
        """Take in one serialised event; never blocks (DLV-5)."""
        if self._reconfigured and not self.busy:
            self._reconfigured = False
            self._queue = self._new_queue()
            self._breaker = CircuitBreaker(self._settings)
        queue = self._queue
        now = self._now()
        if queue.settings.concurrency_limit == -1:
            self._send_alone(entry, now)
            return
        batch = queue.arrive(entry, len(entry), now)
        if batch is not None:
            self._start(self._try(batch))
        else:
            self._arm(queue.wake_at)

    def configure(self, settings: QueueSettings, sender: Sender) -> Sender:
        """Use a new configuration; return the sender it replaces, which the caller closes."""
        if settings != self._settings:
            self._settings = settings
            self._reconfigured = True
        old, self._sender = self._sender, sender
        return old

    async def drain(self) -> None:
        """Return when everything was delivered or given up, windows cut short as on a graceful stop (LIF-2)."""
        self._queue.shut_down()
        await self.idle()

    async def idle(self) -> None:
        """Return when nothing waits, is under way or will be retried."""
        while self.busy:
            self._idle.clear()
            await self._idle.wait()

    def abandon(self) -> int:
        """Lose everything at once, as on a fast stop (LIF-2); return how many events that were."""
        alone = len(self._under_way) if self._queue.settings.concurrency_limit == -1 else 0
        for task in self._under_way:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if alone:
            self.counts.lost[Loss.STOPPED.value] += alone
            if self._journal is not None:
                self._journal.abandoned(_RULES[Loss.STOPPED], _IN_WORDS[Loss.STOPPED])
        return self._queue.abandon() + alone

    async def close(self) -> None:
        """Let go of the connections; call it after ``drain`` or ``abandon``."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._sender.close()

    def _new_queue(self) -> BatchQueue[bytes]:
        return BatchQueue(self._settings, self._lost, lambda warning: self._log(f"{self._name}: {warning}"))

    def _step(self, now: float) -> None:
        batch = self._queue.advance(now)
        if batch is not None:
            self._start(self._try(batch))
            return
        wake_at = self._queue.wake_at
        if wake_at is None:
            self._idle.set()
        else:
            self._arm(wake_at)

    def _arm(self, wake_at: float | None) -> None:
        """Wake at that time, or earlier: a timer that finds nothing due is armed again."""
        if wake_at is None or (self._timer is not None and self._rings_at <= wake_at + _TIMER_SLACK):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = wake_at + _TIMER_SLACK
        self._timer = self._loop.call_at(self._rings_at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._step(self._now())

    def _start(self, delivery: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(delivery)
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._log(
                log_line.error(f"{self._name}: a delivery failed unexpectedly: {type(task.exception()).__name__}")
            )
        if not self.busy:
            self._idle.set()

    async def _try(self, batch: list[bytes]) -> None:
        result = await self._post(batch)
        now = self._now()
        self._queue.tried(result.ok, now)
        self._step(now)

    async def _post(self, batch: list[bytes]) -> Try:
        self.counts.posts += 1
        if self._journal is not None:
            self._journal.sending(batch)
        began = self._now()
        try:
            result = await self._sender.send(batch)
        except Exception as error:  # whatever went wrong, the queue's rules for a failed try hold
            result = Try(False, f"could not be sent to: {type(error).__name__}")
        if self._journal is not None:
            self._journal.tried(batch, result)
        if result.ok:
            self.counts.delivered += len(batch)
            self.counts.delivery_seconds += self._now() - began
        else:
            self.counts.failed_posts += 1
            self._log(f"{self._name}: could not send {len(batch)} event(s): the ingest endpoint {result.problem}")
        return result

    def _send_alone(self, entry: bytes, now: float) -> None:
        if self._breaker.sheds(now):
            self._lost((entry,), Loss.BREAKER_OPEN)
        else:
            self._start(self._deliver_alone(Delivery(self._queue.settings, [entry], now)))

    async def _deliver_alone(self, delivery: Delivery[bytes]) -> None:
        """``concurrency_limit`` -1: one entry, tried until delivered or given up (BAT-7)."""
        while not (await self._post(delivery.batch)).ok:
            now = self._now()
            again_at = None if self._breaker.probing else delivery.failed(now)
            if again_at is None:
                self._lost(delivery.batch, Loss.GAVE_UP)
                self._breaker.gave_up(now)
                return
            await asyncio.sleep(again_at - now)
        self._breaker.succeeded()

    def _lost(self, entries: Sequence[bytes], reason: Loss) -> None:
        if self._journal is not None:
            self._journal.lost(entries, _RULES[reason], _IN_WORDS[reason])
        lost = self.counts.lost
        # One line for the first of a row: an overflow loses entries one by one, at the rate of the traffic.
        if reason is Loss.GAVE_UP or not lost[reason.value] & (lost[reason.value] - 1):
            count = lost[reason.value]
            self._log(
                log_line.error(
                    f"{self._name}: {len(entries)} event(s) lost: {_IN_WORDS[reason]} ({count:,} so before)"
                )
            )
        lost[reason.value] += len(entries)
