"""What a queue with given parameters does under a workload, by simulation from several instants on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from plugin_emulator.queue import QueueSettings

from .runs import OutageFigures, SteadyFigures, outage_starts, run_outage, run_steady
from .workload import Workload, cycle

#: Told before each simulated run what it is about.
OnRun = Callable[[str], None]

#: Arrivals that all runs with a shifted start may have together; fewer starts are simulated for a larger workload.
_ARRIVALS_FOR_SHIFTS = 2_500_000
_MOST_SHIFTS = 7
#: Of outages in which events are lost, no more are simulated after so many arrivals.
_ARRIVALS_WITH_LOSS = 1_500_000


@dataclass(frozen=True, slots=True)
class Assessment:
    """Figures of one queue: steady, and of the worst outage simulated (most lost; of those, most held in memory).

    ``outages`` counts the simulated outages, over kinds and instants at which they begin.
    """

    settings: QueueSettings
    steady: SteadyFigures
    outage: OutageFigures
    outages: int

    @property
    def loses_nothing(self) -> bool:
        """Whether no simulated run lost an event."""
        return not self.steady.lost and not self.outage.lost

    def is_within(self, delay_budget: float | None) -> bool:
        """Return whether events are accepted soon enough while the ingest endpoint is up."""
        return delay_budget is None or self.steady.max_delay <= delay_budget


def assess(settings: QueueSettings, workload: Workload, who: str, on_run: OnRun) -> Assessment:
    """Simulate steady traffic, and the outage of each kind from its worst instant on.

    Where that loses nothing, the outage is also simulated from other instants on. Where it does, and the workload is
    large, one kind is enough to show it.
    """
    on_run(f"{who} settings, steady traffic")
    steady, began = run_steady(settings, workload)
    starts = outage_starts(settings, workload, began, _shifts(settings, workload))
    figures: list[OutageFigures] = []
    for kind in reversed(workload.kinds):
        on_run(f"{who} settings, outage ({kind})")
        figures.append(run_outage(settings, workload, kind, workload.outage, starts[0]))
        if figures[-1].lost and sum(each.arrived for each in figures) > _ARRIVALS_WITH_LOSS:
            break
    if not any(each.lost for each in figures):
        for number, start in enumerate(starts[1:], 2):
            for kind in workload.kinds:
                on_run(f"{who} settings, outage ({kind}), start {number} of {len(starts)}")
                shifted = run_outage(settings, workload, kind, workload.outage, start, to_the_end=False)
                if shifted.lost:
                    shifted = run_outage(settings, workload, kind, workload.outage, start)
                figures.append(shifted)
    complete = figures[: len(workload.kinds)] + [each for each in figures[len(workload.kinds) :] if each.lost]
    worst = max(complete, key=lambda each: (each.lost_events, each.held, each.max_delay))
    return Assessment(settings, steady, worst, len(figures))


def survives(settings: QueueSettings, workload: Workload, outage: float, who: str, on_run: OnRun) -> bool:
    """Simulate an outage of that length, in seconds, of each kind, from its worst instant on: is nothing lost?"""
    steady, began = run_steady(settings, workload)
    start = outage_starts(settings, workload, began, 0)[0]
    if steady.lost:
        return False
    for kind in workload.kinds:
        on_run(f"{who}, {kind}")
        if run_outage(settings, workload, kind, outage, start, to_the_end=False).lost:
            return False
    return True


def _shifts(settings: QueueSettings, workload: Workload) -> int:
    if settings.concurrency_limit == -1:  # events that are sent by themselves begin their tries at all instants
        return 1
    arrivals = workload.rate * (workload.outage + 2 * cycle(settings, workload)) * len(workload.kinds)
    return max(1, min(_MOST_SHIFTS, int(_ARRIVALS_FOR_SHIFTS / (arrivals + 1))))
