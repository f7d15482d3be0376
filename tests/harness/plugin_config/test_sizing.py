"""Sizing of the queue: figures worked out by hand, and advice that holds in runs the advisor did not make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.plugin_config.sizing import (
    Advice,
    OutageKind,
    TooMuchToSimulate,
    Workload,
    advise,
    causes,
    changed_block,
    notes,
    proposal,
    runs,
)
from harness.plugin_config.sizing.assessment import survives
from harness.plugin_config.sizing.quantities import (
    bytes_text,
    duration_text,
    next_round,
    rounded_down,
    rounded_up,
)
from harness.plugin_config.sizing.runs import outage_starts, run_outage, run_steady
from harness.plugin_config.sizing.workload import (
    capacity,
    entries_needed,
    first_try_from,
    given_up_after,
    silence,
)
from plugin_emulator.metering_and_billing.config import validate_config
from plugin_emulator.queue import Delivery, Loss, QueueSettings
from plugin_emulator.runtime import outage as emulated
from plugin_emulator.runtime.simulation import Answer, Arrival, simulate

DEFAULTS = QueueSettings()
SMALL = QueueSettings(max_entries=1000)
REFUSED = (OutageKind.REFUSED,)
AT_ONCE = (OutageKind.REFUSED, OutageKind.STATUS)


class Losses:
    """A recorder of our own: how many were lost, and when batches began."""

    def __init__(self) -> None:
        self.lost_events = 0
        self.delivered_events = 0

    def tried(self, t: float, entries: Sequence[Arrival], answer: Answer) -> None:
        pass

    def delivered(self, t: float, entries: Sequence[Arrival]) -> None:
        self.delivered_events += len(entries)

    def lost(self, t: float, entries: Sequence[Arrival], reason: Loss) -> None:
        self.lost_events += len(entries)


def plainly_lost(queue: QueueSettings, workload: Workload, kind: OutageKind, start: float, outage: float) -> int:
    """Simulate one queue without anything of the advisor's; traffic goes on for as long again after the outage."""
    fails = {OutageKind.REFUSED: 0.0, OutageKind.STATUS: workload.rtt, OutageKind.HANG: workload.timeout}[kind]
    end = start + outage
    rate = workload.rps / workload.workers
    number = int((end + outage + 90) * rate)
    recorder = Losses()
    simulate(
        queue,
        (Arrival(index / rate, "", workload.event_bytes) for index in range(number)),
        lambda t, _: Answer(500, fails) if start <= t < end else Answer(202, workload.rtt),
        recorder,
    )
    assert recorder.delivered_events + recorder.lost_events == number
    return recorder.lost_events


def advised(advice: Advice) -> QueueSettings:
    return (advice.advised or advice.given).settings


# ------------------------------------------------------------------------------------------------- known figures


def test_defaults_at_500_a_second_and_50_ms_lose_480_a_second_once_the_queue_is_full() -> None:
    """One sender, one event for each round trip: 20 a second leave."""
    figures, _ = run_steady(DEFAULTS, Workload(rps=500, rtt=0.05, outage=1))
    assert figures.lost == {"overflow_entries": pytest.approx(480, abs=0.1)}
    assert figures.posts == pytest.approx(20, abs=0.1)
    # the oldest of 10,000 events has been in the queue for 20 s of traffic
    assert figures.mean_delay == pytest.approx(10_000 / 500 + 0.05, abs=0.01)


def test_defaults_below_20_a_second_lose_nothing_and_deliver_within_a_round_trip() -> None:
    figures, _ = run_steady(DEFAULTS, Workload(rps=16, rtt=0.05, outage=1))
    assert figures.lost == {}
    assert figures.max_delay == pytest.approx(0.05)
    assert figures.posts == pytest.approx(16, rel=0.01)


def test_an_outage_is_told_event_by_event() -> None:
    """At 1 a second, POSTs of 0 s, refused from t = 5 on for 3 s: tries at 5, 6, 8; 3 events wait meanwhile."""
    workload = Workload(rps=1, rtt=0, outage=3, kinds=REFUSED)
    queue = QueueSettings(initial_retry_delay=1)
    figures = run_outage(queue, workload, OutageKind.REFUSED, 3, 5.0)
    assert (figures.peak_entries, figures.max_delay, figures.failed_posts) == (3, 3.0, 2)
    assert figures.lost == {} and figures.arrived == figures.delivered
    assert figures.drained_after == 0.0  # the batch of t = 8 takes along what waits, one by one, in no time
    assert figures.held == 4


