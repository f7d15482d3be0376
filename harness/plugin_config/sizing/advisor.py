"""Sizes a queue: what the given parameters lose, and parameters that lose nothing, proven by simulation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from plugin_emulator.queue import QueueSettings

from .assessment import Assessment, OnRun, assess, survives
from .proposal import BeyondBounds, BudgetOutOfReach, Change, Proposal, propose
from .quantities import bytes_text, duration_text, rounded_down
from .runs import tries_in_outage
from .workload import MOST_ENTRIES, Workload

#: Advice is made for an outage longer than the one asked about by as much as the bounds allow.
MARGINS = (1.2, 1.1, 1.0)
#: What one run may have to simulate.
MOST_ARRIVALS = 5_000_000
MOST_TRIES = 2_000_000
#: Workers are not counted any further than this.
MOST_WORKERS = 100_000
#: From this size of a POST's body on, the reader is told to ask what the ingest endpoint takes.
_LARGE_BODY = 1_000_000


class TooMuchToSimulate(ValueError):
    """The workload is beyond what is simulated; the text gives the numbers."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What was found. Figures are of one worker's queue; times in seconds.

    ``advised`` is None when ``given`` needs no change, and when nothing can be proposed. ``survives`` is the longest
    outage that was simulated, with every kind, without a loss: with ``advised``, or with ``given`` where there is
    none; None when there was no such run. ``shortfalls`` says what is not attained; it is empty when the last
    settings lose nothing in the outage asked about and keep the delay budget. ``workers_needed`` is the number of
    workers with which the outage can be survived, when more are needed.
    """

    workload: Workload
    given: Assessment
    given_is_enough: bool
    advised: Assessment | None = None
    changes: tuple[Change, ...] = ()
    survives: float | None = None
    workers_needed: int | None = None
    shortfalls: tuple[str, ...] = ()


def advise(given: QueueSettings, workload: Workload, on_run: OnRun = lambda about: None) -> Advice:
    """Assess ``given`` under ``workload`` and, where it is not enough, find parameters that are.

    The advised parameters are those of a simulated run without a loss, or fall short as ``shortfalls`` says.
    ``on_run`` is told about each simulated run before it begins. Raises TooMuchToSimulate; ValueError for a round
    trip that is not below the timeout.
    """
    check_work(given, workload)
    before = assess(given, workload, "given", on_run)
    if before.loses_nothing and before.is_within(workload.delay_budget):
        return Advice(workload, before, True, survives=workload.outage)
    found = Advice(workload, before, False)
    enough = _enough(given, workload, before.loses_nothing, on_run)
    aim = workload
    if enough is None and workload.delay_budget is not None:
        found = replace(found, shortfalls=(_why_too_late(given, workload),))
        if before.loses_nothing:
            return replace(found, survives=workload.outage)
        aim = replace(workload, delay_budget=None)
        enough = _enough(given, aim, False, on_run)
    if enough is not None:
        proposal, after, longest = enough
        return replace(found, advised=after, changes=proposal.changes, survives=longest)
    return _best_possible(found, given, aim, on_run)


def check_work(given: QueueSettings, workload: Workload) -> None:
    """Raise TooMuchToSimulate when a run would take minutes; ValueError when every POST would time out."""
    if workload.rtt >= workload.timeout:
        raise ValueError(
            f"a POST takes {duration_text(workload.rtt)} and times out after {duration_text(workload.timeout)}: "
            "every one would fail; raise the plugin's config.timeout first"
        )
    arrivals = workload.rate * workload.outage
    if arrivals > MOST_ARRIVALS:
        raise TooMuchToSimulate(
            f"{arrivals:,.0f} events arrive at each worker during the outage, and at most {MOST_ARRIVALS:,} are "
            f"simulated; max_entries ends at {MOST_ENTRIES:,} anyway: give at least "
            f"{math.ceil(workload.rps * workload.outage / MOST_ENTRIES):,} workers or a shorter outage"
        )
    tries = max(tries_in_outage(given, workload, kind, workload.outage) for kind in workload.kinds)
    if given.concurrency_limit == -1 and given.failure_threshold:
        tries *= math.ceil(arrivals)
    if tries > MOST_TRIES:
        raise TooMuchToSimulate(
            f"the outage is {tries:,} tries long, and at most {MOST_TRIES:,} are simulated: "
            "give a longer max_retry_delay or a shorter outage"
        )


def notes(advice: Advice) -> list[str]:
    """Return what the figures rest on, and what they leave out."""
    workload = advice.workload
    assessment = advice.advised or advice.given
    found = [
        f"memory: events held at a time × {bytes_text(workload.event_bytes)}, the serialised event alone; "
        "what Lua needs to keep it comes on top."
    ]
    if workload.workers > 1:
        found.append(f"the {workload.workers} workers are taken to share the traffic evenly; figures are of one.")
    body = assessment.settings.max_batch_size * workload.event_bytes
    if body >= _LARGE_BODY and assessment.settings.concurrency_limit == 1:
        found.append(f"a full batch is a body of {bytes_text(body)}: the ingest endpoint must take that.")
    if assessment.outage.held > workload.rate:
        found.append("events wait in memory only: a gateway that stops in the outage loses them.")
    if advice.changes:
        found.append("a queue keeps its parameters until it is empty: change them before an outage.")
    return found


def _enough(
    given: QueueSettings, workload: Workload, only_delay: bool, on_run: OnRun
) -> tuple[Proposal, Assessment, float] | None:
    """Return parameters that lost nothing when simulated, and the longest outage simulated without a loss."""
    sizes: list[float | None] = [workload.outage * margin for margin in MARGINS]
    for outage in [None, *sizes] if only_delay else sizes:
        try:
            proposal = propose(given, workload, outage)
        except (BeyondBounds, BudgetOutOfReach):
            continue
        after = assess(proposal.settings, workload, "advised", on_run)
        if not (after.loses_nothing and after.is_within(workload.delay_budget)):
            continue
        longest = workload.outage
        if outage is not None and outage > longest:
            about = f"advised settings, outage of {duration_text(outage)}"
            if survives(proposal.settings, workload, outage, about, on_run):
                longest = outage
        return proposal, after, longest
    return None


def _why_too_late(given: QueueSettings, workload: Workload) -> str:
    try:
        propose(given, workload, workload.outage)
    except (BeyondBounds, BudgetOutOfReach) as reason:
        return f"{reason}."
    return f"no settings were found that deliver within {duration_text(workload.delay_budget or 0.0)}."


def _best_possible(found: Advice, given: QueueSettings, workload: Workload, on_run: OnRun) -> Advice:
    """Return the advice when no parameters survive the outage: the longest one they do, the workers it takes."""
    longest = _longest_outage(given, workload)
    if longest is not None:
        proposal = propose(given, workload, longest, retry_for=workload.outage)
        after = assess(proposal.settings, workload, "advised", on_run)
        found = replace(found, advised=after, changes=proposal.changes)
        if after.loses_nothing:  # the sums are careful, and the run went better
            return replace(found, survives=workload.outage)
        about = f"advised settings, outage of {duration_text(longest)}"
        found = replace(
            found, survives=longest if survives(after.settings, workload, longest, about, on_run) else None
        )
    return replace(
        found,
        shortfalls=(*found.shortfalls, _why_impossible(given, workload)),
        workers_needed=_workers_needed(given, workload, on_run),
    )


def _why_impossible(given: QueueSettings, workload: Workload) -> str:
    try:
        propose(given, workload, workload.outage)
    except (BeyondBounds, BudgetOutOfReach) as reason:
        return f"{reason}."
    return f"no settings were found that survive {duration_text(workload.outage)}."


def _longest_outage(given: QueueSettings, workload: Workload) -> float | None:
    """Return the longest outage, in seconds, to two digits, for which there is a proposal; None: there is none."""

    def is_possible(outage: float) -> bool:
        try:
            propose(given, workload, outage)
        except (BeyondBounds, BudgetOutOfReach):
            return False
        return True

    low, high = 0.1, workload.outage
    if not is_possible(low):
        return None
    while high - low > 0.001 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if is_possible(middle) else (low, middle)
    return rounded_down(low)


def _workers_needed(given: QueueSettings, workload: Workload, on_run: OnRun) -> int | None:
    """Return the least number of workers with a proposal, if that lost nothing when simulated; else None."""

    def proposal(workers: int) -> Proposal | None:
        try:
            return propose(given, replace(workload, workers=workers), workload.outage)
        except (BeyondBounds, BudgetOutOfReach):
            return None

    low, high = workload.workers, workload.workers * 2
    while proposal(high) is None:
        low, high = high, high * 2
        if high > MOST_WORKERS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if proposal(middle) is None else (low, middle)
    best = proposal(high)
    assert best is not None
    about = f"{high:,} workers"
    return high if survives(best.settings, replace(workload, workers=high), workload.outage, about, on_run) else None
