"""What the queue must have lost, says the queue itself: run in virtual time on the arrivals and faults of a load.

When a request ended and when an event entered the queue are not quite the same, and when exactly a batch was formed
nobody writes down. So the run is simulated several times: with batches in another phase, faults a little earlier and
later, round trips a little shorter and longer. What was lost should lie between the least and the most of these, give
or take what arrives in the time by which the ledger may be off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil

import numpy as np

from harness.ingest.faults import NO_FAULT, Fault
from harness.targets.target import Stop
from loadtests.queue_model import QueueModel, Times
from plugin_emulator.queue import Loss
from plugin_emulator.runtime.simulation import Answer, Arrival

#: Arrivals that all simulated runs may have together; of more, none is simulated.
MOST_ARRIVALS = 6_000_000
#: From so many arrivals on, only the extreme variants are simulated.
_MANY_ARRIVALS = 400_000
#: Seconds by which a fault's beginning, as the gateway meets it, may be off.
_UNCERTAINTY = 0.05
#: Seconds by which a failed try, with the timer of the next one, may take longer than a POST that succeeds.
_LATE = 0.005
#: Phases of the batches that are simulated beside the one that the first arrival gives, as parts of a batch.
_PHASES = tuple(part / 8 for part in range(1, 8))
_MADE_UP = ""


@dataclass(frozen=True, slots=True)
class FaultWindow:
    """The ingest endpoint's behaviour from ``began_at`` to ``ended_at`` (epoch seconds)."""

    began_at: float
    ended_at: float
    fault: Fault


@dataclass(frozen=True, slots=True)
class RestartWindow:
    """The gateway stopped at ``began_at`` and served again at ``ended_at`` (epoch seconds).

    ``grace`` is how long it may deliver when stopped gracefully, before it is killed.
    """

    began_at: float
    ended_at: float
    how: Stop
    grace: float


@dataclass(frozen=True, slots=True)
class PredictedLoss:
    """Between ``low`` and ``high`` events lost for one reason.

    ``first`` and ``last`` are the earliest and latest time of arrival of one of them (epoch seconds). ``restart`` is
    the one that they were lost by, by its place among all, when it is the reason.
    """

    reason: Loss
    low: int
    high: int
    first: float
    last: float
    restart: int | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """Losses by reason, and of all reasons together; ``variants`` is how often the run was simulated.

    ``round_trip`` is what a POST was taken to last, in seconds. ``skipped`` says why there is no prediction.
    """

    losses: tuple[PredictedLoss, ...] = ()
    low: int = 0
    high: int = 0
    variants: int = 0
    round_trip: float = 0.0
    skipped: str | None = None

    def agrees(self, lost: int) -> bool | None:
        """Return whether so many lost events lie within what was predicted; None when nothing was."""
        return None if self.skipped is not None else self.low <= lost <= self.high


@dataclass(frozen=True, slots=True)
class _Variant:
    lead: float = 0.0  # part of a batch that is already on its way when the first event arrives
    shift: float = 0.0  # seconds by which faults and restarts come later
    stretch: float = 1.0  # factor of the round trip
    late: float = 0.0  # seconds that a failed try takes longer


def predict(
    queues: Sequence[Times],
    settings: QueueModel,
    faults: Sequence[FaultWindow],
    restarts: Sequence[RestartWindow] = (),
    *,
    round_trip: float,
) -> Prediction:
    """Simulate the queues of a run, each given by the times at which its events arrived (epoch seconds).

    ``round_trip`` of a POST is in seconds. A queue without an arrival is left out.
    """
    queues = [np.sort(times) for times in queues if len(times)]
    arrivals = sum(map(len, queues))
    variants = _variants(arrivals, bool(faults or restarts))
    if any(not window.fault.answers for window in faults):
        # Where connections break each try opens a new one, which takes another way to the endpoint and back.
        variants.append(_Variant(late=_LATE + round_trip))
    if arrivals * len(variants) > MOST_ARRIVALS:
        variants = [_Variant()]
    if arrivals > MOST_ARRIVALS:
        return Prediction(skipped=f"{arrivals:,} events are more than are simulated ({MOST_ARRIVALS:,})")
    runs = [_simulate_all(queues, settings, faults, restarts, variant, round_trip) for variant in variants]
    totals = [sum(len(lost) for lost in run.values()) for run in runs]
    margin = sum(ceil(len(times) / max(1.0, float(times[-1] - times[0])) * _UNCERTAINTY) for times in queues)
    low, high = _range(totals, margin, arrivals)
    return Prediction(
        losses=tuple(_losses(runs, margin, arrivals)),
        low=low,
        high=high,
        variants=len(variants),
        round_trip=round_trip,
    )


def _variants(events: int, shifted: bool) -> list[_Variant]:
    variants = [_Variant(), _Variant(stretch=0.8), _Variant(stretch=1.25), _Variant(late=_LATE)]
    if shifted:
        variants += [_Variant(shift=-_UNCERTAINTY), _Variant(shift=_UNCERTAINTY)]
        variants += [_Variant(lead=lead) for lead in ((0.5,) if events > _MANY_ARRIVALS else _PHASES)]
    return variants


def _before(times: Times, settings: QueueModel, round_trip: float, lead: float) -> Times:
    """Return made-up arrivals before the first one, at the same rate, for ``lead`` of the way to a batch."""
    cycle, rate = settings.cycle(times, round_trip), len(times) / max(1e-3, float(times[-1] - times[0]))
    count = int(lead * min(cycle * rate, settings.batch_size))
    before: Times = times[0] - np.arange(count, 0, -1) / rate
    return before


#: Why events were lost, and by which restart if by one.
Cause = tuple[Loss, int | None]
Lost = dict[Cause, list[float]]


