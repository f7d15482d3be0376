"""From values to places in a picture, and the round values to be named on an axis.

A scale goes from ``start`` to ``end`` in values, and from ``low`` to ``high`` in the units of the picture, which may
run backwards. What lies outside is put at the nearer end. Values are finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol

#: What is not above this is nothing to a scale that begins with the smallest value.
SMALLEST = 1e-12
#: So many named values are enough on one axis.
MOST_TICKS = 8


class Scale(Protocol):
    """What an axis needs to know."""

    @property
    def start(self) -> float:
        """The smallest value."""

    @property
    def end(self) -> float:
        """The largest value."""

    @property
    def logarithmic(self) -> bool:
        """Whether equal steps are equal ratios."""

    def place(self, value: float) -> float:
        """Return where ``value`` is, to a tenth of a unit."""

    def ticks(self) -> list[float]:
        """Return the values to be named, in order."""


@dataclass(frozen=True, slots=True)
class LinearScale:
    """Equal steps are equal differences. ``end`` is above ``start``."""

    start: float
    end: float
    low: float
    high: float
    most: int = MOST_TICKS

    logarithmic: ClassVar[bool] = False

    def place(self, value: float) -> float:
        """Return where ``value`` is."""
        return _between(_share(value, self.start, self.end), self.low, self.high)

    def ticks(self) -> list[float]:
        """Return multiples of 1, 2 or 5 times a power of ten."""
        span = self.end - self.start
        power = 10.0 ** math.floor(math.log10(span))
        sizes = (power / 5, power / 2, power, power * 2, power * 5, power * 10)
        step = next(size for size in sizes if span / size <= self.most or size is sizes[-1])
        first, last = math.ceil(self.start / step - 1e-9), math.floor(self.end / step + 1e-9)
        return [step * number for number in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class LogScale:
    """Equal steps are equal ratios. ``start`` is above zero, ``end`` above ``start``."""

    start: float
    end: float
    low: float
    high: float

    logarithmic: ClassVar[bool] = True

    def place(self, value: float) -> float:
        """Return where ``value`` is; zero and less is at the start."""
        value = max(value, self.start)
        return _between(_share(math.log(value), math.log(self.start), math.log(self.end)), self.low, self.high)

    def ticks(self) -> list[float]:
        """Return powers of ten, where they are few with 2 and 5 times these as well, where they are many fewer."""
        powers = range(math.floor(math.log10(self.start)), math.ceil(math.log10(self.end)) + 1)
        for firsts, every in (((1, 2, 5), 1), ((1,), 1), ((1,), 2), ((1,), 5), ((1,), 50)):
            found = [first * 10.0**power for power in powers if power % every == 0 for first in firsts]
            found = [value for value in found if self.start * (1 - 1e-9) <= value <= self.end * (1 + 1e-9)]
            if len(found) <= MOST_TICKS:
                break
        return found


@dataclass(frozen=True, slots=True)
class PassedScale:
    """Logarithmic in what has passed since ``start``, from ``smallest`` on: the start itself has a place."""

    start: float
    end: float
    low: float
    high: float
    smallest: float

    logarithmic: ClassVar[bool] = True

    def place(self, value: float) -> float:
        """Return where ``value`` is."""
        span = self.end - self.start
        passed = min(max(value - self.start, 0.0), span)
        share = math.log1p(passed / self.smallest) / math.log1p(span / self.smallest)
        return _between(share, self.low, self.high)

    def ticks(self) -> list[float]:
        """Return the start, and what is a power of ten after it."""
        span = self.end - self.start
        powers = range(math.ceil(math.log10(self.smallest)), math.floor(math.log10(span)) + 1)
        return [self.start, *(self.start + 10.0**power for power in powers)]


def from_zero(values: Iterable[float], low: float, high: float, most: int = MOST_TICKS) -> LinearScale:
    """Return a linear scale from zero to a little above the largest of ``values``, to 1 when none is above zero."""
    largest = max((value for value in values if value > 0), default=0.0)
    return LinearScale(0.0, largest * 1.05 if largest > SMALLEST else 1.0, low, high, most)


def by_ratio(values: Iterable[float], low: float, high: float) -> LogScale:
    """Return a logarithmic scale around those of ``values`` above SMALLEST, at least a factor of four wide."""
    known = [value for value in values if value > SMALLEST]
    if not known:
        return LogScale(0.1, 10.0, low, high)
    return LogScale(min(known) / 2, max(known) * 2, low, high)


def from_zero_or_by_ratio(
    values: Iterable[float], low: float, high: float, wide: float, *, most: int = MOST_TICKS
) -> Scale:
    """Return a scale from zero, or a logarithmic one when values differ by more than a factor of ``wide``."""
    known = [value for value in values if value > SMALLEST]
    if known and max(known) / min(known) > wide:
        return by_ratio(known, low, high)
    return from_zero(known, low, high, most)


def _share(value: float, start: float, end: float) -> float:
    return (min(max(value, start), end) - start) / (end - start)


def _between(share: float, low: float, high: float) -> float:
    return round(low + share * (high - low), 1)
