"""Amberflo's Go client in virtual time: what is sent when, what is lost, which requests are held up."""

from __future__ import annotations

import heapq
import random
from typing import Annotated, Literal

import msgspec

from plugin_emulator.runtime.simulation import Answer, Arrival, Delivered, Ingest, Lost, Try

from .batcher import RecordBatcher
from .retry_schedule import ClientVersion, Sending, retry_schedule

_Count = Annotated[int, msgspec.Meta(ge=1)]


class ClientSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What of the plugin's ``config`` the client is made of; the interval is in seconds."""

    batchSize: _Count = 10  # noqa: N815 - the plugin's own names
    intervalSeconds: _Count = 1  # noqa: N815


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arrivals, and the answers of the ingest endpoint: one for each try, the last one repeats.

    An arrival is a request in its access phase; the client, and so its clock, starts with the first one. ``seed``
    makes the waits of a later client; ``stop_at`` asks for a graceful stop at that time, in seconds (AMB-11).
    """

    plugin: Literal["amberflo", "metering"]
    arrivals: list[Arrival]
    ingest: list[Answer] = msgspec.field(default_factory=lambda: [Answer(200)])
    config: ClientSettings = ClientSettings()
    client: ClientVersion = "2.0.2"
    seed: int = 0
    stop_at: Annotated[float, msgspec.Meta(ge=0)] | None = None

    def __post_init__(self) -> None:
        if not self.ingest:
            raise ValueError("`ingest` needs at least one answer")

    def answer(self, t: float, number: int) -> Answer:
        """Return the answer to try ``number`` (from 0), whenever it begins."""
        return self.ingest[number] if number < len(self.ingest) else self.ingest[-1]


class HeldUp(msgspec.Struct, frozen=True, gc=False):
    """A request whose access phase blocked from ``t`` until ``until`` (AMB-12), in seconds."""

    id: str
    t: float
    until: float


class Trace(msgspec.Struct, frozen=True):
    """Everything that happened in one simulated schedule, each list in order of time.

    ``ended_at`` is when the last send was over, the wait after a last failed try included.
    """

    tries: list[Try]
    delivered: list[Delivered]
    lost: list[Lost]
    held_up: list[HeldUp]
    peak_entries: int
    ended_at: float


def trace(schedule: Schedule, ingest: Ingest | None = None) -> Trace:
    """Simulate one schedule and record all of it. Arrivals need not be sorted.

    ``ingest`` says how each try is answered; None: as the schedule does.
    """
    arrivals = sorted(schedule.arrivals, key=lambda arrival: arrival.t)
    if not arrivals:
        return Trace([], [], [], [], 0, 0.0)
    return _Simulation(schedule, arrivals, ingest or schedule.answer).run()


class _Simulation:
    """One schedule under way. At one instant arrivals come first, then what has ended, then the clock."""

    def __init__(self, schedule: Schedule, arrivals: list[Arrival], ingest: Ingest) -> None:
        self._ingest = ingest
        self._arrivals = arrivals
        self._next_arrival = 0
        self._now = arrivals[0].t
        self._retries = retry_schedule(schedule.client, random.Random(schedule.seed).random)
        settings = schedule.config
        self._batcher: RecordBatcher[Arrival] = RecordBatcher(
            settings.batchSize, settings.intervalSeconds, self._now, self._admitted
        )
        self._stop_at = schedule.stop_at
        # (time, order, what is sent, answer of the try that ends then; or None: the wait after it ends)
        self._steps: list[tuple[float, int, Sending[Arrival], Answer | None]] = []
        self._order = 0
        #: batches that were given up and still wait
        self._given_up: set[Sending[Arrival]] = set()
        self._held_since: dict[int, float] = {}
        self._trace = Trace([], [], [], [], 0, 0.0)
        self._peak = 0

    def run(self) -> Trace:
        """Go on until nothing is left to happen."""
        while (now := self._next_time()) is not None:
            self._now = now
            self._arrive()
            while self._steps and self._steps[0][0] <= now:
                self._end(heapq.heappop(self._steps))
            if self._stop_at is not None and now >= self._stop_at:
                self._stop_at = None
                self._batcher.shut_down()
            while (batch := self._batcher.advance(now)) is not None:
                self._begin_try(Sending(self._retries, batch))
        return msgspec.structs.replace(self._trace, peak_entries=self._peak, ended_at=self._now)

    def _next_time(self) -> float | None:
        times = [self._steps[0][0]] if self._steps else []
        if self._next_arrival < len(self._arrivals):
            times.append(self._arrivals[self._next_arrival].t)
        if self._batcher.wake_at is not None:
            times.append(self._batcher.wake_at)
        if times and self._stop_at is not None:
            times.append(max(self._stop_at, self._now))
        return min(times, default=None)

    def _arrive(self) -> None:
        while self._next_arrival < len(self._arrivals) and self._arrivals[self._next_arrival].t <= self._now:
            arrival = self._arrivals[self._next_arrival]
            self._next_arrival += 1
            if not self._batcher.put(arrival, self._now):
                self._held_since[id(arrival)] = self._now
            self._peak = max(self._peak, len(self._batcher))

    def _admitted(self, arrival: Arrival) -> None:
        since = self._held_since.pop(id(arrival))
        self._trace.held_up.append(HeldUp(arrival.id, since, self._now))

    def _begin_try(self, sending: Sending[Arrival]) -> None:
        answer = self._ingest(self._now, len(self._trace.tries))
        ids = [arrival.id for arrival in sending.batch]
        self._trace.tries.append(Try(self._now, ids, answer.status, answer.duration))
        self._at(self._now + answer.duration, sending, answer)

    def _end(self, step: tuple[float, int, Sending[Arrival], Answer | None]) -> None:
        _, _, sending, answer = step
        if answer is None:
            if sending in self._given_up:
                self._given_up.discard(sending)
                self._batcher.sent(self._now)
            else:
                self._begin_try(sending)
        elif 0 < answer.status < 400:
            self._trace.delivered.extend([Delivered(arrival.id, self._now) for arrival in sending.batch])
            self._batcher.sent(self._now)
        else:
            pause = sending.failed(self._now)
            if pause.given_up:
                self._given_up.add(sending)
                self._trace.lost.extend([Lost(arrival.id, self._now, "gave_up") for arrival in sending.batch])
            self._at(pause.until, sending, None)

    def _at(self, time: float, sending: Sending[Arrival], answer: Answer | None) -> None:
        self._order += 1
        heapq.heappush(self._steps, (time, self._order, sending, answer))
