"""How late an event may reach the ingest endpoint by the settings of its queue, when nothing goes wrong."""

from __future__ import annotations

from collections.abc import Iterable

from loadtests.plan import IngestFault
from plugin_emulator.queue import QueueSettings
from plugin_emulator.queue.batch_queue import POLL_INTERVAL, SHORTEST_WAIT

#: Seconds for timers, scheduling and the log phase, on a machine that is busy with the load itself.
SCHEDULING = 0.25


def billing_latency_bound(settings: QueueSettings, round_trip: float) -> float:
    """Return the longest time from a request's end to its event's arrival, in seconds.

    The event waits for the batch under way (BAT-7), then for its own batch's window (BAT-2, BAT-4). This holds while
    the queue keeps up with the traffic and the ingest endpoint answers.
    """
    waits = settings.max_batch_size > 1 and settings.max_coalescing_delay >= SHORTEST_WAIT
    if settings.concurrency_limit == -1:
        return round_trip + SCHEDULING
    return (settings.max_coalescing_delay if waits else 0.0) + 2 * round_trip + SCHEDULING


def longest_silence(settings: QueueSettings, timeout: float, faults: Iterable[IngestFault]) -> float:
    """Return for how long nothing may arrive although something still waits, in seconds.

    After an outage the waits between tries are at most as long as it was, since each is twice the one before (RET-1).
    A try that hangs lasts ``timeout`` seconds.
    """
    faults = list(faults)
    quiet = settings.max_coalescing_delay + POLL_INTERVAL + SCHEDULING
    if not faults:
        return quiet
    longest = max(fault.lasts for fault in faults)
    return quiet + min(settings.max_retry_delay, 2 * longest + settings.initial_retry_delay) + timeout
