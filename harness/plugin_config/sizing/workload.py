"""What a queue has to bear: traffic, the round trip of a POST, an outage; and what follows from its parameters alone.

These are the sums a proposal rests on. Nothing is claimed from them: what is said to lose nothing was simulated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from plugin_emulator.queue import QueueSettings, retry_delay
from plugin_emulator.queue.batch_queue import SHORTEST_WAIT
from plugin_emulator.runtime.simulation import Answer

#: The schema's upper bound of ``max_entries`` and ``max_batch_size`` (SPEC CFG-4).
MOST_ENTRIES = 1_000_000


class OutageKind(StrEnum):
    """How a try fails: at once, with an answer after a round trip, or only when ``timeout`` is over."""

    REFUSED = "refused"
    STATUS = "status"
    HANG = "hang"


@dataclass(frozen=True, slots=True)
class Workload:
    """Traffic through all workers, and the outage it has to survive. Times in seconds.

    ``rps`` counts usage events a second, shared evenly by ``workers``, each with a queue of its own (BAT-1).
    ``timeout`` bounds a try (DLV-2). ``delay_budget`` is the longest an event may take to be accepted while the
    ingest endpoint is up; None: no matter.
    """

    rps: float
    rtt: float
    outage: float
    workers: int = 1
    event_bytes: int = 700
    timeout: float = 10.0
    kinds: tuple[OutageKind, ...] = tuple(OutageKind)
    delay_budget: float | None = None

    @property
    def rate(self) -> float:
        """Events a second that reach one queue."""
        return self.rps / self.workers

    def failure(self, kind: OutageKind) -> Answer:
        """Return how a try ends in an outage of that kind."""
        if kind is OutageKind.REFUSED:
            return Answer(0, 0.0)
        if kind is OutageKind.STATUS:
            return Answer(503, self.rtt)
        return Answer(0, self.timeout)


def events_per_post(settings: QueueSettings) -> int:
    """Return how many events a POST carries when enough of them wait (BAT-5, BAT-6, BAT-7)."""
    alone = settings.concurrency_limit == -1 or settings.max_coalescing_delay < SHORTEST_WAIT
    return 1 if alone else settings.max_batch_size


def capacity(settings: QueueSettings, rtt: float) -> float:
    """Return the most events a second one worker delivers: one batch at a time, each for a round trip (BAT-7)."""
    if settings.concurrency_limit == -1 or rtt == 0:
        return math.inf
    return events_per_post(settings) / rtt


def keeps_up(settings: QueueSettings, workload: Workload) -> bool:
    """Return whether a backlog shrinks: delivery at its fastest is faster than the traffic."""
    return capacity(settings, workload.rtt) > workload.rate * (1 + 1e-9)


def room(settings: QueueSettings, event_bytes: int) -> int:
    """Return how many events may wait (CAP-1, CAP-2)."""
    if settings.max_bytes is None or event_bytes == 0:
        return settings.max_entries
    return min(settings.max_entries, settings.max_bytes // event_bytes)


def cycle(settings: QueueSettings, workload: Workload) -> float:
    """Return about how long it is from one POST to the next in steady traffic, in seconds."""
    batch = events_per_post(settings)
    fill = (batch - 1) / workload.rate if batch > 1 else 0.0
    fastest = 0.0 if settings.concurrency_limit == -1 else workload.rtt
    return max(min(fill, settings.max_coalescing_delay) + fastest, 1 / workload.rate)


def first_try_from(settings: QueueSettings, fails_after: float, at: float) -> tuple[float, int]:
    """Return when the first try at or after ``at`` begins, and its number from 0.

    Seconds from the batch's first try, when every try fails ``fails_after`` seconds after it began (RET-1).
    """
    begins, number = 0.0, 0
    while begins < at:
        delay = retry_delay(settings, number)
        if delay >= settings.max_retry_delay:  # from here on all waits are alike
            step = fails_after + delay
            more = math.ceil((at - begins) / step)
            return begins + more * step, number + more
        begins += fails_after + delay
        number += 1
    return begins, number


def given_up_after(settings: QueueSettings, fails_after: float) -> tuple[float, int]:
    """Return how long after its first try a batch is given up, and after how many tries (RET-2)."""
    too_late = math.nextafter(settings.max_retry_time - fails_after, math.inf)
    begins, number = first_try_from(settings, fails_after, too_late)
    return begins + fails_after, number + 1


def silence(settings: QueueSettings, workload: Workload, outage: float) -> float:
    """Return the longest time between the first try that fails and the first that does not, over the kinds.

    The worst instant for the outage to begin is that of a try. The last try within it may begin just before its
    end, so that the recovery is noticed up to ``max_retry_delay`` late, and later by ``timeout`` when it hangs.
    """
    just_after = outage * (1 + 1e-9) + 1e-6  # a try at the very end may fall to either side
    return max(first_try_from(settings, workload.failure(kind).duration, just_after)[0] for kind in workload.kinds)


def entries_needed(settings: QueueSettings, workload: Workload, outage: float) -> int:
    """Return the most events that wait in one queue when such an outage begins at the worst instant.

    Until the first POST that succeeds is answered, nothing leaves.
    """
    batch = events_per_post(settings)
    waits = workload.rate * (silence(settings, workload, outage) + workload.rtt)
    return math.ceil(waits) + min(batch, math.ceil(workload.rate * cycle(settings, workload))) + 1


def retry_time_needed(workload: Workload, outage: float) -> float:
    """Return how long a batch must be retried to see the end of the outage (RET-2): its last try may hang."""
    return outage + max(workload.failure(kind).duration for kind in workload.kinds)
