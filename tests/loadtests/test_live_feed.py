"""Billing latencies for those who watch a load."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from harness.capture.record import CapturedRequest
from harness.ingest.messages import ACCEPTED, REFUSED, Answer, Receipt
from loadtests.live_feed import LiveFeed

NOW = 1_700_000_000.0


def delivery(feed: LiveFeed, ages: list[float], status: int | None = 202, verdict: object = ACCEPTED) -> None:
    """Have ``feed`` see a batch of events of these ages, in seconds."""
    events = [{"time": datetime.fromtimestamp(NOW - age, UTC).isoformat()} for age in ages]
    record = CapturedRequest(1, "load", NOW, 0.0, "c", "POST", "/events", [], 0, status=status)
    receipt = Receipt(None if status is None else Answer(status), [verdict] * len(ages), events)  # type: ignore[list-item]
    feed.observe(record, receipt, NOW + 0.002)


def test_an_event_s_latency_runs_from_its_own_time_to_its_arrival() -> None:
    feed = LiveFeed()
    delivery(feed, [0.25])
    page = feed.page(0)
    assert page["latencies"] == [(0.25, 1)]
    assert page["batches"] == [(1, 1)]
    assert page["approximate"] is True
    assert abs(page["mean_service_seconds"] - 0.002) < 1e-6


@given(st.lists(st.integers(1, 300), min_size=1, max_size=20))
def test_every_event_of_every_batch_is_counted_once(sizes: list[int]) -> None:
    feed = LiveFeed()
    for size in sizes:
        delivery(feed, [0.5] * size)
    page = feed.page(0)
    assert page["latencies"] == [(0.5, sum(sizes))]
    assert dict(page["batches"]) == {size: sizes.count(size) for size in sizes}


@given(st.lists(st.lists(st.floats(0, 10), min_size=1, max_size=4), min_size=1, max_size=10), st.data())
def test_pages_asked_for_one_after_the_other_hold_what_one_page_does(
    batches: list[list[float]], data: st.DataObject
) -> None:
    feed, whole = LiveFeed(), LiveFeed()
    after, counted = 0, 0
    for ages in batches:
        delivery(feed, ages)
        delivery(whole, ages)
        if data.draw(st.booleans()):
            page = feed.page(after)
            after, counted = page["next"], counted + sum(count for _, count in page["latencies"])
    counted += sum(count for _, count in feed.page(after)["latencies"])
    assert counted == sum(count for _, count in whole.page(0)["latencies"]) == sum(map(len, batches))


def test_what_was_not_accepted_is_no_delivery() -> None:
    feed = LiveFeed()
    delivery(feed, [1.0], status=503, verdict=REFUSED)
    delivery(feed, [1.0], status=None, verdict=REFUSED)
    assert feed.page(0)["latencies"] == []


def test_events_accepted_without_an_answer_have_arrived() -> None:
    feed = LiveFeed()
    delivery(feed, [1.0], status=None)
    assert feed.page(0)["latencies"] == [(1.0, 1)]


def test_old_samples_are_forgotten_and_late_askers_get_what_is_left() -> None:
    feed = LiveFeed(kept=10)
    for _ in range(25):
        delivery(feed, [0.1])
    page = feed.page(0)
    assert page["next"] == 25
    assert 10 <= page["latencies"][0][1] <= 20


def test_events_without_a_readable_time_are_passed_over() -> None:
    feed = LiveFeed()
    record = CapturedRequest(1, "load", NOW, 0.0, "c", "POST", "/events", [], 0, status=202)
    feed.observe(record, Receipt(Answer(202), [ACCEPTED] * 3, [{}, {"time": 7}, {"time": "noon"}]), NOW)
    assert feed.page(0)["latencies"] == []
