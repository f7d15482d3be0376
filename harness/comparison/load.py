"""The traffic and the ingest endpoint that deliveries are simulated with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from plugin_emulator.exchange import Exchange
from plugin_emulator.runtime.simulation import Answer

#: ``refuse``: answers 503; ``hang``: takes requests and never answers; ``drop-answer``: takes the events in, then
#: breaks the connection, so that the plugin sends them again.
OutageKind = Literal["refuse", "hang", "drop-answer"]
OUTAGE_KINDS: tuple[OutageKind, ...] = ("refuse", "hang", "drop-answer")


@dataclass(frozen=True, slots=True)
class Outage:
    """The ingest endpoint is out of order from ``start`` for ``length`` seconds."""

    start: float
    length: float
    kind: OutageKind = "refuse"

    @property
    def end(self) -> float:
        """When it is over, in seconds."""
        return self.start + self.length

    def covers(self, t: float) -> bool:
        """Return whether a try that begins at ``t`` seconds meets it."""
        return self.start <= t < self.end


@dataclass(frozen=True, slots=True)
class Metered:
    """A request of a load: access phase at ``began``, log phase at ``ended`` (seconds from the load's beginning).

    ``exchange`` is the place of the exchange that it repeats.
    """

    began: float
    ended: float
    exchange: int


@dataclass(frozen=True, slots=True)
class Load:
    """Requests, and an ingest endpoint that answers after ``round_trip`` seconds unless it is out of order.

    ``seed`` decides what a plugin draws by lot.
    """

    requests: Sequence[Metered]
    round_trip: float = 0.05
    outages: tuple[Outage, ...] = ()
    seed: int = 0


class Endpoint:
    """The ingest endpoint of a load, as a plugin meets it that waits ``timeout`` seconds (None: without end)."""

    def __init__(self, load: Load, timeout: float | None) -> None:
        self._load = load
        self._timeout = timeout

    def answer(self, t: float, number: int) -> Answer:
        """Return how the try that begins at ``t`` ends for the plugin; it does not matter which ``number`` it has."""
        outage = self._met(t)
        lasts = self._load.round_trip
        status = 202
        if outage is not None:
            status = 503 if outage.kind == "refuse" else 0
            if outage.kind == "hang":
                lasts += outage.end - t
        if self._timeout is not None and lasts > self._timeout:
            return Answer(0, self._timeout)
        return Answer(status, lasts)

    def takes_in(self, t: float) -> bool:
        """Return whether what a try brings that begins at ``t`` is billed, whatever the answer is to the plugin."""
        outage = self._met(t)
        return outage is None or outage.kind == "drop-answer"

    def _met(self, t: float) -> Outage | None:
        return next((outage for outage in self._load.outages if outage.covers(t)), None)


def as_recorded(exchanges: Sequence[Exchange]) -> list[Metered]:
    """Return the exchanges as requests at their own times, the earliest beginning at 0."""
    start = min((exchange.request.started_at for exchange in exchanges), default=0.0)
    requests = [
        Metered(exchange.request.started_at - start, max(exchange.response.ended_at - start, 0.0), place)
        for place, exchange in enumerate(exchanges)
    ]
    return sorted(requests, key=lambda request: request.began)


def at_rate(exchanges: Sequence[Exchange], rate: float, duration: float) -> list[Metered]:
    """Return the exchanges over and over, ``rate`` requests a second for ``duration`` seconds, evenly spaced."""
    return list(_repeated(exchanges, rate, duration))


def _repeated(exchanges: Sequence[Exchange], rate: float, duration: float) -> Iterator[Metered]:
    took = [max(0.0, exchange.response.ended_at - exchange.request.started_at) for exchange in exchanges]
    for number in range(round(rate * duration) if took else 0):
        place = number % len(took)
        yield Metered(number / rate, number / rate + took[place], place)
