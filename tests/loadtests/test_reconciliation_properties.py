"""Reconciliation against a plain reference, over random runs in which everything goes wrong that can."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests import reconciliation, slots
from loadtests.expectations import Expectation, Expectations, ExpectedEvent
from loadtests.reconciliation import reconcile
from tests.loadtests.recorded_run import Delivery, Event, Request, write_run
from tests.loadtests.reference_reconciliation import expected_of, nearest_rank

METHODS = ("GET", "POST")
TABLE = Expectations(
    [
        Expectation(
            "plain",
            (ExpectedEvent("api", "alice", (("data.method", "GET"),), status_field="data.status", timed=True),),
            rejected=(401, 403),
        ),
        Expectation("dropped"),
        Expectation(
            "chat",
            (
                ExpectedEvent("api", "bob", (("data.method", "POST"),)),
                ExpectedEvent("llm", "bob", (("data.type", "request"),), timed=True),
                ExpectedEvent("llm", "bob", (("data.type", "response"), ("data.method", None))),
            ),
            status=201,
        ),
        Expectation(
            "two lanes",
            (ExpectedEvent("api", "alice", lane="one"), ExpectedEvent("api", "alice", lane="two")),
            rejected=(401,),
        ),
    ]
)

# Times are multiples of 1/8 s, so that the floats of both sides are the same.
times = st.integers(0, 40).map(lambda eighths: eighths / 8)


@st.composite
def sent(draw: st.DrawFn) -> Request:
    started = draw(times)
    ended = draw(st.none() | times.map(lambda after: started + after))
    status = draw(st.sampled_from([200, 200, 200, 201, 401, 502])) if ended is not None else 0
    return Request(draw(st.integers(0, len(TABLE) - 1)), status, started, ended)


@st.composite
def arrived(draw: st.DrawFn) -> Event:
    worker = draw(st.sampled_from([0, 7, 65_535]))
    data: tuple[tuple[str, Any], ...] = (("method", draw(st.sampled_from(METHODS))),) if draw(st.booleans()) else ()
    if draw(st.booleans()):
        data += (("type", draw(st.sampled_from(["request", "response"]))),)
    if draw(st.booleans()):
        data += (("status", draw(st.sampled_from([200, 201, 502, "200", True]))),)
    return Event(
        worker,
        draw(st.integers(0, 8)),
        id=draw(st.sampled_from(["a", "A", "0b7e2b0a-1111-4c1c-9d3e-111111111111"])),
        type=draw(st.sampled_from(["api", "llm", "other"])),
        subject=draw(st.sampled_from(["alice", "bob"])),
        data=data,
        verdict=draw(st.sampled_from(["accepted", "accepted", "accepted", "duplicate", "refused", "invalid"])),
        source=draw(st.sampled_from(["kong", "kong", "kong-2"])),
        run=draw(st.sampled_from(["0123abcd"] * 5 + ["ffffffff"])),
        time=draw(st.none() | times),
    )


def well_billed(requests: dict[int, list[Request]]) -> list[Event]:
    """Return the events of a gateway that makes no mistake, so that random runs are not all wrong."""
    events = []
    for worker, of in requests.items():
        for n, request in enumerate(of):
            for k, event in enumerate(TABLE[request.expectation].events):
                data = tuple((path.removeprefix("data."), value) for path, value in event.fields if value is not None)
                data += (("status", request.status),) if event.status_field else ()
                made = {"type": event.type, "subject": event.subject, "data": data, "time": request.started}
                events.append(Event(worker, n, f"{worker}-{n}-{k}", **made))
    return events


@st.composite
def runs(draw: st.DrawFn) -> tuple[dict[int, list[Request]], list[Delivery]]:
    workers = draw(st.lists(st.sampled_from([0, 7, 65_535]), min_size=1, max_size=3, unique=True))
    requests = {worker: draw(st.lists(sent(), max_size=6)) for worker in workers}
    good = well_billed(requests)
    pool = st.one_of(st.sampled_from(good), arrived()) if good else arrived()
    events = draw(st.permutations(good)) if draw(st.booleans()) else []
    events += draw(st.lists(pool, max_size=12))
    deliveries = []
    while events:
        size = draw(st.integers(1, 4))
        deliveries.append(
            Delivery(
                tuple(events[:size]),
                at=draw(times),
                status=draw(st.sampled_from([202, 202, 503, None])),
                lane=draw(st.sampled_from(["one", "one", "two", ""])),
            )
        )
        events = events[size:]
    return requests, deliveries


@pytest.mark.parametrize("chunk", [1, 3, 1 << 16])
@settings(max_examples=150, deadline=None)
@given(run=runs(), late_after=st.none() | times)
def test_it_says_what_the_reference_says(
    chunk: int, run: tuple[dict[int, list[Request]], list[Delivery]], late_after: float | None
) -> None:
    """Classes, names, counts of events, wrong fields, latencies and strangers, however the rows fall into chunks."""
    requests, deliveries = run
    expected = expected_of(requests, deliveries, TABLE, late_after)
    with (
        tempfile.TemporaryDirectory() as directory,
        patch.object(reconciliation, "_CHUNK", chunk),
        patch.object(slots, "_BLOCK", chunk),
    ):
        result = reconcile(write_run(Path(directory), requests, deliveries, TABLE), late_after)
    assert {name: count for name, count in result.classes.items() if count} == expected.classes
    for name, examples in result.examples.items():
        if name in result.classes:
            assert [example.number for example in examples] == expected.named[name], name
    events = vars(result.events)
    for name, count in expected.events.items():
        assert events[name] == count, name
    assert result.wrong_fields == expected.wrong_fields
    assert result.deliveries.retries == expected.retries
    assert len(result.strangers) == expected.strangers
    assert len(result.lost) == expected.events["missing"]
    if not expected.latencies:
        assert result.latency == {}
        return
    assert result.histogram.get_total_count() == len(expected.latencies)
    for percent in (50, 90, 99, 99.9):
        assert result.latency[f"p{percent:g}"] == nearest_rank(expected.latencies, percent)
    assert result.latency["max"] == max(expected.latencies)
    assert result.latency["min"] == min(expected.latencies)
