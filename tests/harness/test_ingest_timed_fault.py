"""Faults that last for a time rather than for a number of requests."""

from __future__ import annotations

import http.client
import math
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.capture.store import CaptureWriter
from harness.ingest.control import ControlError, IngestControl
from harness.ingest.core import IngestSettings
from harness.ingest.faults import NO_FAULT, Fault, FaultScript
from harness.ingest.lanes import Lanes
from harness.ingest.timed_fault import TimedFault, parse_timed_fault
from harness.targets.fake_ingest import FakeIngest

SECONDS = st.floats(0, 1000)


@given(SECONDS, st.floats(0.001, 1000))
def test_a_fault_holds_until_its_time_is_over_and_not_a_moment_longer(now: float, length: float) -> None:
    timed = parse_timed_fault({"fault": 503, "for": length}, now)
    assert timed.at(now) == Fault(status=503)
    assert timed.at(math.nextafter(timed.until, 0)) == Fault(status=503)
    assert timed.at(timed.until) is None


@given(SECONDS, st.floats(0.001, 1000), st.floats(0, 1, exclude_max=True))
def test_no_request_hangs_beyond_the_end_of_the_fault(now: float, length: float, share: float) -> None:
    timed = parse_timed_fault({"fault": {"hang": True}, "for": length}, now)
    arrives = now + length * share
    fault = timed.at(arrives)
    if fault is None:  # the share is so near to 1 that the sum is the end
        assert arrives >= timed.until
    else:
        assert fault.hang == timed.until - arrives


def test_a_fault_without_an_end_goes_on_until_it_is_cleared() -> None:
    assert parse_timed_fault({"fault": {"hang": True}}, 5.0) == TimedFault(Fault(hang=math.inf), math.inf)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([503], "expected a JSON object"),
        ({}, "expected a JSON object"),
        ({"fault": 503, "four": 2}, "unknown member 'four'; did you mean 'for'"),
        ({"fault": 503, "for": 0}, "above 0"),
        ({"fault": 503, "for": True}, "above 0"),
        ({"fault": 503, "for": math.nan}, "above 0"),
        ({"fault": {"stat": 503}}, "stat"),
        ({"fault": {"status": 503, "times": 2}}, "times"),
        ({"fault": {"status": 503, "forever": True}}, "forever"),
    ],
)
def test_what_is_no_timed_fault_is_refused_by_name(document: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_timed_fault(document, 0.0)


def test_a_timed_fault_is_stronger_than_the_script_which_counts_on_beneath_it(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "capture.jsonl") as capture:
        lanes = Lanes(capture, IngestSettings(), FaultScript.parse([500, 501, {"delay": 0}]))
        lane = lanes.get("")
        assert lane is not None
        assert lanes.arrive("/events").fault.status == 500
        lane.timed = TimedFault(Fault(status=429), math.inf)
        assert lanes.arrive("/events").fault.status == 429
        lane.timed = TimedFault(Fault(status=429), time.monotonic())
        assert lanes.arrive("/events").fault == NO_FAULT
        assert lane.timed is None


def test_faults_are_set_and_cleared_over_the_control_interface() -> None:
    ingest = FakeIngest()
    ports = ingest.start().ports
    control = IngestControl(ports.control)
    try:
        control.set_lane("one")
        control.set_fault("one", 429)
        assert _status(ports.http) == 429
        control.set_fault("one", {"reset": "before"}, 60.0)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            _status(ports.http)
        control.clear_fault("one")
        assert _status(ports.http) == 400  # an ordinary answer to a body that is no event
        for call in (lambda: control.set_fault("none", 503), lambda: control.clear_fault("none")):
            with pytest.raises(ControlError, match="no lane of that name"):
                call()
        with pytest.raises(ControlError, match="status"):
            control.set_fault("one", 99)
    finally:
        ingest.stop()


def _status(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"Authorization": "Bearer any", "Content-Type": "application/cloudevents+json"}
        connection.request("POST", "/lane/one/events", b"{}", headers)
        return connection.getresponse().status
    finally:
        connection.close()
