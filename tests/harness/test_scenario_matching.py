"""Matchers: what counts as equal, and how expected and received events are paired."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.conformance.arrival_form import parse_time
from harness.conformance.matching import ABSENT, Setting, assign, event_differences, value_differences


def matches(expected: Any, received: Any, setting: Setting | None = None) -> bool:
    return not list(value_differences("field", expected, received, setting))


@pytest.mark.parametrize(
    ("expected", "good", "bad"),
    [
        (200, 200, "200"),
        (1, 1.0, True),
        ("a", "a", "A"),
        ("", "", ABSENT),
        ({"absent": True}, ABSENT, None),
        ({"present": True}, "", ABSENT),
        ({"matches": "a+"}, "aaa", "aab"),
        ({"matches": "1"}, "1", 1),
        ({"type": "integer"}, 3, True),
        ({"type": "integer"}, 3, 3.5),
        ({"type": "integer"}, 3, "3"),
        ({"type": "string"}, "", None),
        ({"one_of": [1, "b"]}, "b", 2),
        ({"not": "unknown"}, "acme", "unknown"),
        ({"at_least": 2, "at_most": 3}, 2.5, 3.01),
        ({"at_least": 2}, 2, "2"),
        ({"between": [1, 2]}, 2, 2.1),
        ({"equals": {"a": 1}}, {"a": 1}, {"a": 2}),
    ],
)
def test_a_matcher_takes_the_one_and_refuses_the_other(expected: Any, good: Any, bad: Any) -> None:
    assert matches(expected, good)
    assert not matches(expected, bad)


@pytest.mark.parametrize(
    ("time", "good"),
    [
        ("2026-01-01T00:00:10.500Z", True),
        ("2026-01-01T00:00:10.500000123Z", True),
        ("2026-01-01T01:00:10.5+01:00", True),
        ("2026-01-01T00:00:10Z", True),  # whole seconds: the request began within that second
        ("2026-01-01T00:00:09.9Z", True),
        ("2026-01-01T00:00:09.899Z", False),
        ("2026-01-01T00:00:11.102Z", False),
        ("2026-01-01 00:00:10.500Z", False),
        ("2026-01-01T00:00:10.500", False),
    ],
)
def test_a_time_within_its_request_is_taken_to_its_own_resolution(time: str, good: bool) -> None:
    setting = Setting(window=(1767225610.0, 1767225611.1))
    assert matches({"between": ["request.start", "request.end"]}, time, setting) is good


def test_a_time_without_a_known_request_never_matches() -> None:
    assert not matches({"between": ["request.start", "request.end"]}, "2026-01-01T00:00:10.500Z")


@given(st.floats(min_value=0, max_value=4e9), st.integers(min_value=0, max_value=9))
def test_a_written_time_is_read_back_to_its_resolution(seconds: float, digits: int) -> None:
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(seconds, UTC)
    fraction = f"{moment.microsecond:06d}000"[:digits]
    text = moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{fraction}" if digits else "") + "Z"
    at, resolution = parse_time(text)
    assert 0 <= seconds - at + 1e-6 <= resolution + 2e-6


def test_only_allows_no_field_but_the_listed_ones() -> None:
    event = {"data": {"a": 1, "b": 2}}
    assert not list(event_differences({"data": {"a": 1}}, event, Setting()))
    assert [one.field for one in event_differences({"data": {"a": 1}, "only": True}, event, Setting())] == ["data.b"]


def test_same_as_compares_with_another_event() -> None:
    setting = Setting(named={"first": {"data": {"key": "k"}}})
    assert matches({"same_as": "first.data.key"}, "k", setting)
    assert not matches({"same_as": "first.data.key"}, "other", setting)
    assert not matches({"same_as": "missing.data.key"}, "k", setting)


def test_pairing_finds_the_one_assignment_that_fits_all() -> None:
    # Row 0 fits both columns, row 1 only the first: greedy pairing would leave row 1 over.
    assert assign([[0, 0], [0, 5]]) == [1, 0]


@given(st.integers(0, 5), st.integers(0, 5), st.data())
def test_pairing_uses_no_column_twice_and_all_it_can(rows: int, columns: int, data: st.DataObject) -> None:
    costs = [[data.draw(st.integers(0, 2)) for _ in range(columns)] for _ in range(rows)]
    used = [column for column in assign(costs) if column is not None]
    assert len(set(used)) == len(used) == min(rows, columns)
