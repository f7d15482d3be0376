"""What an event says of its request is held against the request: time, status, source, ids."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.event_times import event_time, event_times
from loadtests.expectations import Expectation, Expectations, ExpectedEvent
from loadtests.matching import Mismatch
from loadtests.numbers import label
from loadtests.plan import LoadPlan
from loadtests.plugins.metering_and_billing import EVENTS
from loadtests.reconciliation import Reconciliation, reconcile
from loadtests.traffic import Traffic
from tests.loadtests.recorded_run import RUN, Delivery, Event, Request, write_run

STATUS = "data.response_http_status"
ALICE = ExpectedEvent("kong.api_request", "alice", status_field=STATUS, timed=True, sourced=True)
TABLE = Expectations([Expectation("alice", (ALICE,), rejected=(401,))])


def event(n: int = 0, *, status: Any = 200, time: float | None = 1.5, **more: Any) -> Event:
    return Event(0, n, data=(("response_http_status", status),), time=time, **more)


def account(directory: Path, requests: list[Request], *events: Event, tolerance: float = 0.0) -> Reconciliation:
    return reconcile(write_run(directory, {0: requests}, [Delivery(events, at=9.0)], TABLE), None, tolerance)


def mismatches(result: Reconciliation) -> list[tuple[Mismatch, ...]]:
    return [arrival.wrong for example in result.examples["wrong"] for arrival in example.arrivals]


@pytest.mark.parametrize(("time", "right"), [(1.0, True), (2.0, True), (0.9995, True), (2.0005, True)])
def test_a_time_within_the_request_is_right_to_the_millisecond(tmp_path: Path, time: float, right: bool) -> None:
    assert account(tmp_path, [Request(0, started=1.0, ended=2.0)], event(time=time)).right is right


@pytest.mark.parametrize(("time", "seen"), [(0.9, "20.900000Z"), (2.1, "22.100000Z"), (None, None)])
def test_evt_4_a_time_outside_of_the_request_is_wrong_and_shown(
    tmp_path: Path, time: float | None, seen: str | None
) -> None:
    """Also one that the request cannot have: when it was delivered. START is second 20 of a minute."""
    result = account(tmp_path, [Request(0, started=1.0, ended=2.0)], event(time=time))
    assert (result.classes["wrong"], result.wrong_fields) == (1, {"time": 1})
    assert not result.right
    ((wrong,),) = mismatches(result)
    assert (wrong.path, wrong.expected) == ("time", "2023-11-14T22:13:20.999000Z to 2023-11-14T22:13:22.001000Z")
    assert wrong.seen == (seen and f"2023-11-14T22:13:{seen}")


def test_the_clock_of_another_machine_may_be_off_by_the_tolerance(tmp_path: Path) -> None:
    request = Request(0, started=1.0, ended=2.0)
    for name, time in (("early", 0.1), ("late", 2.9)):
        result = account(tmp_path / name, [request], event(time=time), tolerance=0.9)
        assert result.right and result.to_json()["clock_tolerance_seconds"] == 0.9
        assert not account(tmp_path / f"{name} enough", [request], event(time=time), tolerance=0.8).right


def test_a_request_without_an_answer_has_no_end_that_the_time_could_be_after(tmp_path: Path) -> None:
    """The client went away; the gateway may have been at it for longer."""
    requests = [Request(0, 0, started=1.0, ended=None), Request(0, 0, started=1.0, ended=2.0)]
    assert account(tmp_path / "later", requests, event(0, time=7.0), event(1, time=7.0)).right
    result = account(tmp_path / "before", requests, event(0, time=0.5), event(1, time=7.0))
    assert (result.classes["wrong"], result.classes["unknown_billed"]) == (1, 1)
    assert mismatches(result)[0][0].expected == "2023-11-14T22:13:20.999000Z or later"


@pytest.mark.parametrize("seen", [201, 0, "200", True, None, -1, 1 << 40, 200.5])
def test_evt_7_a_status_that_the_client_did_not_get_is_wrong_and_shown(tmp_path: Path, seen: Any) -> None:
    result = account(tmp_path, [Request(0, 200, 1.0, 2.0)], event(status=seen))
    assert (result.classes["wrong"], result.wrong_fields) == (1, {STATUS: 1})
    assert mismatches(result) == [(Mismatch(STATUS, 200, seen),)]


def test_the_status_is_that_of_the_answer_whatever_was_expected(tmp_path: Path) -> None:
    """An error that the upstream gave is billed as that error, or not at all; without an answer nobody knows."""
    requests = [Request(0, 502, 1.0, 2.0), Request(0, 502, 1.0, 2.0), Request(0, 0, 1.0, 2.0)]
    result = account(tmp_path, requests, event(0, status=502), event(1, status=200), event(2, status=499))
    assert (result.classes["unknown_billed"], result.classes["wrong"]) == (2, 1)
    assert [example.number for example in result.examples["wrong"]] == [label(RUN, 0, 1)]


@pytest.mark.parametrize("source", ["", "two words", "<kong>", "100%", "\n"])
def test_evt_5_a_source_that_is_no_uri_reference_is_wrong_and_shown(tmp_path: Path, source: str) -> None:
    result = account(tmp_path, [Request(0, 200, 1.0, 2.0)], event(source=source))
    assert result.wrong_fields == {"source": 1}
    assert mismatches(result) == [(Mismatch("source", "a URI reference", source),)]


def test_what_is_wrong_with_an_event_that_is_not_billed_is_not_counted(tmp_path: Path) -> None:
    """It was refused, and came again as it should be."""
    refused = event(time=7.0, status=500, verdict="refused")
    result = account(tmp_path, [Request(0, 200, 1.0, 2.0)], refused, event())
    assert result.right and result.wrong_fields == {}


def test_each_of_several_wrong_events_of_a_request_counts(tmp_path: Path) -> None:
    result = account(tmp_path, [Request(0, 200, 1.0, 2.0)], event(), event(time=7.0), event(status=500, time=8.0))
    assert result.wrong_fields == {STATUS: 1, "time": 2}
    assert result.events.wrong == 1, "of one event that was due"


def test_evt_3_an_id_that_events_of_two_requests_have_is_wrong_in_both_and_shown(tmp_path: Path) -> None:
    """Accepted both times, by an endpoint that had forgotten the first; another source's is another event."""
    ids = [str(uuid.uuid4()) for _ in range(3)]
    events = [event(n, id=ids[min(n, 2)]) for n in range(5)]
    events[4] = replace(events[4], source="kong-2")
    result = account(tmp_path, [Request(0, 200, 1.0, 2.0)] * 5, *events)
    assert (result.classes["wrong"], result.classes["billed_once"]) == (2, 3)
    assert result.wrong_fields == {"id": 2}
    assert mismatches(result) == [(Mismatch("id", "an id that no other event has", ids[2]),)] * 2


