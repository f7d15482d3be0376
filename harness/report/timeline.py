"""When a scenario's queue settings allow its batches to be sent, beside when they were.

Worked out from the rules and what was seen, with no queue at hand: BAT-2 and BAT-4 for windows, RET-1 and RET-2 for
retries. Times are seconds since the scenario began.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.conformance.deliveries import Deliveries, Try

#: Kong's defaults of the settings that matter here.
DEFAULTS: Mapping[str, float] = {
    "max_batch_size": 1,
    "max_coalescing_delay": 1,
    "concurrency_limit": 1,
    "initial_retry_delay": 0.01,
    "max_retry_delay": 60,
    "max_retry_time": 60,
}
#: A window shorter than this is none (BAT-6), and with less than this left of one, the batch may leave (BAT-4).
SHORTEST_WINDOW = 0.05
#: Seconds by which two clocks, or a timer in milliseconds, may disagree.
CLOCKS = 0.005
EXACT = 1e-6


@dataclass(frozen=True, slots=True)
class Allowed:
    """When a batch may be tried: while its window is open, or from the end of a retry's wait on.

    ``end`` is None where a busy machine can only be late, so that nothing can be said against it.
    """

    kind: Literal["window", "retry"]
    start: float
    end: float | None


@dataclass(frozen=True, slots=True)
class PlottedTry:
    """A try, what the settings allow it (None: they do not say), and how it breaks that.

    Over HTTP it can only be too early; in virtual time too late as well.
    """

    made: Try
    allowed: Allowed | None
    off: Literal["early", "late"] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One batch with all its tries. ``last_failure`` is when a try may last fail and still be repeated (RET-2)."""

    batch: int
    lane: str
    tries: Sequence[PlottedTry]
    last_failure: float | None = None


def rows(deliveries: Deliveries) -> list[Row]:
    """Return the batches of ``deliveries`` in order of their first try."""
    batches: dict[int, list[Try]] = {}
    for one in deliveries.tries:
        batches.setdefault(one.batch, []).append(one)
    free_at: dict[str, float] = {}
    made: list[Row] = []
    for batch, tries in batches.items():
        lane = tries[0].lane
        given = deliveries.queues.get(lane)
        settings = None if given is None else {**DEFAULTS, **_numbers(given)}
        plotted = [*_plotted(tries, settings, free_at.get(lane, 0.0), deliveries.exact)]
        failed = any(not one.succeeded for one in tries)
        last = tries[0].at + settings["max_retry_time"] if settings and failed else None
        made.append(Row(batch, lane, plotted, last))
        free_at[lane] = max(free_at.get(lane, 0.0), _over(tries[-1]))
    return made


def _plotted(
    tries: Sequence[Try], settings: Mapping[str, float] | None, free_at: float, exact: bool
) -> Iterator[PlottedTry]:
    previous: Try | None = None
    for one in tries:
        allowed: Allowed | None = None
        due: float | None = None
        if settings is not None and previous is None:
            allowed = _window(one, settings, free_at)
            # Where a full batch came together, only the arrivals say; a partial one has to wait for the end.
            partial = allowed is not None and one.events < settings["max_batch_size"]
            due = (
                allowed.end - SHORTEST_WINDOW if partial and allowed is not None and allowed.end is not None else None
            )
        elif settings is not None and previous is not None and not previous.succeeded:
            wait = min(settings["max_retry_delay"], settings["initial_retry_delay"] * 2.0 ** min(one.number - 1, 64))
            due = _over(previous) + wait
            allowed = Allowed("retry", due, due if exact else None)
        yield PlottedTry(one, allowed, _off(one, allowed, due, exact))
        previous = one


def _off(one: Try, allowed: Allowed | None, due: float | None, exact: bool) -> Literal["early", "late"] | None:
    if due is not None and one.at < due - (EXACT if exact else CLOCKS):
        return "early"
    end = None if allowed is None else allowed.end
    return "late" if exact and end is not None and one.at > end + EXACT else None


def _window(first: Try, settings: Mapping[str, float], free_at: float) -> Allowed | None:
    """The window of a batch opens when the queue is free to take its first entry."""
    length = settings["max_coalescing_delay"]
    windowed = settings["max_batch_size"] > 1 and length >= SHORTEST_WINDOW and settings["concurrency_limit"] == 1
    if not windowed or not first.entered:
        return None
    start = max(min(first.entered), free_at)
    return Allowed("window", start, start + length)


def _numbers(settings: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in settings.items() if name in DEFAULTS and isinstance(value, (int, float))}


def _over(one: Try) -> float:
    return one.at + (one.seconds or 0.0)