def _simulate_all(
    queues: Sequence[Times],
    settings: QueueModel,
    faults: Sequence[FaultWindow],
    restarts: Sequence[RestartWindow],
    variant: _Variant,
    round_trip: float,
) -> Lost:
    """Return when the events lost in one variant had arrived, by reason."""
    lost: Lost = {}
    for times in queues:
        before = _before(times, settings, round_trip, variant.lead)
        start = float(before[0] if len(before) else times[0]) - 1.0  # virtual time has no past
        ingest = _Ingest(faults, start - variant.shift, round_trip * variant.stretch, settings.timeout, variant.late)
        for life, (part, restart) in enumerate(_between(times, restarts)):
            for reason, when in _Run(part, before, start, ingest, restart, variant.shift).losses(settings):
                lost.setdefault((reason, life if reason is Loss.STOPPED else None), []).append(when)
            before = before[:0]
    return lost


def _between(times: Times, restarts: Sequence[RestartWindow]) -> Iterator[tuple[Times, RestartWindow | None]]:
    """Yield the arrivals of each life of the gateway with the restart that ended it."""
    first = 0
    for restart in sorted(restarts, key=lambda each: each.began_at):
        end = int(np.searchsorted(times, restart.ended_at))
        yield times[first:end], restart
        first = end
    yield times[first:], None


class _Ingest:
    """The ingest endpoint in virtual time. ``start`` is the epoch time of virtual time 0."""

    def __init__(
        self, faults: Sequence[FaultWindow], start: float, round_trip: float, timeout: float, late: float
    ) -> None:
        self._windows = sorted((each.began_at - start, each.ended_at - start, each.fault) for each in faults)
        self._round_trip = round_trip
        self._timeout = timeout
        self._late = late
        self._usual = Answer(202, round_trip)

    def answer(self, t: float, number: int) -> Answer:
        """Return how the try that begins at ``t`` is answered, as far as the gateway can tell."""
        for began, ended, fault in self._windows:
            if began <= t < ended:
                return self._faulty(fault, ended - t)
        return self._usual

    def accepts(self, t: float) -> bool:
        """Return whether the events of a try that begins at ``t`` are taken in, whatever the answer."""
        return next((fault for began, ended, fault in self._windows if began <= t < ended), NO_FAULT).accepts

    def _faulty(self, fault: Fault, left: float) -> Answer:
        lasts = self._round_trip + fault.delay
        if fault.hang is not None:
            lasts += min(fault.hang, left)
        if lasts >= self._timeout:
            return Answer(0, self._timeout)
        answer = Answer(0 if not fault.answers else 202 if fault.status is None else fault.status, lasts)
        return answer if answer.ok else Answer(answer.status, lasts + self._late)


class _Run:
    """One queue from the gateway's start to its stop; a recorder of what is simulated."""

    def __init__(
        self,
        times: Times,
        before: Times,
        start: float,
        ingest: _Ingest,
        restart: RestartWindow | None,
        shift: float,
    ) -> None:
        self._times = times
        self._before = before
        self._start = start
        self._ingest = ingest
        self._accepted: set[str] = set()
        self._lost: dict[str, Loss] = {}
        self._stop_at: float | None = None
        self._end = np.inf
        if restart is not None:
            stops = restart.began_at + shift - start
            self._stop_at = stops if restart.how == "graceful" else None
            self._end = stops + (restart.grace if restart.how == "graceful" else 0.0)

    def losses(self, settings: QueueModel) -> Iterator[tuple[Loss, float]]:
        """Yield reason and time of arrival of each event that was lost and that the endpoint had not taken in."""
        before = (Arrival(t, _MADE_UP) for t in (self._before - self._start).tolist())
        arrivals = (Arrival(t, str(place)) for place, t in enumerate((self._times - self._start).tolist()))
        settings.simulate(chain(before, arrivals), self._ingest.answer, self, self._stop_at)
        self._lost.pop(_MADE_UP, None)
        for place, reason in self._lost.items():
            if place not in self._accepted:
                yield reason, float(self._times[int(place)])

    def tried(self, t: float, entries: Sequence[Arrival], answer: Answer) -> None:
        """Keep what the endpoint takes in although the gateway takes the try for failed, or ends too early."""
        unheard = not answer.ok or t + answer.duration > self._end
        if unheard and t <= self._end and self._ingest.accepts(t):
            self._accepted.update(entry.id for entry in entries)

    def delivered(self, t: float, entries: Sequence[Arrival]) -> None:
        """What would be delivered after the gateway's end is lost with it."""
        if t > self._end:
            self._lost.update((entry.id, Loss.STOPPED) for entry in entries)

    def lost(self, t: float, entries: Sequence[Arrival], reason: Loss) -> None:
        """What is waiting at the gateway's end is lost by it, whatever would have become of it."""
        self._lost.update((entry.id, Loss.STOPPED if t > self._end else reason) for entry in entries)


def _range(counts: Sequence[int], margin: int, whole: int) -> tuple[int, int]:
    """Return least and most, with ``margin`` to both sides; where no variant loses anything, nothing may be lost."""
    return (max(0, min(counts) - margin), min(max(counts) + margin, whole)) if any(counts) else (0, 0)


def _losses(runs: Sequence[Lost], margin: int, whole: int) -> Iterator[PredictedLoss]:
    order = list(Loss)
    causes = sorted(set(chain.from_iterable(runs)), key=lambda cause: (order.index(cause[0]), cause[1] or 0))
    for cause in causes:
        reason, restart = cause
        counts = [len(run.get(cause, ())) for run in runs]
        when = [time for run in runs for time in run.get(cause, ())]
        yield PredictedLoss(reason, *_range(counts, margin, whole), min(when), max(when), restart)
