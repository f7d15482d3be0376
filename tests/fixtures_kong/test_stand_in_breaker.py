"""The stand-in's circuit breaker under Kong's queue does what the emulator's does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_in import FIXTURES
from virtual_queue import VirtualQueue

from harness.conformance.scenario import Scenario, read_scenarios
from plugin_emulator.runtime.simulation import simulate_schedule

SCENARIOS = [one for one in read_scenarios([FIXTURES / "scenarios" / "breaker"]) if one.kind == "simulate"]


def ran(schedule: dict[str, Any]) -> VirtualQueue:
    queue = VirtualQueue(schedule)
    queue.run()
    return queue


@pytest.mark.parametrize("scenario", [pytest.param(one, id=one.id) for one in SCENARIOS])
def test_the_breakers_scenarios_hold(scenario: Scenario) -> None:
    queue = ran(dict(scenario.schedule or {}))
    expected = scenario.expect
    tries = [(one["t"], one["entries"][0]) for one in expected["tries"]]
    assert [(pytest.approx(at), name) for at, name, _ in queue.tries] == tries
    if "lost" in expected:
        assert queue.lost == sorted(one["id"] for one in expected["lost"])


# Quarters of a second, and odd times for the waits, so that no two things ever happen at once. No cooldown of 0: what
# waits when the breaker opens is dropped when the queue hands it over, which must be before the cooldown ends.
SCHEDULES = st.fixed_dictionaries(
    {
        "queue": st.fixed_dictionaries(
            {
                "max_batch_size": st.just(1),
                "max_retry_time": st.sampled_from([-1, 3.1]),
                "initial_retry_delay": st.just(0.77),
                "failure_threshold": st.integers(0, 3),
                "breaker_cooldown": st.sampled_from([5.3, 20.3]),
            }
        ),
        "arrivals": st.lists(st.integers(0, 160), min_size=1, max_size=12, unique=True).map(
            lambda quarters: [{"t": quarter / 4, "id": f"e{quarter}", "bytes": 100} for quarter in sorted(quarters)]
        ),
        "ingest": st.lists(
            st.fixed_dictionaries({"status": st.sampled_from([202, 503]), "duration": st.sampled_from([0.013, 1.1])}),
            min_size=1,
            max_size=20,
        ),
    }
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(schedule=SCHEDULES)
def test_any_schedule_runs_as_in_the_emulator(schedule: dict[str, Any]) -> None:
    queue, trace = ran(schedule), simulate_schedule(schedule)
    tries = [(one["t"], one["entries"][0], one["status"]) for one in trace["tries"]]
    assert [(pytest.approx(at), name, status) for at, name, status in queue.tries] == tries
    assert queue.lost == sorted(one["id"] for one in trace["lost"])
