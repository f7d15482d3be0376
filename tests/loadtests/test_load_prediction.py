"""Losses of the queue, predicted from arrivals and faults."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.ingest.faults import Fault
from loadtests.prediction import FaultWindow, Prediction, RestartWindow, predict
from loadtests.queue_model import AmberfloQueue, KongQueue, Times
from plugin_emulator.amberflo.simulation import ClientSettings
from plugin_emulator.queue import Loss, QueueSettings

EPOCH = 1_700_000_000.0
ROOMY = QueueSettings(max_batch_size=100, max_entries=100_000)
RESET, REFUSE = Fault(reset="before"), Fault(status=503)


def steady(rate: float, seconds: float) -> Times:
    return EPOCH + np.arange(int(rate * seconds)) / rate


def window(at: float, lasts: float, fault: Fault) -> FaultWindow:
    return FaultWindow(EPOCH + at, EPOCH + at + lasts, fault)


def run(
    queue: QueueSettings, times: Times, *faults: FaultWindow, restarts: tuple[RestartWindow, ...] = ()
) -> Prediction:
    return predict([times], KongQueue(queue), faults, restarts, round_trip=0.005)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(1, 200), st.integers(1, 8), st.integers(0, 3))
def test_nothing_is_lost_when_nothing_goes_wrong_and_the_queue_has_room(rate: int, seconds: int, parts: int) -> None:
    queues = [steady(rate, seconds) + part / 7 for part in range(parts)]
    prediction = predict(queues, KongQueue(ROOMY), (), round_trip=0.005)
    assert (prediction.low, prediction.high, prediction.losses) == (0, 0, ())
    assert prediction.agrees(0) and not prediction.agrees(1)


def test_an_outage_within_the_retry_time_loses_nothing_in_a_roomy_queue() -> None:
    assert run(ROOMY, steady(200, 12), window(3, 5, REFUSE)).high == 0


def test_an_outage_overflows_a_queue_by_what_arrives_beyond_its_room() -> None:
    """At 200 a second, 1,000 events fill the queue in 5 s; the tenth retry, after 10.23 s, succeeds."""
    prediction = run(QueueSettings(max_batch_size=100, max_entries=1000), steady(200, 20), window(3, 8, RESET))
    (loss,) = prediction.losses
    assert loss.reason is Loss.OVERFLOW_ENTRIES
    assert loss.low <= 200 * (10.23 + 11 * 0.005) - 1000 <= loss.high
    assert loss.high - loss.low <= 200 * 0.5
    assert EPOCH + 2 <= loss.first < loss.last <= EPOCH + 12


def test_with_one_try_only_an_outage_loses_what_is_tried_in_it() -> None:
    queue = QueueSettings(max_batch_size=1, max_retry_time=-1, max_entries=100_000)
    prediction = run(queue, steady(20, 6), window(2, 2, REFUSE))
    (loss,) = prediction.losses
    assert loss.reason is Loss.GAVE_UP
    assert loss.low <= 40 <= loss.high
    assert loss.high - loss.low <= 4


def test_what_was_accepted_without_an_answer_is_not_lost_though_it_is_given_up() -> None:
    queue = QueueSettings(max_batch_size=10, max_coalescing_delay=0.1, max_retry_time=-1)
    assert run(queue, steady(100, 4), window(1, 2, Fault(drop_answer=True))).high == 0
    assert run(queue, steady(100, 4), window(1, 2, Fault(reset="after"))).low > 100


def test_a_slow_endpoint_beyond_the_time_out_is_one_that_does_not_answer() -> None:
    queue = QueueSettings(max_batch_size=10, max_coalescing_delay=0.1, max_retry_time=-1)
    impatient = KongQueue(queue, timeout=1.0)
    late = predict([steady(50, 4)], impatient, [window(-1, 60, Fault(delay=3.0))], round_trip=0.0)
    assert late.high == 0  # all of it arrives, as far as the endpoint is concerned
    hung = predict([steady(50, 4)], impatient, [window(-1, 60, Fault(hang=3.0))], round_trip=0.0)
    assert 190 <= hung.low <= hung.high == 200


def test_a_killed_gateway_loses_what_waits_and_nothing_that_came_before() -> None:
    queue = QueueSettings(max_batch_size=100, max_coalescing_delay=1.0)
    killed = RestartWindow(EPOCH + 3.5, EPOCH + 4.0, "kill", 0.0)
    times = steady(50, 8)
    served = times[(times < killed.began_at) | (times > killed.ended_at)]
    prediction = run(queue, served, restarts=(killed,))
    (loss,) = prediction.losses
    assert loss.reason is Loss.STOPPED
    assert 0 < loss.high <= 50 * 1.1
    assert EPOCH + 3.5 - 1.1 <= loss.first <= loss.last <= EPOCH + 3.5


def test_a_graceful_stop_loses_nothing_while_the_endpoint_answers_and_all_of_it_when_it_never_does() -> None:
    queue = QueueSettings(max_batch_size=100, max_coalescing_delay=1.0)
    stop = RestartWindow(EPOCH + 3.5, EPOCH + 3.8, "graceful", 10.0)
    assert run(queue, steady(50, 8), restarts=(stop,)).high == 0
    killed = RestartWindow(EPOCH + 3.5, EPOCH + 13.6, "graceful", 10.0)
    down = run(queue, steady(50, 3.5), window(-1, 60, RESET), restarts=(killed,))
    assert [(loss.reason, loss.high) for loss in down.losses] == [(Loss.STOPPED, 175)]
    assert down.low >= 170


def test_more_than_can_be_simulated_is_said_and_agrees_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtests.prediction.MOST_ARRIVALS", 100)
    prediction = run(ROOMY, steady(101, 1))
    assert prediction.skipped is not None and "101 events" in prediction.skipped
    assert prediction.agrees(0) is None


# --------------------------------------------------------------------------------- Amberflo's client


def amberflo(times: Times, *faults: FaultWindow, restarts: tuple[RestartWindow, ...] = ()) -> Prediction:
    client = AmberfloQueue(ClientSettings(batchSize=1000))
    return predict([times], client, faults, restarts, round_trip=0.005)


def test_amb_9_an_outage_loses_the_batches_whose_five_tries_all_fall_into_it() -> None:
    """A batch leaves each second and is tried for 1.52 s: an outage of 6 s loses 4 or 5 seconds of records."""
    prediction = amberflo(steady(100, 20), window(5, 6, REFUSE))
    (loss,) = prediction.losses
    assert loss.reason is Loss.GAVE_UP
    assert 400 - 10 <= loss.low <= loss.high <= 500 + 10
    assert EPOCH + 3 <= loss.first < loss.last <= EPOCH + 11


def test_amb_9_an_outage_shorter_than_the_tries_loses_nothing() -> None:
    assert amberflo(steady(100, 10), window(3, 1.3, REFUSE)).high == 0


def test_amb_8_a_client_without_a_time_out_waits_for_an_endpoint_that_is_slow() -> None:
    assert amberflo(steady(50, 4), window(-1, 60, Fault(delay=15.0))).high == 0


def test_amb_11_a_killed_gateway_loses_the_records_since_the_last_tick_and_a_stopped_one_none() -> None:
    times = steady(50, 8)
    served = times[(times < EPOCH + 3.5) | (times > EPOCH + 4.0)]
    (loss,) = amberflo(served, restarts=(RestartWindow(EPOCH + 3.5, EPOCH + 4.0, "kill", 0.0),)).losses
    assert (loss.reason, loss.high <= 50 + 10) == (Loss.STOPPED, True)
    assert amberflo(served, restarts=(RestartWindow(EPOCH + 3.5, EPOCH + 4.0, "graceful", 30.0),)).high == 0
