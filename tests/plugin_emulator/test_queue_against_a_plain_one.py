"""The queue agrees with a second one, written plainly as one process that waits on a counter of entries.

The state machine in the product is built for speed and for two drivers; this one is built to be read. Whatever the
settings and the traffic, both must send and lose the same entries at the same times (SPEC BAT, RET, CAP).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from plugin_emulator.queue import QueueSettings
from plugin_emulator.runtime.simulation import Answer, Arrival, Schedule, trace

Wait = tuple[str, float]


class PlainQueue:
    """Entries, a counter of those not yet claimed, and one process that claims, sends and retries."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.settings = schedule.queue
        self.now = 0.0
        self.entries: list[Arrival] = []
        self.unclaimed = 0
        self.process: Generator[Wait, bool, None] | None = None
        self.waits_for_entry = False
        self.wakes_at = 0.0
        self.tries: list[tuple[float, list[str]]] = []
        self.lost: set[str] = set()

    def run(self) -> None:
        coming = sorted(self.schedule.arrivals, key=lambda arrival: arrival.t)
        while coming or self.process is not None:
            times = [coming[0].t] if coming else []
            if self.process is not None:
                times.append(self.wakes_at)
            self.now = min(times)
            while coming and coming[0].t == self.now:
                self.arrive(coming.pop(0))
            self.let_process_run()

    def arrive(self, entry: Arrival) -> None:
        limit, max_bytes = self.settings.max_entries, self.settings.max_bytes
        if len(self.entries) == limit and not self.drop_oldest():
            self.lost.add(entry.id)
            return
        if max_bytes is not None:
            if entry.bytes > max_bytes:
                self.lost.add(entry.id)
                return
            while sum(one.bytes for one in self.entries) + entry.bytes > max_bytes:
                if not self.drop_oldest():
                    self.lost.add(entry.id)
                    return
        self.entries.append(entry)
        self.unclaimed += 1

    def drop_oldest(self) -> bool:
        if self.unclaimed - self.waits_for_entry <= 0:
            return False
        self.unclaimed -= 1
        self.lost.add(self.entries.pop(0).id)
        return True

    def let_process_run(self) -> None:
        if self.process is None:
            if not self.entries:
                return
            self.process = self.processing()
            self.resume(None)
        elif self.waits_for_entry and self.unclaimed:
            self.unclaimed -= 1
            self.resume(True)
        elif self.now >= self.wakes_at:
            self.resume(False)

    def resume(self, outcome: bool | None) -> None:
        assert self.process is not None
        self.waits_for_entry = False
        try:
            while True:
                kind, seconds = self.process.send(outcome)  # type: ignore[arg-type]
                if kind == "entry" and self.unclaimed:
                    self.unclaimed -= 1
                    outcome = True
                    continue
                self.waits_for_entry = kind == "entry"
                self.wakes_at = self.now + seconds
                if self.waits_for_entry or seconds > 0:
                    return
                outcome = False
        except StopIteration:
            self.process = None

    def processing(self) -> Generator[Wait, bool, None]:
        window, most = self.settings.max_coalescing_delay, self.settings.max_batch_size
        while self.entries:
            self.unclaimed -= 1
            claimed, began = 1, self.now
            while claimed < most and window - (self.now - began) >= 0.05:
                claimed += yield "entry", min(window - (self.now - began), 1.0)
            batch, self.entries = self.entries[:claimed], self.entries[claimed:]
            yield from self.sending(batch)

    def sending(self, batch: list[Arrival]) -> Generator[Wait, bool, None]:
        began, wait = self.now, self.settings.initial_retry_delay
        while True:
            answer = self.schedule.answer(self.now, len(self.tries))
            self.tries.append((self.now, [entry.id for entry in batch]))
            yield "time", answer.duration
            if answer.ok:
                return
            if self.now - began > self.settings.max_retry_time:
                self.lost.update(entry.id for entry in batch)
                return
            yield "time", min(wait, self.settings.max_retry_delay)
            wait *= 2


SETTINGS = st.builds(
    QueueSettings,
    max_batch_size=st.sampled_from([1, 2, 3, 5, 50]),
    max_coalescing_delay=st.sampled_from([0, 0.03, 0.05, 0.06, 0.3, 1, 1.03, 2.04, 2.5]),
    max_entries=st.sampled_from([1, 2, 3, 5, 1000]),
    max_bytes=st.sampled_from([None, None, 60, 100, 250]),
    initial_retry_delay=st.sampled_from([0.001, 0.1, 0.5]),
    max_retry_delay=st.sampled_from([0.2, 1, 60]),
    max_retry_time=st.sampled_from([-1, 0, 0.5, 2]),
)


@st.composite
def schedules(draw: Any) -> Schedule:
    gaps = draw(st.lists(st.sampled_from([0, 0, 0, 0.0005, 0.01, 0.04, 0.3, 0.96, 0.97, 1.0, 2.2]), max_size=40))
    arrivals = []
    t = 0.0
    for number, gap in enumerate(gaps):
        t += gap
        arrivals.append(Arrival(t, f"e{number}", draw(st.sampled_from([10, 40, 90, 120]))))
    durations = st.sampled_from([0, 0.0017, 0.02, 0.4, 1.9])
    answers = st.builds(Answer, status=st.sampled_from([202, 202, 204, 301, 429, 500]), duration=durations)
    return Schedule(draw(SETTINGS), arrivals, draw(st.lists(answers, min_size=1, max_size=10)))


@given(schedules())
@settings(max_examples=400, deadline=None)
def test_both_queues_send_and_lose_the_same_entries_at_the_same_times(schedule: Schedule) -> None:
    plain = PlainQueue(schedule)
    plain.run()
    ours = trace(schedule)
    assert [one.entries for one in ours.tries] == [entries for _, entries in plain.tries]
    assert all(abs(one.t - t) < 1e-9 for one, (t, _) in zip(ours.tries, plain.tries, strict=True))
    assert {entry.id for entry in ours.lost} == plain.lost
