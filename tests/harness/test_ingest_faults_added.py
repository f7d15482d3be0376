"""Faults that are added to a lane while it is in use."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.ingest.control import ControlError, IngestControl
from harness.ingest.faults import FaultScript
from harness.targets.fake_ingest import FakeIngest

STEPS = st.lists(
    st.builds(lambda status, times: {"status": status, "times": times}, st.integers(500, 520), st.integers(1, 3)),
    min_size=1,
    max_size=3,
)


def statuses(script: FaultScript, first: int, last: int) -> list[int | None]:
    return [script.fault_for(number).status for number in range(first, last + 1)]


def test_a_script_added_to_none_begins_with_the_next_request() -> None:
    script = FaultScript().followed_by(FaultScript.parse([503, 429, 202]), 4)
    assert statuses(script, 1, 8) == [None, None, None, None, 503, 429, 202, 202]


def test_a_script_added_before_the_last_one_was_used_up_waits_for_its_turn() -> None:
    script = FaultScript().followed_by(FaultScript.parse([{"status": 503, "times": 2}, {"delay": 0}]), 0)
    script = script.followed_by(FaultScript.parse([429, {"delay": 0}]), 1)
    assert statuses(script, 1, 5) == [503, 503, 429, None, None]


def test_a_step_that_goes_on_for_ever_ends_where_a_script_is_added() -> None:
    script = FaultScript.parse([503]).followed_by(FaultScript.parse([202]), 3)
    assert statuses(script, 1, 5) == [503, 503, 503, 202, 202]


def test_faults_for_single_requests_count_from_where_they_were_added() -> None:
    script = FaultScript.parse({"requests": {"2": 500}}).followed_by(FaultScript.parse({"requests": {"2": 501}}), 3)
    assert statuses(script, 1, 6) == [None, 500, None, None, 501, None]


@settings(max_examples=100, derandomize=True, deadline=None)
@given(STEPS, STEPS, st.integers(0, 12))
def test_a_script_is_followed_step_by_step_wherever_the_requests_are(
    first: list[dict[str, int]], second: list[dict[str, int]], arrived: int
) -> None:
    flat = [[step["status"] for step in script for _ in range(step["times"])] for script in (first, second)]
    told = flat[0][: len(flat[0]) - first[-1]["times"]]  # all but the step that goes on for ever
    told += [first[-1]["status"]] * (arrived - len(told))
    script = FaultScript.parse(first).followed_by(FaultScript.parse(second), arrived)
    expected = told + flat[1] + [flat[1][-1]] * 3
    assert statuses(script, 1, len(expected)) == expected


def test_faults_are_added_and_removed_over_the_control_interface() -> None:
    ingest = FakeIngest()
    lanes = ingest.start()
    control = IngestControl(lanes.ports.control)
    try:
        control.set_lane("one")
        control.add_faults("one", [503])
        control.remove_faults("one")
        assert control.counts("one")["requests"] == 0
        for call in (lambda: control.add_faults("none", [503]), lambda: control.remove_faults("none")):
            with pytest.raises(ControlError, match="no lane of that name"):
                call()
        with pytest.raises(ControlError, match=r"script/0: .*status"):
            control.add_faults("one", [99])
    finally:
        ingest.stop()