def test_an_id_that_came_again_for_the_same_event_is_no_other_events(tmp_path: Path) -> None:
    one = event()
    result = account(tmp_path, [Request(0, 200, 1.0, 2.0)], one, one)
    assert (result.classes["duplicated_same_id"], result.wrong_fields) == (1, {})


def test_an_event_that_was_discarded_as_another_ones_duplicate_is_shown_as_such(tmp_path: Path) -> None:
    first, second = event(0), event(1, verdict="duplicate")
    second = replace(second, id=first.id)
    result = account(tmp_path, [Request(0, 200, 1.0, 2.0)] * 2, first, second)
    assert (result.classes["missing"], result.classes["billed_once"]) == (1, 1)
    (example,) = result.examples["missing"]
    assert example.arrivals[0].wrong == (Mismatch("id", "an id that no other event has", first.id),)


def test_all_that_a_load_knows_of_its_requests_is_expected_of_their_events() -> None:
    """Route and Service by name and id, method, path, status, time and source, of requests and of tokens."""
    traffic = Traffic.of(LoadPlan.from_json({"weights": {"consumer": 1, "ai": 1}}))
    named = {"data.route_name", "data.service_name", "data.request_method", "data.request_uri"}
    billed = [item.events for item in traffic.expectations if item.events]
    assert {len(events) for events in billed} == {1, 3}
    for events in billed:
        assert named <= set(events[0].watched)
        for each in events:
            assert each.timed and each.sourced and each.status_field is not None
            assert {"data.route_id", "data.service_id"} <= set(each.watched)


@given(st.lists(st.floats(1.6e9, 1.9e9), min_size=1, max_size=30), st.sampled_from(["microseconds", "milliseconds"]))
def test_times_read_together_are_those_read_one_by_one(seconds: list[float], precision: str) -> None:
    for day in (None, 1_750_000_000 // 86400 * 86400):
        times = [each if day is None else day + each % 86400 for each in seconds]
        texts = [datetime.fromtimestamp(each, UTC).isoformat(timespec=precision)[:-6] + "Z" for each in times]
        events = [{"time": text} for text in texts]
        found = event_times(events)
        assert found == pytest.approx([event_time(each) for each in events], abs=1e-6)
        assert found == pytest.approx(times, abs=2e-3)


@pytest.mark.parametrize(
    "time",
    [
        "",
        "now",
        1.5,
        None,
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:0x.000000Z",
        "2026-13-01T00:00:00Z",
    ],
)
def test_a_time_that_cannot_be_read_is_none_beside_others_that_can(time: Any) -> None:
    """Nor is one that does not say where it is told."""
    good = {"time": "2026-01-01T00:00:00.250000Z"}
    assert EVENTS.time({"time": time}) is None
    found = event_times([good] * 9 + [{"time": time}, {}])
    assert found[:9] == [1767225600.25] * 9
    assert found[9] != found[9] and found[10] != found[10]
