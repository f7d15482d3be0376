"""Which losses the rules allow."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadtests.loss import Losses, LostEvents, explain
from loadtests.prediction import PredictedLoss, Prediction
from plugin_emulator.queue import Loss

OVERFLOW = PredictedLoss(Loss.OVERFLOW_ENTRIES, 180, 220, 100.0, 110.0)
GIVEN_UP = PredictedLoss(Loss.GAVE_UP, 20, 30, 120.0, 121.0)
PREDICTED = Prediction((OVERFLOW, GIVEN_UP), 200, 250, 9)
NOTHING = Prediction()


def lost_of(times: np.ndarray, *of: Any) -> Losses:
    return explain(LostEvents(times), *of)


def rules(lost: object) -> dict[str, int]:
    return {row.rule: row.seen for row in lost.rows}  # type: ignore[attr-defined]


def test_losses_of_a_predicted_time_and_number_are_allowed() -> None:
    lost = lost_of(np.r_[np.linspace(100, 110, 200), np.linspace(120, 121, 25)], PREDICTED, None)
    assert rules(lost) == {"CAP-1": 200, "RET-2": 25}
    assert lost.not_allowed == 0
    assert lost.agreement == "predicted and seen losses agree: 200 to 250 predicted, 225 seen"


def test_what_is_lost_at_another_time_is_not_allowed() -> None:
    lost = lost_of(np.r_[np.linspace(100, 110, 200), [50.0] * 7], PREDICTED, None)
    assert lost.not_allowed == 7


def test_what_is_lost_beyond_the_predicted_number_is_not_allowed() -> None:
    lost = lost_of(np.linspace(100, 110, 300), PREDICTED, None)
    assert lost.not_allowed == 80
    assert "do not agree" in lost.agreement


def test_a_gateway_that_tells_of_fewer_losses_lost_the_rest_without_leave() -> None:
    times = np.linspace(100, 110, 200)
    assert lost_of(times, PREDICTED, {"overflow_entries": 190}).not_allowed == 10
    assert lost_of(times, PREDICTED, {}).not_allowed == 200
    assert lost_of(times, PREDICTED, {}, ["fast"]).not_allowed == 0  # its count went with it


def test_a_gateway_that_tells_of_losses_which_nothing_brings_about_is_not_believed() -> None:
    lost = lost_of(np.array([100.0]), NOTHING, {"overflow_entries": 1})
    assert lost.not_allowed == 1
    assert lost.agreement == "predicted and seen losses do not agree: 0 predicted, 1 seen"


def test_where_nothing_can_be_predicted_the_gateway_is_believed() -> None:
    skipped = Prediction(skipped="7 events are too many")
    lost = lost_of(np.linspace(0, 1, 10), skipped, {"overflow_entries": 8})
    assert (rules(lost), lost.not_allowed) == ({"CAP-1": 8}, 2)
    assert lost.agreement == "losses were not predicted: 7 events are too many"
    assert lost_of(np.linspace(0, 1, 10), skipped, None).not_allowed == 10


def test_a_killed_gateway_is_told_from_one_that_was_stopped() -> None:
    predicted = Prediction((PredictedLoss(Loss.STOPPED, 0, 5, 10.0, 11.0),), 0, 5, 9)
    assert rules(lost_of(np.array([10.5]), predicted, None, ["kill"])) == {"LIF-1": 1}
    assert rules(lost_of(np.array([10.5]), predicted, None, ["fast"])) == {"LIF-2": 1}


LOSSES = st.lists(
    st.builds(
        lambda reason, low, more, first, span: PredictedLoss(reason, low, low + more, first, first + span),
        st.sampled_from(list(Loss)),
        st.integers(0, 20),
        st.integers(0, 20),
        st.floats(0, 50),
        st.floats(0, 50),
    ),
    max_size=5,
    unique_by=lambda loss: loss.reason,
)


@given(st.lists(st.floats(0, 100), max_size=60), LOSSES)
def test_every_lost_event_is_counted_once_and_no_reason_explains_more_than_it_can(
    times: list[float], losses: list[PredictedLoss]
) -> None:
    lost = lost_of(np.array(times), Prediction(tuple(losses), 0, 0, 1), None)
    assert lost.not_allowed >= 0
    assert sum(row.seen for row in lost.rows) + lost.not_allowed == len(times)
    assert all(row.seen <= row.high for row in lost.rows)
