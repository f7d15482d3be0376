"""How long a POST takes is measured, and what the queue had to lose is predicted with it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.targets.emulator import EmulatorTarget
from harness.targets.fake_ingest import IngestPlace
from loadtests.delivery_gaps import round_trip
from loadtests.plan import LoadPlan
from loadtests.ports import lasting_port
from loadtests.queue_watch import QueueSample, QueueWatch
from loadtests.session import Order, run_load
from loadtests.thresholds import Thresholds
from tests.loadtests.recorded_run import START, Delivery, Request, api, write_run
from tests.loadtests.slow_path import HOST, slow_path


def watch(*samples: tuple[float, int, int, float | None]) -> QueueWatch:
    """Return a watch that has seen time, POSTs, those that failed, and the seconds that the others took."""
    made = QueueWatch(None)  # type: ignore[arg-type]
    made.samples += [QueueSample(at, 0, 0, posts, failed, 0, seconds) for at, posts, failed, seconds in samples]
    return made


def test_the_round_trip_is_the_mean_of_the_posts_that_did_not_fail() -> None:
    """Those before the first look do not count."""
    assert watch((0, 10, 0, 5.0), (1, 20, 5, 5.5)).round_trip(()) == pytest.approx(0.1)
    assert watch((0, 10, 0, 5.0), (1, 10, 0, 5.0)).round_trip(()) is None


def test_what_was_slow_on_purpose_does_not_count() -> None:
    seen = watch((0, 0, 0, 0.0), (1, 10, 0, 1.0), (2, 12, 0, 9.0), (3, 13, 0, 17.0), (4, 23, 0, 18.0))
    assert seen.round_trip([(1.5, 2.5)]) == pytest.approx(0.1)
    assert seen.round_trip([(0.0, 9.0)]) is None


def test_the_counters_of_a_new_gateway_begin_anew() -> None:
    seen = watch((0, 0, 0, 0.0), (1, 10, 0, 1.0), (2, 4, 0, 9.0), (3, 14, 0, 10.0))
    assert seen.round_trip(()) == pytest.approx(0.1)


def test_a_gateway_that_does_not_tell_leaves_it_open() -> None:
    assert watch((0, 0, 0, None), (1, 10, 0, None)).round_trip(()) is None
    assert watch().round_trip(()) is None


def backlog(directory: Path, gaps: list[float], *, size: int = 2, age: float = 1.0, status: int = 202) -> Path:
    """Write a run of batches that came one after the other, and whose requests were over ``age`` seconds before."""
    requests, deliveries, at = [], [], 10.0
    for number, gap in enumerate([0.0, *gaps]):
        at += gap
        requests += [Request(0, started=at - gap - age - 0.01, ended=at - gap - age)] * 2
        events = tuple(api(0, 2 * number + place) for place in range(size))
        deliveries.append(Delivery(events, at=at, status=status))
    return write_run(directory, {0: requests}, deliveries)


def test_batches_that_waited_for_each_other_tell_the_round_trip(tmp_path: Path) -> None:
    run = backlog(tmp_path, [0.15, 0.16, 0.17])
    assert round_trip(run, 2, ()) == pytest.approx(0.16)
    assert round_trip(run, 2, [(START + 10.2, START + 10.35)]) is None, "two gaps of three touch what was wrong"


def test_batches_that_may_have_waited_for_their_events_tell_nothing(tmp_path: Path) -> None:
    """One that is not full, one whose events were not there yet, and one whose predecessor failed."""
    gaps = [0.15] * 5
    assert round_trip(backlog(tmp_path / "partial", gaps, size=1), 2, ()) is None
    assert round_trip(backlog(tmp_path / "young", gaps, age=0.04), 2, ()) is None
    assert round_trip(backlog(tmp_path / "failed", gaps, status=503), 2, ()) is None
    assert round_trip(write_run(tmp_path / "empty", {0: []}), 2, ()) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
@pytest.mark.parametrize("tells", [True, False])
def test_losses_behind_a_slow_path_are_those_predicted(
    tmp_path: Path, tells: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A way of 80 ms there and back each lets some six batches of ten a second through, of a hundred events."""
    if not tells:
        monkeypatch.setattr(QueueWatch, "round_trip", lambda watch, disturbed: None)
    port = lasting_port()
    plan = {"rate": 100, "duration": 6, "weights": {"consumer": 0, "tenant": 1, "missing": 0}}
    plan["queue"] = {"max_batch_size": 10, "max_entries": 60}
    with slow_path(port, 0.08):
        report = run_load(
            Order(
                plan=LoadPlan.from_json(plan),
                thresholds=Thresholds(),
                directory=tmp_path,
                make_target=lambda: EmulatorTarget("kong-3.16", lasting_port()),
                place=IngestPlace("127.0.0.1", port, HOST),
                lane="load",
                token="t",
                longest_drain=60.0,
            )
        )
    assert 0.16 <= report.observed.round_trip < 0.5
    assert report.losses.lost > 50
    assert [row.rule for row in report.losses.rows] == ["CAP-1"]
    assert report.losses.not_allowed == 0, report.losses.agreement
    assert report.losses.prediction.low > 0