@pytest.mark.parametrize(
    "queue",
    [
        QueueSettings(max_batch_size=10, max_entries=300),
        QueueSettings(max_batch_size=10, max_retry_time=5, max_retry_delay=3),
        QueueSettings(max_batch_size=10, max_bytes=50_000, failure_threshold=2, max_retry_time=1, breaker_cooldown=3),
        QueueSettings(max_batch_size=500, max_entries=40),
    ],
)
def test_losses_in_an_outage_are_those_of_the_simulate_command(queue: QueueSettings) -> None:
    """The same run, put together by other code, loses the same number of events for the same reasons."""
    workload = Workload(rps=50, rtt=0.05, outage=20)
    figures = run_outage(queue, workload, OutageKind.STATUS, 20, 30.0)
    duration = 30 + 20 + figures.watched
    steady = emulated.Steady(50, duration, 700, 0.05, (emulated.Outage(30, 20),))
    summary = emulated.run_steady(queue, steady)
    before = emulated.run_steady(queue, emulated.Steady(50, 30, 700, 0.05)).lost
    assert figures.lost_events > 0
    assert figures.arrived == figures.delivered + figures.lost_events
    expected = {reason: number - before.get(reason, 0) for reason, number in summary.lost.items()}
    assert figures.lost == {reason: number for reason, number in expected.items() if number}


def test_a_batch_is_given_up_after_14_tries_and_81_9_seconds_by_default() -> None:
    assert given_up_after(DEFAULTS, 0.0) == (pytest.approx(81.91), 14)


def test_capacity_is_a_batch_for_each_round_trip() -> None:
    assert capacity(DEFAULTS, 0.05) == 20
    assert capacity(QueueSettings(max_batch_size=100), 0.05) == 2000
    assert capacity(QueueSettings(max_batch_size=100, max_coalescing_delay=0.04), 0.05) == 20
    assert capacity(QueueSettings(concurrency_limit=-1), 0.05) == float("inf")


def test_the_silence_of_an_outage_runs_to_the_next_try_after_it() -> None:
    """Refused at once, waits 1, 2, 4, 8, 8 …: tries at 0, 1, 3, 7, 15, 23; an outage of 16 s is noticed at 23."""
    queue = QueueSettings(initial_retry_delay=1, max_retry_delay=8)
    workload = Workload(rps=10, rtt=0.1, outage=16, kinds=REFUSED)
    assert silence(queue, workload, 16) == 23
    assert entries_needed(queue, workload, 16) == 231 + 1 + 1  # 23.1 s of traffic, and one for each edge


