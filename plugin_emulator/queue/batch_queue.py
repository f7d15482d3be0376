"""Kong's queue as a pure state machine: entries in, batches out (SPEC BAT, RET, CAP, BRK).

It does no I/O and has no clock. A driver tells it the time, sends the batches it hands out and reports how each try
went::

    queue.put(entry, size, now)          # any number of arrivals of one instant; if any returned True:
    batch = queue.advance(now)           # a batch to try now, or None
    queue.tried(ok, now)                 # when that try is over; then advance again
    queue.wake_at                        # otherwise call advance at this time; None: nothing to wait for

Times are seconds on any clock that does not go back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum, StrEnum
from typing import Generic, TypeVar

from .backoff import Delivery
from .circuit_breaker import CircuitBreaker
from .settings import QueueSettings

E = TypeVar("E")

#: With less than this left of the window, the batch leaves (BAT-4); a shorter window is none at all (BAT-6).
SHORTEST_WAIT = 0.05
#: The processor waits at most this long at a stretch, then looks for a shutdown and at the rest of its window.
POLL_INTERVAL = 1.0
#: Share of ``max_entries`` from which a warning is given (CAP-6).
CAPACITY_WARNING = 0.8


class Loss(StrEnum):
    """Why an entry was lost."""

    OVERFLOW_ENTRIES = "overflow_entries"
    OVERFLOW_BYTES = "overflow_bytes"
    TOO_LARGE = "too_large"
    WINDOW_FULL = "window_full"
    GAVE_UP = "gave_up"
    BREAKER_OPEN = "breaker_open"
    #: The gateway stopped without draining (LIF-1, LIF-2).
    STOPPED = "stopped"


#: Told of every loss: the entries, oldest first, and the reason.
OnLost = Callable[[Sequence[E], Loss], None]


class _State(Enum):
    IDLE = 0  # nothing claimed; entries may be waiting
    COALESCING = 1  # the window of the next batch is open
    SENDING = 2  # a try is under way
    BACKING_OFF = 3  # between two tries


class BatchQueue(Generic[E]):
    """One queue with one processor (``concurrency_limit`` 1)."""

    __slots__ = (
        "_breaker",
        "_bytes",
        "_claimed",
        "_delivery",
        "_entries",
        "_exiting",
        "_max_bytes",
        "_max_entries",
        "_on_lost",
        "_on_warning",
        "_sizes",
        "_state",
        "_warn_from",
        "_warned",
        "_window",
        "_window_began",
        "peak_entries",
        "settings",
        "wake_at",
    )

    def __init__(
        self,
        settings: QueueSettings,
        on_lost: OnLost[E],
        on_warning: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.settings = settings
        self.wake_at: float | None = None
        self.peak_entries = 0
        self._on_lost = on_lost
        self._on_warning = on_warning
        self._max_entries = settings.max_entries
        self._max_bytes = settings.max_bytes
        self._warn_from = settings.max_entries * CAPACITY_WARNING
        self._warned = False
        self._entries: deque[E] = deque()
        self._sizes: deque[int] = deque()  # used with max_bytes only
        self._bytes = 0
        self._claimed = 0  # entries counted into the open window; they still take up room (CAP-4)
        self._window = settings.max_coalescing_delay
        self._window_began = 0.0
        self._state = _State.IDLE
        self._delivery: Delivery[E] | None = None
        self._breaker = CircuitBreaker(settings) if settings.failure_threshold else None
        self._exiting = False

    def __len__(self) -> int:
        """Return the number of waiting entries; a batch being sent or retried no longer counts (CAP-3)."""
        return len(self._entries)

    @property
    def busy(self) -> bool:
        """Whether entries are waiting, being sent or between two tries."""
        return self._state is not _State.IDLE or bool(self._entries)

    def put(self, entry: E, size: int, now: float) -> bool:
        """Take in one entry of ``size`` bytes, making room as Kong does, in Kong's order (CAP-1…6).

        Return whether ``advance`` must follow: while a batch is under way nothing can begin.
        """
        if self._breaker is not None and self._breaker.sheds(now):
            self._on_lost((entry,), Loss.BREAKER_OPEN)
            return False
        entries = self._entries
        count = len(entries)
        if count >= self._warn_from:
            if not self._warned:
                self._warned = True
                self._on_warning(f"queue at {CAPACITY_WARNING:.0%} of max_entries {self._max_entries}")
        elif self._warned:
            self._warned = False
        if count == self._max_entries:
            if not self._drop_oldest(Loss.OVERFLOW_ENTRIES):
                self._on_lost((entry,), Loss.WINDOW_FULL)
                return False
            count -= 1
        if self._max_bytes is not None:
            if not self._make_room(entry, size, self._max_bytes):
                return False
            self._sizes.append(size)
            self._bytes += size
            count = len(entries)
        entries.append(entry)
        if count >= self.peak_entries:
            self.peak_entries = count + 1
        state = self._state
        return state is _State.COALESCING or state is _State.IDLE

    def arrive(self, entry: E, size: int, now: float) -> list[E] | None:
        """Take in one entry and let the processor run: ``put`` and ``advance`` for a driver in real time.

        Most arrivals only join an open window; that case is as short as it can be.
        """
        entries = self._entries
        count = len(entries) + 1
        rest = self._window - (now - self._window_began)
        if (
            self._state is _State.COALESCING
            and count < self.settings.max_batch_size
            and count < self._warn_from
            and rest >= SHORTEST_WAIT
            and self._max_bytes is None
            and not self._exiting
        ):
            entries.append(entry)
            self._claimed = count
            self.wake_at = now + (rest if rest < POLL_INTERVAL else POLL_INTERVAL)
            if count > self.peak_entries:
                self.peak_entries = count
            return None
        return self.advance(now) if self.put(entry, size, now) else None

    def advance(self, now: float) -> list[E] | None:
        """Let the processor run at ``now``; return a batch whose try begins now, or None.

        The list is the queue's own and is handed out again, unchanged, for each retry (RET-4).
        """
        state = self._state
        if state is _State.COALESCING:
            if len(self._entries) > self._claimed:
                self._claimed += 1  # the arrival that ends the wait belongs to the batch even if the window is over
            elif self.wake_at is not None and now < self.wake_at:
                return None
            return self._collect(now)
        if state is _State.IDLE:
            if not self._entries:
                self.wake_at = None
                return None
            self._claimed = 1
            self._window_began = now
            self._state = _State.COALESCING
            return self._collect(now)
        if state is _State.BACKING_OFF and self.wake_at is not None and now >= self.wake_at:
            self._state = _State.SENDING
            self.wake_at = None
            assert self._delivery is not None
            return self._delivery.batch
        return None

    def tried(self, ok: bool, now: float) -> None:
        """The try that ``advance`` handed out ended at ``now``. Call ``advance`` next."""
        delivery = self._delivery
        assert delivery is not None and self._state is _State.SENDING, "no try is under way"
        breaker = self._breaker
        if ok:
            if breaker is not None:
                breaker.succeeded()
        else:
            again_at = None if breaker is not None and breaker.probing else delivery.failed(now)
            if again_at is not None:
                self._state = _State.BACKING_OFF
                self.wake_at = again_at
                return
            self._on_lost(delivery.batch, Loss.GAVE_UP)
            if breaker is not None and breaker.gave_up(now):
                self._shed_waiting()
        self._delivery = None
        self._state = _State.IDLE

    def shut_down(self) -> None:
        """A graceful stop was asked for: windows shrink to 0.05 s from the next wake-up on (LIF-2)."""
        self._exiting = True

    def abandon(self) -> int:
        """Lose everything, as a fast stop does (LIF-2); return how many entries that were."""
        lost = list(self._delivery.batch) if self._delivery is not None else []
        lost.extend(self._entries)
        self._entries.clear()
        self._sizes.clear()
        self._bytes = self._claimed = 0
        self._delivery = None
        self._state = _State.IDLE
        self.wake_at = None
        if lost:
            self._on_lost(lost, Loss.STOPPED)
        return len(lost)

    def _collect(self, now: float) -> list[E] | None:
        """Count waiting entries into the window while it lasts; then wait for more, or send what there is."""
        largest = self.settings.max_batch_size
        if self._claimed < largest and self._window - (now - self._window_began) >= SHORTEST_WAIT:
            self._claimed = claimed = min(len(self._entries), largest)
            if claimed < largest:
                self._wait(now)
                return None
        return self._begin_delivery(now)

    def _wait(self, now: float) -> None:
        """Sleep until more arrives, the window ends or the next look-around is due."""
        if self._exiting:
            self._window = SHORTEST_WAIT
            self.wake_at = now + SHORTEST_WAIT
            return
        rest = self._window - (now - self._window_began)
        self.wake_at = now + (rest if rest < POLL_INTERVAL else POLL_INTERVAL)

    def _begin_delivery(self, now: float) -> list[E]:
        entries = self._entries
        claimed = self._claimed
        if claimed == len(entries):
            batch = list(entries)
            entries.clear()
        else:
            take = entries.popleft
            batch = [take() for _ in range(claimed)]
        if self._max_bytes is not None:
            self._bytes -= sum(self._sizes.popleft() for _ in range(claimed))
        self._claimed = 0
        self._delivery = Delivery(self.settings, batch, now)
        self._state = _State.SENDING
        self.wake_at = None
        return batch

    def _make_room(self, entry: E, size: int, max_bytes: int) -> bool:
        if size > max_bytes:
            self._on_lost((entry,), Loss.TOO_LARGE)
            return False
        while self._bytes + size > max_bytes:
            if not self._drop_oldest(Loss.OVERFLOW_BYTES):
                self._on_lost((entry,), Loss.WINDOW_FULL)
                return False
        if self._bytes == max_bytes:  # only an entry of no bytes at all gets here; the real library refuses it too
            self._on_lost((entry,), Loss.WINDOW_FULL)
            return False
        return True

    def _drop_oldest(self, reason: Loss) -> bool:
        """Drop the oldest entry, if the library's assertion lets it.

        It counts the entries that the open window has not claimed, less one for the processor that waits for the
        next of them (CAP-4). So within one instant a second unclaimed entry is needed; what goes is the oldest of
        all, claimed or not, and an unclaimed one takes its place in the count.
        """
        processor_waits = self._state is _State.COALESCING
        if len(self._entries) - self._claimed - processor_waits <= 0:
            return False
        oldest = self._entries.popleft()
        if self._max_bytes is not None:
            self._bytes -= self._sizes.popleft()
        self._on_lost((oldest,), reason)
        return True

    def _shed_waiting(self) -> None:
        if self._entries:
            shed = list(self._entries)
            self._entries.clear()
            self._sizes.clear()
            self._bytes = 0
            self._on_lost(shed, Loss.BREAKER_OPEN)
