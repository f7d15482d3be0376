"""Deliveries of a load in virtual time: what an outage costs each plugin, by its own rules."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.comparison.amberflo import AmberfloBiller
from harness.comparison.bill import Bill, Biller
from harness.comparison.figures import Figures, figures
from harness.comparison.load import OUTAGE_KINDS, Load, Metered, Outage, OutageKind
from harness.comparison.metering_and_billing import MeteringAndBillingBiller
from plugin_emulator.amberflo.config import load_config as amberflo_config
from plugin_emulator.metering_and_billing.config import load_config as metering_config

ONE = Bill(sizes=(700,))


def metering(timeout: int = 10_000, **queue: Any) -> Biller:
    config = {"ingest_endpoint": "http://x/", "api_token": "t", "timeout": timeout, "queue": queue}
    return MeteringAndBillingBiller(metering_config(config), "3.16", "username", 0)


def amberflo(**config: Any) -> Biller:
    required = {"apiKey": "k", "meterApiName": "m", "customerHeader": "x-c"}
    return AmberfloBiller(amberflo_config({**required, **config}), "2.0.2", 0)


def delivered(biller: Biller, *times: float, round_trip: float = 0.0, outages: tuple[Outage, ...] = ()) -> Figures:
    """Deliver one entry for each of ``times``; access and log phase are at one instant."""
    load = Load([Metered(t, t, 0) for t in times], round_trip, outages)
    return figures(biller, [ONE], load)


FOREVER = Outage(0, 1e6)


def test_ret_3_with_the_defaults_an_event_is_tried_14_times_in_81_9_seconds() -> None:
    result = delivered(metering(), 0.0, outages=(FOREVER,))
    (loss,) = result.lost
    assert (result.posts, result.failed_posts, result.billed) == (14, 14, 0)
    assert (loss.rule, loss.entries) == ("RET-2", 1)
    assert result.ended_at == pytest.approx(81.91)


def test_amb_9_a_record_is_tried_5_times_in_a_second_and_a_half() -> None:
    result = delivered(amberflo(batchSize=1), 0.0, outages=(FOREVER,))
    (loss,) = result.lost
    assert (result.posts, result.failed_posts, result.billed) == (5, 5, 0)
    assert (loss.rule, loss.about, loss.entries) == ("AMB-9", "given up after 5 tries", 1)
    short = delivered(amberflo(batchSize=1), 0.0, outages=(Outage(0, 1.5),))
    assert (short.posts, short.billed, short.lost) == (5, 1, ())
    assert delivered(amberflo(batchSize=1), 0.0, outages=(Outage(0, 1.501),)).billed == 0


def test_an_outage_of_a_minute_is_ridden_out_by_one_plugin_and_not_by_the_other() -> None:
    times = [number / 10 for number in range(1200)]
    outage = Outage(30, 60)
    kept = delivered(metering(max_batch_size=100), *times, round_trip=0.05, outages=(outage,))
    lost = delivered(amberflo(), *times, round_trip=0.05, outages=(outage,))
    assert (kept.billed, kept.lost, kept.lost_requests) == (1200, (), 0)
    # Of the batches that leave in the outage only those of its last tick or two can still be delivered.
    assert 580 <= lost.lost_requests <= 600
    assert lost.billed == 1200 - lost.lost_requests


@pytest.mark.parametrize("biller", [metering(), amberflo(batchSize=1)], ids=["metering-and-billing", "amberflo"])
def test_an_answer_that_is_dropped_makes_duplicates_in_both(biller: Biller) -> None:
    result = delivered(biller, 0.0, outages=(Outage(0, 0.2, "drop-answer"),))
    assert (result.billed, result.lost) == (1, ())
    # Tries at 0, 0.01, 0.03, 0.07, 0.15 and 0.31 s; at 0, 0.1 and 0.3 s.
    assert result.duplicates == {"event": 5, "record": 2}[biller.entry]


def test_an_entry_that_was_given_up_but_taken_in_is_billed() -> None:
    result = delivered(amberflo(batchSize=1), 0.0, outages=(Outage(0, 1e6, "drop-answer"),))
    assert (result.billed, result.duplicates, result.lost, result.lost_requests) == (1, 4, (), 0)


def test_dlv_2_a_hanging_endpoint_is_left_after_the_timeout_by_the_plugin_that_has_one() -> None:
    hang = (Outage(0, 25, "hang"),)
    left = delivered(metering(timeout=10_000), 0.0, outages=hang)
    assert (left.posts, left.failed_posts, left.billed) == (4, 3, 1)
    waited = delivered(amberflo(batchSize=1), 0.0, outages=hang)
    assert (waited.posts, waited.failed_posts, waited.billed) == (2, 1, 1)


def test_amb_12_requests_are_held_up_while_a_thousand_sends_hang() -> None:
    result = delivered(amberflo(batchSize=1), *([0.0] * 1200), outages=(Outage(0, 25, "hang"),))
    assert result.held_up == 1200 - 1000 - 1 - 100
    assert result.longest_hold >= 25


@given(
    st.sampled_from(["metering", "one at a time", "limited", "amberflo"]),
    st.lists(st.floats(0, 100), max_size=60),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 200), st.sampled_from(OUTAGE_KINDS)), max_size=3),
    st.sampled_from([0.0, 0.05, 3.0]),
)
@settings(max_examples=150, derandomize=True, deadline=None)
def test_every_entry_is_billed_or_lost(
    which: str, times: list[float], outages: list[tuple[float, float, OutageKind]], round_trip: float
) -> None:
    """Nothing comes twice unless an answer was dropped or came too late, and each request lost lost one entry."""
    biller = {
        "metering": metering(max_batch_size=10),
        "one at a time": metering(),
        "limited": metering(max_batch_size=5, max_entries=5),
        "amberflo": amberflo(),
    }[which]
    result = delivered(biller, *times, round_trip=round_trip, outages=tuple(Outage(*each) for each in outages))
    lost = sum(loss.entries for loss in result.lost)
    assert result.entries == len(times) == result.billed + lost
    assert result.lost_requests == lost
    assert result.posts >= result.batches and result.failed_posts <= result.posts
    if not any(kind == "drop-answer" for _, _, kind in outages):
        assert result.duplicates == 0
    if not outages and which != "limited":
        assert (lost, result.failed_posts) == (0, 0)