@given(
    initial=st.floats(0.001, 100),
    longest=st.floats(0.001, 100),
    fails_after=st.sampled_from([0.0, 0.05, 10.0]),
    at=st.floats(0, 500),
    most=st.floats(-1, 500),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_tries_fall_where_the_queue_puts_them(
    initial: float, longest: float, fails_after: float, at: float, most: float
) -> None:
    """The sums about retries agree with the schedule of the queue itself, gone through try by try."""
    assume(longest > 0.05 or fails_after > 0)
    patient = QueueSettings(initial_retry_delay=initial, max_retry_delay=longest, max_retry_time=1e9)
    delivery = Delivery(patient, ["event"], 0.0)
    begins, number = 0.0, 0
    while begins < at - 1e-6:
        again = delivery.failed(begins + fails_after)
        assert again is not None
        begins, number = again, number + 1
    found, tries = first_try_from(patient, fails_after, at)
    assume(abs(begins - at) > 1e-6)  # which side a try at that very instant falls on is a matter of rounding
    assert found == pytest.approx(begins) and tries == number

    impatient = msgspec.structs.replace(patient, max_retry_time=most)
    delivery = Delivery(impatient, ["event"], 0.0)
    begins, number = 0.0, 1
    while (again := delivery.failed(begins + fails_after)) is not None:
        assume(abs(begins + fails_after - most) > 1e-6)
        begins, number = again, number + 1
    assume(abs(begins + fails_after - most) > 1e-6)
    after, tries = given_up_after(impatient, fails_after)
    assert after == pytest.approx(begins + fails_after) and tries == number


# ------------------------------------------------------------------------------------------------- what advice holds

WORKLOADS = st.builds(
    Workload,
    rps=st.floats(0.2, 80),
    rtt=st.sampled_from([0.0, 0.003, 0.05, 0.4, 2.0]),
    outage=st.floats(0.5, 25),
    workers=st.integers(1, 4),
    timeout=st.sampled_from([3.0, 10.0]),
    kinds=st.sampled_from([tuple(OutageKind), *((kind,) for kind in OutageKind)]),
)
QUEUES = st.builds(
    QueueSettings,
    max_batch_size=st.sampled_from([1, 2, 7, 100, 1000]),
    max_coalescing_delay=st.sampled_from([0.0, 0.02, 0.06, 1.0, 5.0]),
    max_entries=st.sampled_from([1, 30, 500, 10_000, 20_000]),
    max_bytes=st.sampled_from([None, None, 100, 20_000, 10_000_000]),
    initial_retry_delay=st.sampled_from([0.01, 0.5, 20.0]),
    max_retry_time=st.sampled_from([-1.0, 0.0, 5.0, 60.0, 1000.0]),
    max_retry_delay=st.sampled_from([0.1, 3.0, 60.0]),
    concurrency_limit=st.sampled_from([1, 1, 1, -1]),
    failure_threshold=st.sampled_from([0, 0, 1, 3]),
    breaker_cooldown=st.sampled_from([0.0, 5.0, 60.0]),
)


@given(workload=WORKLOADS, queue=QUEUES, shift=st.floats(0, 20), data=st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_advised_settings_lose_nothing_whenever_the_outage_begins(
    workload: Workload, queue: QueueSettings, shift: float, data: st.DataObject
) -> None:
    """For random traffic, outages and given settings, in a plain run with an outage at a random instant."""
    advice = advise(queue, workload)
    assert advice.shortfalls == ()
    assert (advice.advised is None) == advice.given_is_enough
    kind = data.draw(st.sampled_from(workload.kinds))
    lasts = data.draw(st.sampled_from([workload.outage, advice.survives or workload.outage]))
    assert plainly_lost(advised(advice), workload, kind, 20 + shift, lasts) == 0


@given(workload=WORKLOADS, queue=QUEUES)
@settings(max_examples=12, deadline=None, derandomize=True)
def test_settings_that_lose_nothing_are_left_alone_and_changes_are_valid_and_explained(
    workload: Workload, queue: QueueSettings
) -> None:
    """Given its own advice, the advisor changes nothing; what it changes the oldest gateway takes as well."""
    advice = advise(queue, workload)
    block = changed_block(advice.changes)
    assert all(change.given != change.advised and change.reason for change in advice.changes)
    config = {"ingest_endpoint": "http://127.0.0.1/", "api_token": "token", "queue": block}
    assert validate_config(config, "3.14") == []
    assert msgspec.structs.replace(queue, **block) == advised(advice)
    assert not advice.given_is_enough or not block
    again = advise(advised(advice), workload)
    assert again.given_is_enough and again.changes == () and again.advised is None


@given(workload=WORKLOADS, queue=QUEUES, budget=st.floats(0.05, 5))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_a_delay_budget_is_kept_or_said_to_be_out_of_reach(
    workload: Workload, queue: QueueSettings, budget: float
) -> None:
    advice = advise(queue, replace(workload, delay_budget=budget))
    last = advice.advised or advice.given
    assert last.loses_nothing
    if not advice.shortfalls:
        assert last.steady.max_delay <= budget
    else:
        assert budget < 2 * workload.rtt + 0.06  # there is time for two POSTs and the shortest window otherwise
        assert not advice.given_is_enough


def test_outages_begin_at_a_try_and_at_instants_spread_over_the_time_before_it() -> None:
    queue = QueueSettings(max_batch_size=50)
    workload = Workload(rps=50, rtt=0.05, outage=10)
    _, began = run_steady(queue, workload)
    starts = outage_starts(queue, workload, began, 3)
    assert starts[0] in began
    period = starts[0] - began[began.index(starts[0]) - 1]
    assert [starts[0] - start for start in starts] == pytest.approx([0, period / 4, period / 2, 3 * period / 4])
    waits = [run_outage(queue, workload, OutageKind.REFUSED, 10, start).peak_entries for start in starts]
    assert waits[0] == max(waits)


# ------------------------------------------------------------------------------------------------- causes and cures

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str, set[str]]] = {
    "one sender": ({}, {"rps": 100}, "max_batch_size is 1, so one POST at a time", {"max_batch_size"}),
    "no window": (
        {"max_batch_size": 100, "max_coalescing_delay": 0.01},
        {"rps": 100},
        "max_coalescing_delay 0.01 s is below 0.05 s",
        {"max_coalescing_delay"},
    ),
    "few entries": ({"max_entries": 50}, {}, "max_entries 50 holds 5 s of traffic", {"max_entries"}),
    "few bytes": ({"max_bytes": 35_000}, {}, "max_bytes 35,000 holds 50 events, 5 s of traffic", {"max_bytes"}),
    "no event fits": ({"max_bytes": 500}, {}, "max_bytes 500 is less than one event of 700 B", {"max_bytes"}),
    "given up": (
        {"max_retry_time": 5},
        {"kinds": REFUSED},
        "max_retry_time 5 s gives a batch up after 10 tries, 5.11 s after it was first sent",
        {"max_retry_time"},
    ),
    "hanging": (
        {"max_retry_time": 15},
        {"kinds": (OutageKind.HANG,)},
        "max_retry_time 15 s gives a batch up after 2 tries, each hanging for 10 s",
        {"max_retry_time"},
    ),
    "breaker": (
        {"max_retry_time": 1, "failure_threshold": 2},
        {"kinds": REFUSED},
        "failure_threshold 2: after so many batches were given up in a row",
        {"max_retry_time"},
    ),
    "window full": (
        {"max_batch_size": 100, "max_entries": 5},
        {},
        "max_entries is too small for a batch of 100",
        {"max_entries"},
    ),
    "no queue": (
        {"concurrency_limit": -1, "max_retry_time": 5},
        {"kinds": REFUSED},
        "max_retry_time 5 s gives a batch up",
        {"concurrency_limit", "max_retry_time"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_cause_of_loss_is_named_and_only_what_brings_it_about_is_changed(case: str) -> None:
    queue, work, sentence, changed = CASES[case]
    workload = replace(Workload(rps=10, rtt=0.05, outage=20), **work)
    advice = advise(QueueSettings(**queue), workload)
    assert any(sentence in cause for cause in causes(advice.given, workload)), causes(advice.given, workload)
    assert {change.name for change in advice.changes} == changed
    assert advice.advised is not None and advice.advised.loses_nothing
    assert advice.survives == 24.0  # a margin of 20 %, simulated


def test_with_no_queue_a_sample_of_the_events_gives_the_share_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event fares by itself, so one in n stands for n."""
    queue = QueueSettings(concurrency_limit=-1, max_retry_time=5)
    workload = Workload(rps=100, rtt=0.05, outage=30)
    exact = run_outage(queue, workload, OutageKind.STATUS, 30, 10.0)
    monkeypatch.setattr(runs, "_MOST_TRIES", 3000)
    sampled = run_outage(queue, workload, OutageKind.STATUS, 30, 10.0)
    assert exact.lost["gave_up"] == pytest.approx(100 * 24.5, rel=0.05)
    assert sampled.lost["gave_up"] == pytest.approx(exact.lost["gave_up"], rel=0.02)
    assert sampled.held == pytest.approx(exact.held, rel=0.05)
    assert sampled.max_delay == pytest.approx(exact.max_delay, abs=0.5)


# ------------------------------------------------------------------------------------------------- beyond the bounds


@pytest.fixture
def bound_of_2000(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the schema ended ``max_entries`` at 2,000, so that its bound is met with little traffic."""
    monkeypatch.setattr(proposal, "MOST_ENTRIES", 2000)


@pytest.mark.usefixtures("bound_of_2000")
def test_what_no_settings_survive_is_told_with_the_longest_outage_and_the_workers_that_would() -> None:
    workload = Workload(rps=100, rtt=0.05, outage=60, kinds=AT_ONCE)
    advice = advise(SMALL, workload)
    assert len(advice.shortfalls) == 1
    assert advice.shortfalls[0].startswith(
        "100 events/s fill the largest max_entries, 2,000, in 20 s, and it may take"
    )
    assert advice.survives is not None and 15 <= advice.survives < 20
    assert advice.advised is not None and not advice.advised.loses_nothing
    best = advised(advice)
    assert best.max_entries <= 2000 and best.max_retry_delay < 60
    for kind in AT_ONCE:
        assert plainly_lost(best, workload, kind, 20, advice.survives) == 0
    assert plainly_lost(best, workload, OutageKind.REFUSED, 20, 21) > 0
    # 60 s, noticed some seconds late, at 100 a second among 2,000 entries each
    assert advice.workers_needed == 4
    with_them = advise(SMALL, replace(workload, workers=4))
    assert with_them.advised is not None and with_them.shortfalls == ()


@pytest.mark.usefixtures("bound_of_2000")
def test_near_the_bound_the_recovery_is_noticed_sooner_and_the_margin_is_smaller() -> None:
    workload = Workload(rps=100, rtt=0.05, outage=17.5, kinds=AT_ONCE)
    advice = advise(SMALL, workload)
    assert advice.shortfalls == ()
    assert "max_retry_delay" in {change.name for change in advice.changes}
    assert advice.survives is not None and 17.5 <= advice.survives < 1.2 * 17.5
    assert plainly_lost(advised(advice), workload, OutageKind.REFUSED, 31.4, advice.survives) == 0


@pytest.mark.usefixtures("bound_of_2000")
def test_a_try_that_hangs_past_the_end_of_an_outage_needs_room_for_its_timeout_as_well() -> None:
    """Tries hang from 0 to 10 s and on to 20 s: an outage of 17.5 s is over for the queue after 20 s only."""
    workload = Workload(rps=100, rtt=0.05, outage=17.5, kinds=(OutageKind.HANG,))
    assert advise(SMALL, workload).survives == 10.0
    assert advise(SMALL, replace(workload, timeout=1)).shortfalls == ()


def test_more_arrivals_than_are_simulated_are_refused_with_the_workers_it_takes() -> None:
    with pytest.raises(TooMuchToSimulate, match=r"60,000,000 events .* at least 60 workers"):
        advise(DEFAULTS, Workload(rps=100_000, rtt=0.05, outage=600))


def test_more_tries_than_are_simulated_are_refused() -> None:
    hasty = QueueSettings(max_retry_delay=0.001, initial_retry_delay=0.001, max_retry_time=1e6)
    with pytest.raises(TooMuchToSimulate, match="longer max_retry_delay"):
        advise(hasty, Workload(rps=1, rtt=0.05, outage=100_000))


def test_a_round_trip_beyond_the_timeout_is_refused() -> None:
    with pytest.raises(ValueError, match=r"times out after 10 s.*config.timeout"):
        advise(DEFAULTS, Workload(rps=1, rtt=10, outage=60))


def test_a_delay_out_of_reach_still_gets_advice_on_the_outage() -> None:
    workload = Workload(rps=100, rtt=1.0, outage=20, delay_budget=1.5)
    advice = advise(SMALL, workload)
    assert len(advice.shortfalls) == 1 and "out of reach" in advice.shortfalls[0]
    assert advice.advised is not None and advice.advised.loses_nothing


def test_an_outage_that_is_too_long_for_the_settings_does_not_survive() -> None:
    workload = Workload(rps=10, rtt=0.05, outage=20)
    small = QueueSettings(max_entries=300, max_retry_time=1000)
    assert survives(small, workload, 10, "", lambda about: None)
    assert not survives(small, workload, 60, "", lambda about: None)


def test_notes_name_what_the_memory_is_made_of_and_a_large_body() -> None:
    workload = Workload(rps=100, rtt=0.05, outage=20, event_bytes=5000, workers=2)
    told = " ".join(notes(advise(QueueSettings(max_batch_size=1000), workload)))
    assert "5 kB, the serialised event alone" in told
    assert "a body of 5 MB" in told
    assert "the 2 workers are taken to share the traffic evenly" in told


# ------------------------------------------------------------------------------------------------- quantities


def test_quantities_read_as_people_write_them() -> None:
    assert [duration_text(value) for value in (0.05, 1.5, 59.99, 82, 600, 7500)] == [
        "50 ms",
        "1.5 s",
        "1 min",
        "1 min 22 s",
        "10 min",
        "2 h 5 min",
    ]
    assert [bytes_text(value) for value in (700, 7_000_000, 2.21e9)] == ["700 B", "7 MB", "2.21 GB"]


@given(st.floats(0.001, 9e5))
@settings(max_examples=100, derandomize=True)
def test_rounding_never_goes_to_the_wrong_side_and_not_far(number: float) -> None:
    assert number <= rounded_up(number) <= max(1.11 * number, number + 1)
    assert 0.9 * number <= rounded_down(number) <= number * (1 + 1e-6)
    assert number <= next_round(number) <= max(1, 2.5 * number)
