"""The queue's rules as tables of arrivals and what the queue does with them (SPEC BAT, RET, CAP, BRK, LIF)."""

from __future__ import annotations

from typing import Any

import pytest

from plugin_emulator.queue import BatchQueue, Loss, QueueSettings, retry_delay
from plugin_emulator.runtime.simulation import simulate_schedule

OK = {"status": 202, "duration": 0.0}
FAIL = {"status": 503, "duration": 0.0}


def run(queue: dict[str, Any], arrivals: list[tuple[float, str]] | list[tuple[float, str, int]], *ingest: Any) -> Any:
    return simulate_schedule(
        {
            "queue": queue,
            "arrivals": [dict(zip(("t", "id", "bytes"), arrival, strict=False)) for arrival in arrivals],
            "ingest": list(ingest) or [OK],
        }
    )


def tries(trace: dict[str, Any]) -> list[tuple[float, str]]:
    return [(round(one["t"], 9), "".join(one["entries"])) for one in trace["tries"]]


def lost(trace: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["id"], one["reason"]) for one in trace["lost"]]


WINDOW = {"max_batch_size": 3, "max_coalescing_delay": 1}


@pytest.mark.parametrize(
    ("rule", "queue", "arrivals", "expected"),
    [
        ("BAT-2: a later entry does not extend the window", WINDOW, [(0, "a"), (0.9, "b")], [(1.0, "ab")]),
        ("BAT-3: a full batch leaves at once", WINDOW, [(0, "a"), (0.2, "b"), (0.4, "c")], [(0.4, "abc")]),
        ("BAT-4: a partial batch leaves when the window ends", WINDOW, [(5, "a")], [(6.0, "a")]),
        ("BAT-4: an entry in the last 0.05 s ends the window", WINDOW, [(0, "a"), (0.96, "b")], [(0.96, "ab")]),
        ("BAT-4: at 0.05 s before the end it does not", WINDOW, [(0, "a"), (0.9375, "b")], [(1.0, "ab")]),
        ("BAT-5: batch size 1 does not wait", {"max_batch_size": 1}, [(0, "a"), (0, "b")], [(0, "a"), (0, "b")]),
        (
            "BAT-6: a window under 0.05 s sends one entry per batch though many are queued",
            {"max_batch_size": 9, "max_coalescing_delay": 0.04},
            [(0, "a"), (0, "b"), (0, "c")],
            [(0, "a"), (0, "b"), (0, "c")],
        ),
        (
            "BAT-9: a burst that ends on a batch boundary leaves no timer behind",
            WINDOW,
            [(0, "a"), (0, "b"), (0, "c"), (7, "d")],
            [(0, "abc"), (8.0, "d")],
        ),
        (
            "BAT-4: the processor looks around every second, and leaves early with under 0.05 s to go",
            {"max_batch_size": 3, "max_coalescing_delay": 1.03},
            [(0, "a")],
            [(1.0, "a")],
        ),
    ],
)
def test_a_batch_leaves_when_the_rule_says(rule: str, queue: Any, arrivals: Any, expected: Any) -> None:
    assert tries(run(queue, arrivals)) == expected, rule


def test_bat7_one_batch_is_under_way_at_a_time() -> None:
    trace = run({"max_batch_size": 1}, [(0, "a"), (0, "b")], {"status": 202, "duration": 3})
    assert tries(trace) == [(0, "a"), (3, "b")]


def test_bat8_entries_left_behind_a_slow_post_wait_a_fresh_window() -> None:
    trace = run(WINDOW, [(0, letter) for letter in "abcde"], {"status": 202, "duration": 0.5})
    assert tries(trace) == [(0, "abc"), (1.5, "de")]


