"""Scales put every value into the picture, in order, and name few and round ones."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.svg_scales import (
    MOST_TICKS,
    SMALLEST,
    LinearScale,
    LogScale,
    PassedScale,
    Scale,
    by_ratio,
    from_zero,
    from_zero_or_by_ratio,
)

#: Sizes that anything measured in seconds, events or bytes can have.
above_zero = st.floats(1e-9, 1e15)
any_size = st.one_of(st.just(0.0), above_zero, st.floats(0, 1e-9))
values = st.lists(any_size)
LOW, HIGH = 200.0, 20.0  # y runs downwards


def is_sound(scale: Scale, probes: list[float]) -> None:
    """Every value has a finite place between both ends, later ones further on; ticks are in order and inside."""
    places = [scale.place(value) for value in sorted([scale.start, scale.end, *probes])]
    assert all(HIGH <= place <= LOW for place in places)
    assert places == sorted(places, reverse=True)
    assert (scale.place(scale.start), scale.place(scale.end)) == (LOW, HIGH)
    ticks = scale.ticks()
    assert all(math.isfinite(tick) for tick in ticks)
    assert all(before < after for before, after in itertools.pairwise(ticks))
    width = scale.end - scale.start
    assert all(scale.start - 1e-6 * width <= tick <= scale.end + 1e-6 * width for tick in ticks)


@given(values, values)
def test_a_scale_from_zero_takes_any_values_none_and_one_among_them(
    given_values: list[float], probes: list[float]
) -> None:
    scale = from_zero(given_values, LOW, HIGH)
    is_sound(scale, [*given_values, *probes])
    assert scale.start == 0 and scale.end >= max(given_values, default=0)
    assert 2 <= len(scale.ticks()) <= MOST_TICKS + 1
    assert scale.ticks()[0] == 0


@given(values, values)
def test_a_scale_by_ratio_takes_any_values_zero_among_them(given_values: list[float], probes: list[float]) -> None:
    scale = by_ratio(given_values, LOW, HIGH)
    is_sound(scale, [*given_values, *probes])
    assert scale.logarithmic
    assert 1 <= len(scale.ticks()) <= MOST_TICKS


@given(values, st.floats(2, 1e6))
def test_what_differs_much_is_shown_by_ratio_and_nothing_else(given_values: list[float], wide: float) -> None:
    known = [value for value in given_values if value > SMALLEST]
    scale = from_zero_or_by_ratio(given_values, LOW, HIGH, wide)
    is_sound(scale, given_values)
    assert scale.logarithmic is (bool(known) and max(known) / min(known) > wide)


@given(st.floats(-1e6, 1e6), above_zero.filter(lambda width: 1e-3 < width < 1e9), st.lists(st.floats(-1e9, 1e9)))
def test_a_linear_scale_may_start_anywhere(start: float, width: float, probes: list[float]) -> None:
    scale = LinearScale(start, start + width, LOW, HIGH)
    is_sound(scale, probes)
    assert 1 <= len(scale.ticks()) <= MOST_TICKS + 1


@given(st.floats(0, 1e6), st.floats(1e-3, 1e9), st.floats(1e-6, 1e-4), st.lists(st.floats(-1e9, 1e9)))
def test_a_scale_of_what_has_passed_has_a_place_for_its_start(
    start: float, width: float, smallest: float, probes: list[float]
) -> None:
    is_sound(PassedScale(start, start + width, LOW, HIGH, smallest), probes)


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (LinearScale(0, 12.3, 0, 1, most=12), [0, 2, 4, 6, 8, 10, 12]),
        (LinearScale(0, 63, 0, 1, most=5), [0, 20, 40, 60]),
        (LinearScale(0, 1, 0, 1, most=5), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (LogScale(0.02, 4, 0, 1), [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2]),
        (LogScale(1e-3, 100, 0, 1), [1e-3, 1e-2, 0.1, 1, 10, 100]),
    ],
)
def test_ticks_are_round(scale: Scale, ticks: list[float]) -> None:
    assert scale.ticks() == pytest.approx(ticks)
