"""Amberflo's client in virtual time (SPEC AMB-6…12)."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest

from plugin_emulator.amberflo.batcher import CHANNEL_SIZE, CONCURRENT_SENDS
from plugin_emulator.amberflo.retry_schedule import LONGEST_WAITS, retry_schedule
from plugin_emulator.metering_plugins import simulate_schedule

EXACT = 1e-9


def simulate(
    times: list[float],
    ingest: list[tuple[int, float]] | None = None,
    config: dict[str, int] | None = None,
    **more: Any,
) -> dict[str, Any]:
    arrivals = [{"t": t, "id": str(number)} for number, t in enumerate(times)]
    answers = [{"status": status, "duration": duration} for status, duration in ingest or [(200, 0.0)]]
    return simulate_schedule(
        {"plugin": "amberflo", "arrivals": arrivals, "ingest": answers, "config": config or {}, **more}
    )


def tried(trace: dict[str, Any]) -> list[tuple[float, int]]:
    return [(each["t"], len(each["entries"])) for each in trace["tries"]]


@pytest.mark.parametrize(
    ("times", "config", "batches"),
    [
        pytest.param([0], {}, [(1, 1)], id="the first tick is one interval after the client's start"),
        pytest.param([0.25], {}, [(1.25, 1)], id="the client starts with its first record"),
        pytest.param([0, 0.9], {}, [(1, 2)], id="a record just before the tick leaves with it"),
        pytest.param([0, 1.1], {}, [(1, 1), (2, 1)], id="the clock is not restarted by a record"),
        pytest.param([0, 3.7], {}, [(1, 1), (4, 1)], id="the clock goes on through ticks that send nothing"),
        pytest.param([0, 1], {}, [(1, 2)], id="a record on the tick leaves with it"),
        pytest.param([0, 3], {}, [(1, 1), (3, 1)], id="a record on a later tick leaves with it"),
        pytest.param([0, 0.5], {"intervalSeconds": 7}, [(7, 2)], id="the interval is the configured one"),
        pytest.param([0] * 10, {}, [(0, 10)], id="a full batch leaves at once"),
        pytest.param([0] * 25, {}, [(0, 10), (0, 10), (1, 5)], id="what is left over waits for the tick"),
        pytest.param(
            [0.2 * n for n in range(6)], {"batchSize": 3}, [(0.4, 3), (1, 3)], id="full, and full on the tick"
        ),
        pytest.param(
            [0, 0.5, 0.6, 0.7], {"batchSize": 3}, [(0.6, 3), (1, 1)], id="a full batch does not restart the clock"
        ),
        pytest.param([0, 5], {"batchSize": 1}, [(0, 1), (5, 1)], id="batches of one never wait"),
    ],
)
def test_amb6_a_batch_leaves_when_it_is_full_or_at_the_tick(
    times: list[float], config: dict[str, int], batches: list[tuple[float, int]]
) -> None:
    found = tried(simulate(times, config=config))
    assert [size for _, size in found] == [size for _, size in batches]
    assert [t for t, _ in found] == pytest.approx([t for t, _ in batches], abs=EXACT)


def test_amb6_the_thousandth_tick_is_still_exact() -> None:
    trace = simulate([0.1, 999.65], config={"intervalSeconds": 1})
    assert [t for t, _ in tried(trace)] == pytest.approx([1.1, 1000.1], abs=EXACT)


def test_amb7_batches_are_sent_side_by_side() -> None:
    trace = simulate([0.0, 0.1, 0.2], [(200, 5.0)], {"batchSize": 1})
    assert [t for t, _ in tried(trace)] == pytest.approx([0, 0.1, 0.2], abs=EXACT)
    assert [each["t"] for each in trace["delivered"]] == pytest.approx([5, 5.1, 5.2], abs=EXACT)


def test_amb7_more_records_than_any_queue_of_kongs_are_kept_without_a_loss() -> None:
    trace = simulate([0.0] * 20_000, [(200, 3.0)], {"batchSize": 100})
    assert len(trace["delivered"]) == 20_000
    assert trace["lost"] == []


def test_amb9_the_pinned_client_tries_five_times_with_waits_that_double() -> None:
    trace = simulate([0.0], [(500, 0.05)], {"batchSize": 1})
    begins, waits = 0.0, []
    for wait in (0.0, 0.1, 0.2, 0.4, 0.8):
        begins += wait + (0.05 if waits else 0)
        waits.append(begins)
    assert [t for t, _ in tried(trace)] == pytest.approx(waits, abs=EXACT)
    assert [t for t, _ in tried(trace)] == pytest.approx([0, 0.15, 0.4, 0.85, 1.7], abs=EXACT)
    assert trace["lost"] == [{"id": "0", "t": pytest.approx(1.75, abs=EXACT), "reason": "gave_up"}]


def test_amb9_the_pinned_clients_waits_are_capped() -> None:
    schedule = retry_schedule("2.0.2", random.random)
    assert [schedule.wait(number) for number in range(9)] == pytest.approx(
        [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10], abs=EXACT
    )


def test_amb9_the_wait_after_the_last_try_still_takes_up_a_send() -> None:
    trace = simulate([0.0], [(500, 0.0)], {"batchSize": 1})
    assert trace["lost"][0]["t"] == pytest.approx(1.5, abs=EXACT)
    assert trace["ended_at"] == pytest.approx(1.5 + 1.6, abs=EXACT)


def test_amb9_later_clients_try_seven_times_within_the_bounds_of_each_wait() -> None:
    waits: list[list[float]] = []
    for seed in range(200):
        trace = simulate([0.0], [(503, 0.0)], {"batchSize": 1}, client="later", seed=seed)
        times = [t for t, _ in tried(trace)]
        assert len(times) == 7
        waits.append([after - before for before, after in pairwise([*times, trace["ended_at"]])])
    for number, longest in enumerate(LONGEST_WAITS):
        of_this = [each[number] for each in waits]
        assert 0 <= min(of_this) < 0.05 * longest
        assert 0.95 * longest < max(of_this) <= longest
        assert 0.4 * longest < sum(of_this) / len(of_this) < 0.6 * longest


def test_amb9_a_later_clients_waits_are_parts_of_these() -> None:
    assert LONGEST_WAITS == (2, 6, 12, 20, 40, 80, 80)
    assert [retry_schedule("later", lambda: 0.5).wait(n) for n in range(7)] == [1, 3, 6, 10, 20, 40, 40]


def test_amb9_a_schedule_is_the_same_for_the_same_seed() -> None:
    one, other, third = (
        simulate([0.0], [(500, 0.0)], {"batchSize": 1}, client="later", seed=seed) for seed in (3, 3, 4)
    )
    assert one == other != third


@pytest.mark.parametrize(("status", "tries"), [(200, 1), (202, 1), (302, 1), (399, 1), (400, 5), (401, 5), (0, 5)])
def test_amb8_a_status_below_400_is_success(status: int, tries: int) -> None:
    trace = simulate([0.0], [(status, 0.0)], {"batchSize": 1})
    assert len(trace["tries"]) == tries
    assert bool(trace["delivered"]) is (tries == 1)


def test_a_batch_that_fails_once_is_delivered_whole_and_holds_up_no_other() -> None:
    trace = simulate([0.0, 0.0, 0.05], [(500, 0.0), (200, 0.0)], {"batchSize": 2})
    assert [each["entries"] for each in trace["tries"]] == [["0", "1"], ["0", "1"], ["2"]]
    assert [each["t"] for each in trace["tries"]] == pytest.approx([0, 0.1, 1], abs=EXACT)


ROOM = CONCURRENT_SENDS + 1 + CHANNEL_SIZE  # batches of one: under way, the one that waits for a send, the channel


def test_amb12_no_request_is_held_up_while_the_channel_has_room() -> None:
    trace = simulate([0.0] * ROOM, [(200, 3.0)], {"batchSize": 1})
    assert trace["held_up"] == []
    assert len(trace["delivered"]) == ROOM


def test_amb12_a_request_is_held_up_until_a_send_is_over() -> None:
    times = [*([0.0] * ROOM), 1.0, 1.5]
    trace = simulate(times, [(200, 3.0)], {"batchSize": 1})
    assert trace["held_up"] == [
        {"id": str(ROOM), "t": 1.0, "until": pytest.approx(3.0, abs=EXACT)},
        {"id": str(ROOM + 1), "t": 1.5, "until": pytest.approx(3.0, abs=EXACT)},
    ]
    assert [each["t"] for each in trace["tries"]].count(3.0) == len(times) - CONCURRENT_SENDS


def test_amb12_one_send_that_ends_lets_one_request_go() -> None:
    answers = [(200, 2.0), *([(200, 9.0)] * CONCURRENT_SENDS)]
    trace = simulate([*([0.0] * ROOM), 1.0, 1.0], answers, {"batchSize": 1})
    assert [(each["id"], each["until"]) for each in trace["held_up"]] == [
        (str(ROOM), pytest.approx(2.0, abs=EXACT)),
        (str(ROOM + 1), pytest.approx(9.0, abs=EXACT)),
    ]


def test_amb12_while_all_sends_are_under_way_ticks_send_nothing_and_count_as_one() -> None:
    times = [*([0.0] * (2 * CONCURRENT_SENDS)), 0.5, 5.6]
    trace = simulate(times, [(200, 5.5)], {"batchSize": 2})
    late = [each for each in trace["tries"] if each["t"] > 0]
    # the batch of the tick at 1.0 waits for a send; the record of 5.6 leaves with the tick after it
    assert [(each["t"], len(each["entries"])) for each in late] == [
        (pytest.approx(5.5, abs=EXACT), 1),
        (pytest.approx(6.0, abs=EXACT), 1),
    ]


def test_amb11_a_graceful_stop_sends_what_there_is_at_once_and_retries_it() -> None:
    trace = simulate([0.0, 0.1, 0.2], [(500, 0.0), (200, 0.0)], {"intervalSeconds": 60}, stop_at=0.5)
    assert [each["t"] for each in trace["tries"]] == pytest.approx([0.5, 0.6], abs=EXACT)
    assert len(trace["delivered"]) == 3


def test_amb11_a_graceful_stop_sends_what_waited_behind_a_send_as_one_batch() -> None:
    trace = simulate([0.0] * ROOM, [(200, 3.0)], {"batchSize": 1}, stop_at=1.0)
    assert tried(trace)[CONCURRENT_SENDS:] == [(3.0, 1), (3.0, CHANNEL_SIZE)]


def test_a_try_may_last_as_long_as_a_number_can_say() -> None:
    trace = simulate([0.0], [(0, 1e308)], {"batchSize": 1})
    assert (len(trace["tries"]), trace["lost"][0]["reason"]) == (5, "gave_up")


def test_without_arrivals_nothing_happens() -> None:
    assert simulate([]) == {
        "tries": [],
        "delivered": [],
        "lost": [],
        "held_up": [],
        "peak_entries": 0,
        "ended_at": 0.0,
    }