def test_bat7_unlimited_concurrency_sends_every_entry_by_itself_at_once() -> None:
    queue = {"concurrency_limit": -1, "max_batch_size": 10, "max_entries": 1, "initial_retry_delay": 0.5}
    trace = run(queue, [(0, "a"), (0, "b"), (0, "c")], {"status": 500, "duration": 1}, {"status": 202, "duration": 2})
    assert tries(trace) == [(0, "a"), (0, "b"), (0, "c"), (1.5, "a")]
    assert lost(trace) == []


def test_ret1_waits_double_up_to_the_cap() -> None:
    settings = QueueSettings(initial_retry_delay=0.1, max_retry_delay=1.0)
    assert [retry_delay(settings, n) for n in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert retry_delay(settings, 5_000) == 1.0


def test_ret3_defaults_give_up_after_14_tries_and_82_seconds() -> None:
    trace = run({}, [(0, "a")], FAIL)
    assert len(trace["tries"]) == 14
    assert trace["lost"] == [{"id": "a", "t": pytest.approx(81.91), "reason": "gave_up"}]


def test_ret2_the_last_try_may_begin_after_max_retry_time() -> None:
    queue = {"initial_retry_delay": 4, "max_retry_delay": 4, "max_retry_time": 5}
    assert tries(run(queue, [(0, "a")], FAIL)) == [(0, "a"), (4, "a"), (8, "a")]


def test_ret3_max_retry_time_minus_one_is_one_try() -> None:
    trace = run({"max_retry_time": -1}, [(0, "a")], FAIL)
    assert tries(trace) == [(0, "a")]
    assert lost(trace) == [("a", "gave_up")]


def test_ret4_a_retry_carries_the_same_entries_while_others_wait() -> None:
    trace = run({**WINDOW, "initial_retry_delay": 1}, [(0, "a"), (0, "b"), (0, "c"), (0.5, "d")], FAIL, OK)
    assert tries(trace) == [(0, "abc"), (1, "abc"), (2, "d")]


def test_ret5_after_a_lost_batch_the_next_one_follows() -> None:
    trace = run({"max_retry_time": -1}, [(0, "a"), (0, "b")], FAIL, OK)
    assert lost(trace) == [("a", "gave_up")]
    assert [one["id"] for one in trace["delivered"]] == ["b"]


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (202, True), (299, True), (301, False), (404, False), (0, False)]
)
def test_ret6_only_2xx_is_success(status: int, ok: bool) -> None:
    trace = run({"max_retry_time": -1}, [(0, "a")], {"status": status, "duration": 0})
    assert bool(trace["delivered"]) is ok


def test_cap1_the_oldest_waiting_entry_makes_room() -> None:
    trace = run({"max_entries": 2}, [(0, "a"), (1, "b"), (2, "c"), (3, "d")], {"status": 202, "duration": 10})
    assert lost(trace) == [("b", "overflow_entries")]
    assert trace["peak_entries"] == 2


def test_cap2_bytes_make_room_and_an_entry_too_large_is_refused() -> None:
    arrivals = [(0, "a", 9), (1, "b", 4), (1, "c", 5), (2, "d", 6), (3, "e", 11)]
    trace = run({"max_bytes": 10}, arrivals, {"status": 202, "duration": 9})
    assert lost(trace) == [("b", "overflow_bytes"), ("c", "overflow_bytes"), ("e", "too_large")]


def test_cap3_a_batch_under_way_takes_up_no_room() -> None:
    trace = run({"max_entries": 1}, [(0, "a"), (1, "b")], {"status": 202, "duration": 5})
    assert lost(trace) == []


def test_cap4_what_the_open_window_has_counted_cannot_be_dropped() -> None:
    queue = {"max_batch_size": 9, "max_entries": 2}
    trace = run(queue, [(0, "a"), (0.1, "b"), (0.2, "c")])
    assert lost(trace) == [("c", "window_full")]
    assert tries(trace) == [(1.0, "ab")]


