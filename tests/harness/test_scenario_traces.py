"""Traces of virtual time are judged exactly."""

from __future__ import annotations

import pytest

from harness.conformance.scenario import parse_scenario
from harness.conformance.traces import judge_trace

SCENARIO = parse_scenario("""\
id: virtual
title: One entry is retried and one is lost
rules: [RET-1]
simulate: {queue: {}, arrivals: [{t: 0, id: e1, bytes: 1}], ingest: [{status: 202, duration: 0}]}
expect:
  tries: [{t: 0, entries: [e1], status: 500}, {t: 0.1, entries: [e1], status: 202}]
  delivered: [{id: e1, t: 0.1}]
  lost: [{id: e2, t: 0.2, reason: gave_up}]
  peak_entries: 1
  ended_at: 0.2
""")

TRACE = {
    "tries": [
        {"t": 0.0, "entries": ["e1"], "status": 500, "duration": 0},
        {"t": 0.1, "entries": ["e1"], "status": 202, "duration": 0},
    ],
    "delivered": [{"id": "e1", "t": 0.1}],
    "lost": [{"id": "e2", "t": 0.2, "reason": "gave_up"}],
    "peak_entries": 1,
    "ended_at": 0.2,
}


def test_a_trace_as_expected_has_no_failure() -> None:
    assert judge_trace(SCENARIO, TRACE) == []


def test_half_a_billionth_of_a_second_is_no_difference() -> None:
    assert judge_trace(SCENARIO, {**TRACE, "ended_at": 0.2 + 5e-10}) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"ended_at": 0.200000002}, "ended_at"),
        ({"peak_entries": 2}, "peak_entries"),
        ({"tries": TRACE["tries"][:1]}, "number of tries"),  # type: ignore[index]
        ({"delivered": [{"id": "e2", "t": 0.1}]}, "delivered[0].id"),
        ({"lost": [{"id": "e2", "t": 0.2, "reason": "too_large"}]}, "lost[0].reason"),
        ({"lost": []}, "number of lost"),
    ],
)
def test_any_other_trace_fails_and_the_place_is_named(change: dict[str, object], field: str) -> None:
    (failure,) = judge_trace(SCENARIO, {**TRACE, **change})
    assert failure.rules == ("RET-1",)
    assert [difference.field for difference in failure.differences] == [field]
