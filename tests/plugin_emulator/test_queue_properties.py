"""What holds for any queue settings, any traffic and any ingest endpoint."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from plugin_emulator.queue import BatchQueue, QueueSettings
from plugin_emulator.runtime.simulation import Answer, Arrival, Schedule, Trace, trace

TIMES = st.one_of(
    st.integers(0, 40).map(lambda n: n / 8),
    st.floats(0, 6, allow_nan=False),
    st.sampled_from([0.95, 0.951, 1.0, 1.05]),
)
SETTINGS = st.builds(
    QueueSettings,
    max_batch_size=st.sampled_from([1, 2, 3, 7]),
    max_coalescing_delay=st.sampled_from([0, 0.04, 0.05, 0.06, 0.5, 1, 1.03, 2.5]),
    max_entries=st.sampled_from([1, 2, 5, 1000]),
    max_bytes=st.sampled_from([None, 10, 60]),
    initial_retry_delay=st.sampled_from([0.001, 0.25]),
    max_retry_delay=st.sampled_from([0.1, 60]),
    max_retry_time=st.sampled_from([-1, 0, 0.5, 2]),
    concurrency_limit=st.sampled_from([1, 1, 1, -1]),
    failure_threshold=st.sampled_from([0, 0, 1, 3]),
    breaker_cooldown=st.sampled_from([0, 0.5, 5]),
)
ANSWERS = st.lists(
    st.builds(Answer, status=st.sampled_from([202, 202, 500, 301, 0]), duration=st.sampled_from([0, 0.01, 0.7])),
    min_size=1,
)


@st.composite
def schedules(draw: Any) -> Schedule:
    times = sorted(draw(st.lists(TIMES, max_size=30)))
    sizes = draw(st.lists(st.sampled_from([1, 8, 40, 70]), min_size=len(times), max_size=len(times)))
    arrivals = [Arrival(t, f"e{n}", size) for n, (t, size) in enumerate(zip(times, sizes, strict=True))]
    return Schedule(draw(SETTINGS), arrivals, draw(ANSWERS))


def number(entry_id: str) -> int:
    return int(entry_id[1:])


@given(schedules())
def test_every_entry_is_delivered_or_lost_and_never_both(schedule: Schedule) -> None:
    result = trace(schedule)
    fates = [entry.id for entry in result.delivered] + [entry.id for entry in result.lost]
    assert sorted(fates) == sorted(arrival.id for arrival in schedule.arrivals)


@given(schedules())
def test_batches_keep_the_order_of_arrival_and_their_largest_size(schedule: Schedule) -> None:
    result = trace(schedule)
    settings = schedule.queue
    if settings.concurrency_limit == -1:
        assert all(len(one.entries) == 1 for one in result.tries)
        return
    batches = new_batches(result)
    flat = [number(entry) for batch in batches for entry in batch]
    assert flat == sorted(flat)
    assert all(len(batch) <= settings.max_batch_size for batch in batches)
    if settings.max_coalescing_delay < 0.05:
        assert all(len(batch) == 1 for batch in batches)


@given(schedules())
def test_a_batch_is_retried_unchanged_after_exactly_the_waits_of_ret1(schedule: Schedule) -> None:
    settings = schedule.queue
    if settings.concurrency_limit == -1:
        return
    tries = trace(schedule).tries
    retries = 0
    for before, after in itertools.pairwise(tries):
        if before.entries != after.entries:
            retries = 0
            continue
        wait = min(settings.max_retry_delay, settings.initial_retry_delay * 2**retries)
        assert abs(after.t - (before.t + before.duration + wait)) < 1e-9
        retries += 1


@given(schedules())
def test_nothing_is_sent_before_it_arrived_or_while_another_try_is_under_way(schedule: Schedule) -> None:
    arrived = {arrival.id: arrival.t for arrival in schedule.arrivals}
    tries = trace(schedule).tries
    assert all(one.t >= arrived[entry] for one in tries for entry in one.entries)
    if schedule.queue.concurrency_limit == 1:
        assert all(after.t >= before.t + before.duration for before, after in itertools.pairwise(tries))


@given(schedules())
def test_a_first_try_comes_no_later_than_the_window_allows_when_nothing_was_in_its_way(schedule: Schedule) -> None:
    settings = schedule.queue
    result = trace(schedule)
    if settings.concurrency_limit == -1 or len(schedule.arrivals) != 1 or not result.tries:
        return
    waited = result.tries[0].t - schedule.arrivals[0].t
    assert waited <= settings.max_coalescing_delay + 1e-9


@given(schedules())
def test_waiting_entries_never_exceed_the_limits(schedule: Schedule) -> None:
    assert trace(schedule).peak_entries <= schedule.queue.max_entries


def new_batches(result: Trace) -> list[list[str]]:
    batches: list[list[str]] = []
    for one in result.tries:
        if not batches or batches[-1] != one.entries:
            batches.append(one.entries)
    return batches


@given(SETTINGS, st.lists(st.tuples(st.sampled_from([0.001, 0.02, 0.3, 0.97, 1.0]), st.booleans()), max_size=40))
def test_to_arrive_is_to_put_and_to_advance(settings: QueueSettings, steps: list[tuple[float, bool]]) -> None:
    losses: tuple[list[Any], list[Any]] = ([], [])
    one: BatchQueue[int] = BatchQueue(settings, lambda entries, reason: losses[0].append((list(entries), reason)))
    two: BatchQueue[int] = BatchQueue(settings, lambda entries, reason: losses[1].append((list(entries), reason)))
    now = 0.0
    sending = False
    for number, (gap, ok) in enumerate(steps):
        now += gap
        if sending:  # the try that the last arrival began ends before the next arrival
            one.tried(ok, now)
            two.tried(ok, now)
        before = one.advance(now), two.advance(now)
        assert before[0] == before[1]
        arrived = one.arrive(number, 9, now)
        separately = two.advance(now) if two.put(number, 9, now) else None
        assert arrived == separately
        sending = before[0] is not None or arrived is not None
        assert (one.wake_at, len(one), one.busy, one.peak_entries) == (
            two.wake_at,
            len(two),
            two.busy,
            two.peak_entries,
        )
    assert losses[0] == losses[1]