def test_cap5_the_oldest_goes_before_a_too_large_entry_is_refused() -> None:
    trace = run(
        {"max_entries": 1, "max_bytes": 5}, [(0, "a", 1), (1, "b", 1), (2, "c", 6)], {"status": 202, "duration": 9}
    )
    assert lost(trace) == [("b", "overflow_entries"), ("c", "too_large")]


def test_cap6_a_warning_at_80_percent_and_again_only_after_it_fell_below() -> None:
    warnings: list[str] = []
    queue: BatchQueue[int] = BatchQueue(QueueSettings(max_entries=10), lambda entries, reason: None, warnings.append)
    for number in range(10):
        queue.put(number, 1, 0.0)
    assert len(warnings) == 1
    for _ in range(5):
        assert queue.advance(0.0) is not None
        queue.tried(True, 0.0)
    for number in range(5):
        queue.put(number, 1, 0.0)
    assert len(warnings) == 2


BREAKER = {"max_retry_time": -1, "failure_threshold": 2, "breaker_cooldown": 10}


def test_brk_opens_after_the_threshold_sheds_and_probes_with_one_batch() -> None:
    arrivals = [(0, "a"), (1, "b"), (2, "c"), (11.5, "d"), (12, "e"), (21.5, "f"), (22, "g")]
    trace = run(BREAKER, arrivals, FAIL, FAIL, FAIL, OK)
    assert lost(trace) == [
        ("a", "gave_up"),
        ("b", "gave_up"),
        ("c", "breaker_open"),
        ("d", "gave_up"),
        ("e", "breaker_open"),
    ]
    assert [one["id"] for one in trace["delivered"]] == ["f", "g"]


def test_brk2_waiting_entries_are_shed_when_it_opens() -> None:
    queue = {**BREAKER, "failure_threshold": 1}
    trace = run(queue, [(0, "a"), (0, "b"), (0, "c")], FAIL)
    assert lost(trace) == [("a", "gave_up"), ("b", "breaker_open"), ("c", "breaker_open")]


def test_brk1_a_success_in_between_starts_the_count_anew() -> None:
    trace = run(BREAKER, [(t, f"{t}") for t in range(5)], FAIL, OK, FAIL, OK, OK)
    assert lost(trace) == [("0", "gave_up"), ("2", "gave_up")]


def test_lif2_a_graceful_stop_shrinks_the_window_at_the_next_poll() -> None:
    losses: list[Any] = []
    queue: BatchQueue[str] = BatchQueue(
        QueueSettings(max_batch_size=10, max_coalescing_delay=10), lambda entries, reason: losses.append(reason)
    )
    queue.put("a", 1, 0.0)
    assert queue.advance(0.0) is None
    queue.shut_down()
    assert queue.wake_at == 1.0
    assert queue.advance(1.0) is None
    assert queue.wake_at == pytest.approx(1.05)
    assert queue.advance(1.05) == ["a"]
    queue.tried(True, 1.1)
    assert not queue.busy
    assert losses == []


def test_lif2_a_fast_stop_loses_everything_that_is_queued_or_under_way() -> None:
    losses: list[Any] = []
    queue: BatchQueue[str] = BatchQueue(
        QueueSettings(), lambda entries, reason: losses.append((list(entries), reason))
    )
    queue.put("a", 1, 0.0)
    queue.put("b", 1, 0.0)
    assert queue.advance(0.0) == ["a"]
    assert queue.abandon() == 2
    assert losses == [(["a", "b"], Loss.STOPPED)]


def test_bat2_arrivals_in_real_time_do_not_move_the_end_of_the_window() -> None:
    queue: BatchQueue[str] = BatchQueue(QueueSettings(max_batch_size=9), lambda entries, reason: None)
    for now in (0.0, 0.25, 0.5, 0.75):
        assert queue.arrive("x", 1, now) is None
        assert queue.wake_at == 1.0
    assert queue.arrive("y", 1, 0.96) == ["x"] * 4 + ["y"]  # BAT-4
