"""Deliveries as data, and the event shown for one that is missing."""

from __future__ import annotations

from typing import Any

from harness.conformance.checks import judge
from harness.conformance.deliveries import Lost, of_observation, of_trace
from harness.conformance.observation import Delivery, Observation
from harness.conformance.scenario import Scenario, parse_scenario

SCENARIO = """\
id: two-tenants
title: Two tenants make two events
rules: [SUB-2]
plugin:
  name: metering-and-billing
  config: {subject: {look_up_value_in: header, field: x-tenant-id}, queue: {max_batch_size: 2}}
traffic:
  - {id: one, path: /anything, headers: {x-tenant-id: acme}}
  - {id: two, path: /anything, headers: {x-tenant-id: globex}}
EXTRA
expect:
  events:
    - {of: one, subject: acme, data: {response_http_status: 200}}
    - {of: two, subject: globex, data: {response_http_status: 200}}
"""


def two_tenants(extra: str = "") -> Scenario:
    return parse_scenario(SCENARIO.replace("EXTRA\n", extra))


def event(subject: str, number: int = 1, second: int = 1) -> dict[str, Any]:
    data = {"response_http_status": 200}
    time = f"1970-01-01T00:01:4{second}Z"
    return {"id": f"e-{number}", "source": "gateway", "subject": subject, "time": time, "data": data}


def delivery(number: int, at: float, *events: dict[str, Any], status: int | None = 202, **given: Any) -> Delivery:
    fields = {"shape": "array", "content_type": None, "body": str(events), "accepted": status == 202, **given}
    return Delivery(number=number, at=at, status=status, events=events, **fields)


def test_tries_of_one_batch_share_its_number_and_are_counted() -> None:
    one, two = event("acme"), event("globex", 2, 3)
    arrived = [
        delivery(1, 102.0, one, status=503),
        delivery(2, 102.5, one, status=None),
        delivery(3, 103.0, two),
        delivery(4, 103.5, one),
    ]
    told = of_observation(two_tenants(), Observation(deliveries=arrived, started_at=100.0))
    assert [(made.batch, made.number, made.succeeded) for made in told.tries] == [
        (1, 0, False),
        (1, 1, False),
        (2, 0, True),
        (1, 2, True),
    ]
    assert [made.at for made in told.tries] == [2.0, 2.5, 3.0, 3.5]
    assert [made.entered for made in told.tries] == [(1.0,), (1.0,), (3.0,), (1.0,)]
    assert (told.queues, told.exact) == ({"main": {"max_batch_size": 2}}, False)


def test_the_same_bytes_in_another_lane_are_another_batch() -> None:
    arrived = [delivery(1, 102.0, event("acme")), delivery(2, 102.1, event("acme"), lane="other")]
    told = of_observation(two_tenants(), Observation(deliveries=arrived, started_at=100.0))
    assert [(made.lane, made.batch) for made in told.tries] == [("main", 1), ("other", 2)]


def test_an_event_without_a_usable_time_came_at_a_time_not_known() -> None:
    arrived = [delivery(1, 102.0, {**event("acme"), "time": "noon"}, {"id": "e-2"}, event("globex", 3, 5))]
    (made,) = of_observation(two_tenants(), Observation(deliveries=arrived, started_at=100.0)).tries
    assert made.entered == (2.0,)  # and never after it was sent


def test_settings_that_change_or_a_gateway_that_is_stopped_give_no_settings() -> None:
    for step in ("  - {reconfigure: [{name: metering-and-billing, config: {}}]}\n", "  - {restart: graceful}\n"):
        assert of_observation(two_tenants(step), Observation()).queues == {}


def test_virtual_time_gives_losses_arrivals_and_durations() -> None:
    schedule = {"queue": {"max_entries": 1}, "arrivals": [{"t": 0, "id": "a", "bytes": 1}, {"t": 1, "id": "b"}]}
    trace = {
        "tries": [{"t": 0.5, "entries": ["a"], "status": 500, "duration": 0.25}],
        "lost": [{"id": "b", "t": 1.0, "reason": "overflow_entries"}],
    }
    told = of_trace(schedule, trace)
    (made,) = told.tries
    assert (made.at, made.seconds, made.entered, made.events) == (0.5, 0.25, (0.0,), 1)
    assert (told.lost, told.exact) == ([Lost(1.0, "b", "overflow_entries")], True)


def test_a_missing_event_is_shown_beside_the_nearest_that_arrived() -> None:
    seen = Observation(deliveries=[delivery(1, 102.0, event("acme"))])
    (failure,) = [one for one in judge(two_tenants(), seen) if one.expected is not None]
    assert failure.message.startswith("an event is missing; the nearest that arrived")
    assert failure.step == "two"
    assert [(one.field, one.expected, one.received) for one in failure.differences] == [
        ("subject", "'globex'", "'acme'")
    ]
    assert failure.expected == {"of": "two", "subject": "globex", "data": {"response_http_status": 200}}
    assert failure.received == event("acme")


def test_with_nothing_arrived_a_missing_event_is_just_missing() -> None:
    failures = judge(two_tenants(), Observation())
    assert [failure.message for failure in failures if failure.expected] == ["an event is missing"] * 2
    assert all(failure.received is None for failure in failures)
