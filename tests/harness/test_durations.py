"""Lengths of time on the command line."""

from __future__ import annotations

import math

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli.durations import Duration, seconds


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("50ms", 0.05),
        ("1.5s", 1.5),
        ("10m", 600.0),
        ("1h", 3600.0),
        ("0.25", 0.25),
        ("3", 3.0),
        (".5m", 30.0),
        (" 2 s ", 2.0),
        ("0", 0.0),
    ],
)
def test_a_length_is_a_number_and_a_unit(text: str, length: float) -> None:
    """A plain number is seconds; ms, s, m and h are the units."""
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["", "ms", "-1s", "1d", "1 m 2 s", "nan", "inf", "1e3", "٣s", "9" * 400])
def test_what_is_no_length_is_refused(text: str) -> None:
    """Neither negative nor infinite lengths, nor other units, are taken."""
    with pytest.raises(click.BadParameter, match="not a length of time"):
        Duration().convert(text, None, None)


def test_zero_is_refused_where_it_makes_no_sense() -> None:
    """``min_open`` excludes zero."""
    assert Duration().convert("0ms", None, None) == 0
    with pytest.raises(click.BadParameter, match="longer than zero"):
        Duration(min_open=True).convert("0ms", None, None)


def test_a_default_given_as_a_number_is_seconds() -> None:
    """A default needs no unit."""
    assert Duration().convert(0.05, None, None) == 0.05


@given(st.text())
@settings(max_examples=300, derandomize=True)
def test_any_text_is_a_finite_length_or_refused(text: str) -> None:
    """No text gives a number that is not finite or below zero, or another error."""
    try:
        length = seconds(text)
    except ValueError:
        return
    assert math.isfinite(length) and length >= 0


@given(st.integers(min_value=0, max_value=10**9))
@settings(max_examples=100, derandomize=True)
def test_milliseconds_are_thousandths(number: int) -> None:
    """So many milliseconds are a thousandth of so many seconds, without another rounding."""
    assert seconds(f"{number}ms") == number / 1000
