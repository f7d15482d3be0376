"""A plan's faults and restarts, played while a load runs."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from harness.ingest.control import ControlError
from harness.targets.target import TargetUnavailableError
from loadtests.plan import LoadPlan
from loadtests.played import FaultTimeline, PlayedFault
from loadtests.prediction import FaultWindow


class Control:
    """Notes what it is told, in place of the ingest endpoint's control interface."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.told: list[tuple[float, str, Any, float]] = []
        self._failure = failure

    def set_fault(self, lane: str, step: Any, seconds: float) -> None:
        if self._failure is not None:
            raise self._failure
        self.told.append((time.time(), lane, step, seconds))


class Gateway:
    """Takes as long to restart as it is let."""

    name = "emulator"

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.restarted: list[str] = []

    def restart(self, how: str) -> None:
        self.restarted.append(how)
        assert self.go_on.wait(30)


def timeline(plan: dict[str, Any], control: Control, gateway: Gateway) -> FaultTimeline:
    return FaultTimeline(LoadPlan.from_json(plan), control, "load", gateway)  # type: ignore[arg-type]


def test_faults_are_played_at_their_time_and_written_down() -> None:
    control = Control()
    plan = {
        "duration": 1,
        "ingest_faults": [{"at": 0.3, "for": 0.2, "fault": 429}, {"at": 0.1, "for": 0.1, "fault": 503}],
    }
    playing = timeline(plan, control, Gateway())
    began = time.time()
    playing.play(began)
    playing.wait()
    assert [told[1:] for told in control.told] == [("load", 503, 0.1), ("load", 429, 0.2)]
    for told, entry, played in zip(control.told, (0.1, 0.3), playing.faults, strict=True):
        assert told[0] >= began + entry
        assert told[0] <= played.began_at <= told[0] + 5
        assert played.ended_at - played.began_at == pytest.approx(told[3])


def test_a_restart_that_takes_its_time_keeps_no_fault_waiting() -> None:
    control, gateway = Control(), Gateway()
    plan = {
        "duration": 1,
        "ingest_faults": [{"at": 0.1, "for": 0.1, "fault": 503}],
        "restarts": [{"at": 0, "how": "kill"}],
    }
    playing = timeline(plan, control, gateway)
    playing.play(time.time())
    deadline = time.monotonic() + 30
    while not playing.faults:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert gateway.restarted == ["kill"] and not playing.restarts
    gateway.go_on.set()
    playing.wait()
    (restart,) = playing.restarts
    assert restart.began_at <= playing.faults[0].began_at <= restart.ended_at


def test_what_cannot_be_played_fails_the_run_with_the_reason() -> None:
    control = Control(ControlError("ingest control: gone"))
    playing = timeline({"duration": 1, "ingest_faults": [{"at": 0, "for": 1, "fault": 503}]}, control, Gateway())
    playing.play(time.time())
    with pytest.raises(TargetUnavailableError, match="a fault could not be played: ingest control: gone"):
        playing.wait()
    assert playing.failed


def test_a_timeline_that_is_stopped_plays_no_more() -> None:
    control = Control()
    plan = {"duration": 600, "ingest_faults": [{"at": 500, "for": 1, "fault": 503}], "restarts": [{"at": 500}]}
    playing = timeline(plan, control, Gateway())
    playing.play(time.time())
    playing.stop()
    assert not control.told and not playing.restarts


def test_the_outage_of_a_shape_is_played_too() -> None:
    control = Control()
    playing = timeline({"duration": 1, "shape": {"kind": "outage", "at": 0, "for": 0.5}}, control, Gateway())
    playing.play(time.time())
    playing.wait()
    assert [(step, seconds) for _, _, step, seconds in control.told] == [(503, 0.5)]


def test_a_played_fault_is_what_losses_are_predicted_from() -> None:
    window = PlayedFault({"drop_answer": True}, 5.0, 7.0).window()
    assert isinstance(window, FaultWindow)
    assert (window.began_at, window.ended_at, window.fault.drop_answer) == (5.0, 7.0, True)
