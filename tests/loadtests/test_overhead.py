"""What clients notice of an ingest endpoint that hangs."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.ledger import LedgerWriter, ledger_path
from loadtests.overhead import PAIRS, WINDOW, measure_overhead, overhead_plan
from loadtests.plan import LoadPlan
from loadtests.played import PlayedFault

EPOCH = 1_700_000_000.0


def hangs() -> list[PlayedFault]:
    return [PlayedFault({"hang": True}, EPOCH + 2 * pair, EPOCH + 2 * pair + 1) for pair in range(PAIRS)]


def write(directory: Path, hung: float, healthy: float, per_second: int = 200) -> None:
    """Write a ledger of evenly spaced requests that take ``hung`` seconds in hangs and ``healthy`` between them."""
    with LedgerWriter(ledger_path(directory, 0), "0123abcd", 0) as ledger:
        for n in range(2 * PAIRS * per_second):
            started = EPOCH + n / per_second
            lasts = hung if int(n / per_second) % 2 == 0 else healthy
            ledger.end(ledger.begin(0, started), 200, started + lasts)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.001, 0.05), st.floats(0.5, 3.0))
def test_the_increase_is_that_of_the_latency(
    tmp_path_factory: pytest.TempPathFactory, healthy: float, factor: float
) -> None:
    directory = tmp_path_factory.mktemp("ledger")
    write(directory, healthy * factor, healthy)
    found = measure_overhead(directory, hangs())
    assert found.pairs == PAIRS
    assert found.increase == pytest.approx([factor - 1] * 3, abs=0.01)
    assert found.judged == pytest.approx(factor - 1, abs=0.01)


def test_one_disturbed_pair_of_windows_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, 0.01, 0.01)
    with LedgerWriter(ledger_path(tmp_path, 1), "0123abcd", 1) as ledger:
        for n in range(800):  # most of the first second is four times as slow
            ledger.end(ledger.begin(0, EPOCH + 0.2 + n / 2000), 200, EPOCH + 0.2 + n / 2000 + 0.04)
    assert measure_overhead(tmp_path, hangs()).judged == pytest.approx(0, abs=1e-3)


def test_too_few_requests_are_no_measurement(tmp_path: Path) -> None:
    write(tmp_path, 0.01, 0.01, per_second=10)
    found = measure_overhead(tmp_path, hangs())
    assert (found.pairs, found.judged) == (0, None)


def test_requests_without_an_answer_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, 0.01, 0.01)
    with LedgerWriter(ledger_path(tmp_path, 1), "0123abcd", 1) as ledger:
        for n in range(1000):
            ledger.end(ledger.begin(0, EPOCH + n / 100), 0, EPOCH + n / 100 + 9)
    assert measure_overhead(tmp_path, hangs()).judged == pytest.approx(0, abs=1e-3)


def test_the_plan_for_it_keeps_the_traffic_and_hangs_every_other_second() -> None:
    plan = LoadPlan.from_json({"rate": 70, "duration": 600, "restarts": [{"at": 5}], "shape": {"kind": "outage"}})
    measured = overhead_plan(plan)
    assert (measured.rate, measured.weights, measured.queue) == (plan.rate, plan.weights, plan.queue)
    faults = measured.fault_timeline()
    assert len(faults) == PAIRS and not measured.restarts
    assert all(second.at - first.at == 2 * WINDOW for first, second in pairwise(faults))
    assert LoadPlan.from_json(measured.to_json()) == measured
