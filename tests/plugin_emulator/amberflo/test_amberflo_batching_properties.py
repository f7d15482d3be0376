"""What holds for any traffic, any ingest endpoint and any settings of Amberflo's client."""

from __future__ import annotations

from math import inf
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from plugin_emulator.amberflo import batcher
from plugin_emulator.amberflo.simulation import ClientSettings, Schedule, Trace, trace
from plugin_emulator.runtime.simulation import Answer, Arrival

TIMES = st.one_of(st.integers(0, 40).map(lambda n: n / 8), st.floats(0, 6), st.sampled_from([1.0, 0.999, 2.0]))
ANSWERS = st.lists(
    st.builds(Answer, status=st.sampled_from([200, 200, 302, 500, 0]), duration=st.sampled_from([0, 0.01, 0.7, 3.0])),
    min_size=1,
    max_size=12,
)


@st.composite
def schedules(draw: Any, stops: bool = False) -> Schedule:
    times = draw(st.lists(TIMES, max_size=40))
    return Schedule(
        "amberflo",
        [Arrival(t, f"r{number}") for number, t in enumerate(times)],
        draw(ANSWERS),
        ClientSettings(draw(st.sampled_from([1, 2, 3, 10])), draw(st.sampled_from([1, 2, 60]))),
        draw(st.sampled_from(["2.0.2", "later"])),
        draw(st.integers(0, 3)),
        draw(st.floats(0, 8)) if stops else None,
    )


def run(schedule: Schedule, sends: int, channel: int) -> Trace:
    """Simulate with fewer sends and a smaller channel than the client has, so that both fill up."""
    with patch.object(batcher, "CONCURRENT_SENDS", sends), patch.object(batcher, "CHANNEL_SIZE", channel):
        return trace(schedule)


SENDS, CHANNEL = st.sampled_from([1, 2, 1000]), st.sampled_from([1, 3, 100])


def first_tries(found: Trace) -> list[list[str]]:
    return list({tuple(each.entries): each.entries for each in found.tries}.values())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.one_of(schedules(), schedules(stops=True)), SENDS, CHANNEL)
def test_every_record_is_in_exactly_one_batch_and_is_delivered_or_lost(
    schedule: Schedule, sends: int, channel: int
) -> None:
    found = run(schedule, sends, channel)
    ids = sorted(arrival.id for arrival in schedule.arrivals)
    assert sorted(entry for batch in first_tries(found) for entry in batch) == ids
    assert sorted([each.id for each in found.delivered] + [each.id for each in found.lost]) == ids


@settings(max_examples=200, deadline=None, derandomize=True)
@given(schedules(), SENDS, CHANNEL)
def test_no_batch_is_larger_than_allowed_and_records_keep_their_order(
    schedule: Schedule, sends: int, channel: int
) -> None:
    batches = first_tries(run(schedule, sends, channel))
    assert all(0 < len(batch) <= schedule.config.batchSize for batch in batches)
    in_order = [arrival.id for arrival in sorted(schedule.arrivals, key=lambda arrival: arrival.t)]
    assert [entry for batch in batches for entry in batch] == in_order


@settings(max_examples=200, deadline=None, derandomize=True)
@given(schedules(), SENDS, CHANNEL)
def test_a_retry_carries_the_same_records_and_there_are_as_many_as_the_client_makes(
    schedule: Schedule, sends: int, channel: int
) -> None:
    found = run(schedule, sends, channel)
    most = 5 if schedule.client == "2.0.2" else 7
    lost = {each.id for each in found.lost}
    for batch in first_tries(found):
        tries = [each for each in found.tries if set(each.entries) & set(batch)]
        assert all(each.entries == batch for each in tries)
        assert len(tries) == most if batch[0] in lost else len(tries) <= most
        assert all(not 0 < each.status < 400 for each in tries[:-1])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(schedules())
def test_a_partial_batch_leaves_on_a_tick_and_no_record_waits_for_a_second_one(
    schedule: Schedule,
) -> None:
    found = run(schedule, 1000, 100)
    arrived = {arrival.id: arrival.t for arrival in schedule.arrivals}
    start, interval = min(arrived.values(), default=0.0), schedule.config.intervalSeconds
    seen: set[str] = set()
    for each in found.tries:
        if each.entries[0] in seen:
            continue
        seen.update(each.entries)
        waited = max(each.t - arrived[entry] for entry in each.entries)
        assert waited <= interval + 1e-9
        if len(each.entries) < schedule.config.batchSize:
            ticks = (each.t - start) / interval
            assert abs(ticks - round(ticks)) < 1e-9
            assert round(ticks) >= 1


@settings(max_examples=200, deadline=None, derandomize=True)
@given(schedules(), SENDS, CHANNEL)
def test_sends_under_way_are_never_more_than_allowed(schedule: Schedule, sends: int, channel: int) -> None:
    found = run(schedule, sends, channel)
    begins: dict[tuple[str, ...], float] = {}
    ends: dict[tuple[str, ...], float] = {}
    for each in found.tries:
        batch = tuple(each.entries)
        begins.setdefault(batch, each.t)
        ends[batch] = each.t + each.duration
    before: list[tuple[str, ...]] = []
    for batch, begin in begins.items():
        assert sum(ends[other] > begin for other in before) < sends
        before.append(batch)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(schedules(), CHANNEL)
def test_requests_are_held_up_only_while_the_channel_is_full_and_go_on_in_their_order(
    schedule: Schedule, channel: int
) -> None:
    found = run(schedule, 1, channel)
    place = {
        arrival.id: number for number, arrival in enumerate(sorted(schedule.arrivals, key=lambda arrival: arrival.t))
    }
    assert [place[each.id] for each in found.held_up] == sorted(place[each.id] for each in found.held_up)
    begin = {entry: each.t for each in reversed(found.tries) for entry in each.entries}
    for each in found.held_up:
        assert each.t <= each.until <= begin.get(each.id, inf)
        waiting = [entry for entry, at in begin.items() if place[entry] < place[each.id] and at >= each.t]
        assert len(waiting) >= channel
