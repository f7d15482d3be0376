"""Interleaved measurement: every case once a round, medians and ratios in the end.

Machines drift; cases that take turns drift together. What is compared is CPU time; the clock on the wall only where
all processes of a case together are what is measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """``cost`` and ``reference`` in ``unit``, by default microseconds of CPU per unit of work (medians); ``ratio`` is
    the median of the rounds' ratios; ``limit`` the largest ratio that is accepted."""

    name: str
    against: str
    cost: float
    reference: float
    ratio: float
    limit: float
    unit: str = "µs CPU"

    @property
    def ok(self) -> bool:
        """Whether the ratio keeps to its limit."""
        return self.ratio <= self.limit


def interleaved(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run every case once a round, after a round of warm-up; return each case's figures by round.

    A case returns microseconds of CPU per unit of its work.
    """
    for case in cases.values():
        case()
    figures: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            figures[name].append(case())
    return figures


def compare(
    figures: Mapping[str, list[float]], name: str, against: str, limit: float, unit: str = "µs CPU"
) -> Comparison:
    """Compare two cases of one interleaved run, round by round."""
    ratios = [cost / reference for cost, reference in zip(figures[name], figures[against], strict=True)]
    return Comparison(
        name,
        against,
        statistics.median(figures[name]),
        statistics.median(figures[against]),
        statistics.median(ratios),
        limit,
        unit,
    )
