"""How late an event may be by the settings of its queue: the queue itself, simulated, is never later."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.latency_bound import SCHEDULING, billing_latency_bound, longest_silence
from loadtests.plan import IngestFault
from plugin_emulator.queue import Loss, QueueSettings
from plugin_emulator.runtime.simulation import Answer, Arrival, simulate


class Latest:
    """Remembers how late the latest try of an entry began, and the longest time without a try."""

    def __init__(self) -> None:
        self.latest = 0.0
        self.tries: list[float] = []

    def tried(self, t: float, entries: Sequence[Arrival], answer: Answer) -> None:
        self.tries.append(t)
        if answer.ok:
            self.latest = max(self.latest, t - entries[0].t)

    def delivered(self, t: float, entries: Sequence[Arrival]) -> None:
        pass

    def lost(self, t: float, entries: Sequence[Arrival], reason: Loss) -> None:
        raise AssertionError("nothing is to be lost")


QUEUES = st.builds(
    lambda size, delay, limit: QueueSettings(
        max_batch_size=size, max_coalescing_delay=delay, concurrency_limit=limit, max_entries=1_000_000
    ),
    st.sampled_from([1, 2, 7, 100]),
    st.floats(0, 3),
    st.sampled_from([1, -1]),
)


@settings(max_examples=150, deadline=None)
@given(QUEUES, st.floats(0.001, 0.1), st.lists(st.floats(0.2, 2), min_size=1, max_size=40))
def test_no_event_of_a_queue_that_keeps_up_is_later_than_the_bound(
    queue: QueueSettings, round_trip: float, gaps: list[float]
) -> None:
    now, arrivals = 0.0, []
    for gap in gaps:
        now += gap
        arrivals.append(Arrival(now, ""))
    seen = Latest()
    simulate(queue, arrivals, lambda t, number: Answer(202, round_trip), seen)
    assert seen.latest <= billing_latency_bound(queue, round_trip) - SCHEDULING + 1e-9


@settings(max_examples=100, deadline=None)
@given(st.floats(0.2, 30), st.floats(0.01, 1), st.floats(0.5, 60))
def test_after_an_outage_the_silence_is_never_longer_than_said(
    outage: float, initial_delay: float, longest_delay: float
) -> None:
    queue = QueueSettings(
        max_batch_size=100,
        initial_retry_delay=initial_delay,
        max_retry_delay=longest_delay,
        max_retry_time=3600,
    )
    seen = Latest()
    simulate(queue, [Arrival(0.5, "")], lambda t, _: Answer(503 if t < outage + 0.5 else 202, 0.01), seen)
    limit = longest_silence(queue, 10.0, [IngestFault(0.5, outage, 503)])
    assert max((b - a for a, b in zip(seen.tries, seen.tries[1:], strict=False)), default=0.0) <= limit


def test_without_faults_the_silence_is_about_that_of_a_window() -> None:
    assert longest_silence(QueueSettings(max_coalescing_delay=2.0), 10.0, []) < 4.0
