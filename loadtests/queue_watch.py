"""What the gateway's own counters say while a load runs, once a second."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.targets.target import Target, TargetUnavailableError

_EVERY = 1.0
_LONGEST_STOP = 60.0


@dataclass(frozen=True, slots=True)
class QueueSample:
    """All metering queues of the gateway at ``at`` (epoch seconds). Counters begin anew when the gateway does.

    ``delivery_seconds`` is how long the POSTs took together that did not fail; None where it is not told.
    """

    at: float
    waiting: int
    delivered: int
    posts: int
    failed_posts: int
    lost: int
    delivery_seconds: float | None = None


class QueueWatch:
    """Asks a target for its counters, in a thread of its own, where it tells."""

    def __init__(self, target: Target, *, shared: bool = False) -> None:
        """``shared``: the queues that the gateway tells of are one and the same."""
        self.samples: list[QueueSample] = []
        self._target = target
        self._waiting: Callable[[Iterable[int]], int] = _most if shared else sum
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="load-queue-watch", daemon=True)
        self._lost: Counter[str] = Counter()
        self._lost_before: Counter[str] = Counter()
        self._lost_at_start: Counter[str] = Counter()
        self._tells = False

    def start(self) -> None:
        """Begin to ask; what has been lost by now does not count."""
        self._ask()
        self._lost_at_start = self._lost
        self._thread.start()

    def stop(self) -> None:
        """Ask a last time, and no more."""
        self._over.set()
        self._thread.join(_LONGEST_STOP)
        self._ask()

    @property
    def waiting(self) -> int | None:
        """How many events wait, by the last answer; None where the gateway does not tell."""
        return self.samples[-1].waiting if self.samples else None

    @property
    def lost(self) -> Mapping[str, int] | None:
        """Events lost by reason, as far as it was told; None where the gateway does not tell.

        Of a gateway that was stopped, what it said last; what was lost in its last second is not among it.
        """
        return dict(self._lost_before + self._lost - self._lost_at_start) if self._tells else None

    def round_trip(self, disturbed: Sequence[tuple[float, float]]) -> float | None:
        """Return how long a POST took on the average, in seconds, as the gateway saw it; None where that is not told.

        ``disturbed`` are times (epoch seconds) in which it took longer on purpose: what ended in or between two looks
        that touch them does not count.
        """
        posts, seconds = 0, 0.0
        for before, after in itertools.pairwise(self.samples):
            if before.delivery_seconds is None or after.delivery_seconds is None or after.posts < before.posts:
                continue
            if any(began <= after.at and before.at <= ended for began, ended in disturbed):
                continue
            posts += (after.posts - after.failed_posts) - (before.posts - before.failed_posts)
            seconds += after.delivery_seconds - before.delivery_seconds
        return seconds / posts if posts > 0 else None

    def _follow(self) -> None:
        while not self._over.wait(_EVERY):
            self._ask()

    def _ask(self) -> None:
        try:
            statistics = self._target.queue_statistics()
        except TargetUnavailableError:  # it is being restarted, or gone: whoever runs the load finds out
            return
        if statistics is None:
            return
        sample = _sum(statistics, self._waiting)
        if self.samples and sample.posts < self.samples[-1].posts:  # another life of the gateway
            self._lost_before += self._lost
        self._tells = True
        self._lost = Counter()
        for queue in statistics.values():
            self._lost.update(queue.get("lost") or {})
        self.samples.append(sample)


def _most(counts: Iterable[int]) -> int:
    return max(counts, default=0)


def _sum(statistics: Mapping[str, Mapping[str, Any]], waiting: Callable[[Iterable[int]], int]) -> QueueSample:
    def total(name: str) -> int:
        return sum(int(queue.get(name, 0)) for queue in statistics.values())

    took = [queue["delivery_seconds"] for queue in statistics.values() if "delivery_seconds" in queue]
    seconds = float(sum(took)) if len(took) == len(statistics) else None
    waits = waiting(int(queue.get("waiting", 0)) for queue in statistics.values())
    lost = sum(sum((queue.get("lost") or {}).values()) for queue in statistics.values())
    return QueueSample(time.time(), waits, total("delivered"), total("posts"), total("failed_posts"), lost, seconds)
