"""How a plugin's queue behaves: what a run is held to, and what its losses are predicted with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from loadtests.latency_bound import SCHEDULING, billing_latency_bound, longest_silence
from loadtests.plan import IngestFault, LoadPlan
from plugin_emulator.amberflo import simulation as amberflo
from plugin_emulator.amberflo.config import PLUGIN_NAMES as AMBERFLO
from plugin_emulator.amberflo.retry_schedule import PinnedSchedule
from plugin_emulator.metering_and_billing.config import PLUGIN_NAME as METERING_AND_BILLING
from plugin_emulator.queue import Loss, QueueSettings
from plugin_emulator.queue.batch_queue import SHORTEST_WAIT
from plugin_emulator.runtime.simulation import Answer, Arrival, Ingest, Recorder, simulate

Times = npt.NDArray[np.float64]


class QueueModel(Protocol):
    """The queue of one metering plugin with its settings.

    ``timeout`` bounds a try, in seconds. ``shared``: all instances of a gateway have one queue together.
    ``metered_at`` is the column of the ledger that says when a request's event enters it. ``rules`` has, by reason
    of a loss, the rule that allows it and the reason in words. ``in_order``: what entered it earlier leaves it no
    later, delivered or lost.
    """

    timeout: float
    shared: bool
    metered_at: Literal["started_at", "ended_at"]
    rules: Mapping[Loss, tuple[str, str]]

    @property
    def batch_size(self) -> int:
        """How many events are sent at once at most."""

    @property
    def in_order(self) -> bool:
        """Whether entries leave in the order in which they came."""

    def latency_bound(self, round_trip: float) -> float:
        """Return the longest time from a request's end to its event's arrival if nothing goes wrong, in seconds."""

    def longest_silence(self, faults: Iterable[IngestFault]) -> float:
        """Return for how long nothing may arrive although something still waits, in seconds."""

    def cycle(self, times: Times, round_trip: float) -> float:
        """Return about how long it is from one batch to the next, in seconds."""

    def simulate(
        self, arrivals: Iterable[Arrival], ingest: Ingest, recorder: Recorder, stop_at: float | None
    ) -> None:
        """Run the queue in virtual time and tell ``recorder``; ``stop_at`` asks for a graceful stop at that time."""


class KongQueue:
    """Kong's queue library, as metering-and-billing uses it; ``timeout`` is the plugin's default (CFG-3)."""

    shared = False
    metered_at: Literal["started_at", "ended_at"] = "ended_at"
    rules: Mapping[Loss, tuple[str, str]] = {
        Loss.GAVE_UP: ("RET-2", "given up after max_retry_time"),
        Loss.OVERFLOW_ENTRIES: ("CAP-1", "max_entries were waiting, the oldest had to go"),
        Loss.OVERFLOW_BYTES: ("CAP-2", "max_bytes were waiting, the oldest had to go"),
        Loss.TOO_LARGE: ("CAP-2", "larger than max_bytes"),
        Loss.WINDOW_FULL: ("CAP-4", "the open window filled the queue"),
        Loss.BREAKER_OPEN: ("BRK-2", "the circuit breaker was open"),
        Loss.STOPPED: ("LIF-2", "queued when the gateway was stopped"),
    }

    def __init__(self, settings: QueueSettings, timeout: float = 10.0) -> None:
        self._settings = settings
        self.timeout = timeout

    @property
    def batch_size(self) -> int:
        """How many events are sent at once at most."""
        return self._settings.max_batch_size

    @property
    def in_order(self) -> bool:
        """Whether entries leave in the order in which they came: not those that are sent each by itself (BAT-7)."""
        return self._settings.concurrency_limit != -1

    def latency_bound(self, round_trip: float) -> float:
        """Return the longest time from a request's end to its event's arrival if nothing goes wrong, in seconds."""
        return billing_latency_bound(self._settings, round_trip)

    def longest_silence(self, faults: Iterable[IngestFault]) -> float:
        """Return for how long nothing may arrive although something still waits, in seconds."""
        return longest_silence(self._settings, self.timeout, faults)

    def cycle(self, times: Times, round_trip: float) -> float:
        """Return about how long it is from one batch to the next, in seconds."""
        settings = self._settings
        if settings.concurrency_limit == -1 or settings.max_coalescing_delay < SHORTEST_WAIT:
            return round_trip
        return min(settings.max_coalescing_delay, _time_to_fill(times, settings.max_batch_size)) + round_trip

    def simulate(
        self, arrivals: Iterable[Arrival], ingest: Ingest, recorder: Recorder, stop_at: float | None
    ) -> None:
        """Run the queue in virtual time."""
        simulate(self._settings, arrivals, ingest, recorder, stop_at)


class AmberfloQueue:
    """Amberflo's client 2.0.2, of which a gateway process has one (AMB-6, AMB-9, AMB-10)."""

    #: The client waits for an answer for as long as it takes.
    timeout = np.inf
    shared = True
    metered_at: Literal["started_at", "ended_at"] = "started_at"
    rules: Mapping[Loss, tuple[str, str]] = {
        Loss.GAVE_UP: ("AMB-9", f"given up after {PinnedSchedule.tries} tries"),
        Loss.STOPPED: ("AMB-11", "not yet sent when the gateway was stopped"),
    }

    def __init__(self, settings: amberflo.ClientSettings) -> None:
        self._settings = settings

    @property
    def batch_size(self) -> int:
        """How many records are sent at once at most."""
        return self._settings.batchSize

    @property
    def in_order(self) -> bool:
        """Batches are sent beside each other (AMB-7): one that is tried again is overtaken."""
        return False

    def latency_bound(self, round_trip: float) -> float:
        """Return the longest time from a request's end to its record's arrival if nothing goes wrong, in seconds."""
        return self._settings.intervalSeconds + round_trip + SCHEDULING

    def longest_silence(self, faults: Iterable[IngestFault]) -> float:
        """Return for how long nothing may arrive although something still waits, in seconds."""
        schedule = PinnedSchedule()
        longest = max((fault.lasts for fault in faults), default=None)
        quiet = self._settings.intervalSeconds + SCHEDULING
        # A try may hang for as long as the fault lasts.
        return quiet if longest is None else quiet + longest + max(map(schedule.wait, range(schedule.tries)))

    def cycle(self, times: Times, round_trip: float) -> float:
        """Return about how long it is from one batch to the next, in seconds."""
        return min(float(self._settings.intervalSeconds), _time_to_fill(times, self._settings.batchSize))

    def simulate(
        self, arrivals: Iterable[Arrival], ingest: Ingest, recorder: Recorder, stop_at: float | None
    ) -> None:
        """Run the client in virtual time."""
        entries = list(arrivals)
        known = {arrival.id: arrival for arrival in entries}
        schedule = amberflo.Schedule("amberflo", entries, config=self._settings, stop_at=stop_at)
        traced = amberflo.trace(schedule, ingest)
        for each in traced.tries:
            recorder.tried(each.t, [known[name] for name in each.entries], Answer(each.status, each.duration))
        for delivered in traced.delivered:
            recorder.delivered(delivered.t, (known[delivered.id],))
        for lost in traced.lost:
            recorder.lost(lost.t, (known[lost.id],), Loss(lost.reason))


def _time_to_fill(times: Times, batch_size: int) -> float:
    """Return how long it takes until a batch is full at the rate of ``times``, in seconds."""
    return float(times[-1] - times[0]) * (batch_size - 1) / len(times)


_MODELS: Mapping[str, Callable[[Mapping[str, Any]], QueueModel]] = {
    METERING_AND_BILLING: lambda queue: KongQueue(QueueSettings(**queue)),
    AMBERFLO[0]: lambda queue: AmberfloQueue(amberflo.ClientSettings(**queue)),
}


def queue_model(plan: LoadPlan) -> QueueModel:
    """Return the queue that a plan's requests go through."""
    return _MODELS[plan.metering](plan.queue)
