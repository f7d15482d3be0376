"""Which losses the rules allow, and which they do not.

A lost event is allowed when the queue, simulated under the faults that were played, loses events for that reason at
that time, no more than it can have been, and the gateway, where it tells, says that it lost so many for that reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.targets.target import Stop
from loadtests.matching import Array
from loadtests.prediction import PredictedLoss, Prediction
from loadtests.queue_model import KongQueue, Times
from plugin_emulator.queue import Loss

#: Seconds by which the time of a request's end may be off from that of the event's arrival in the queue.
_SLACK = 0.25

_KILLED = ("LIF-1", "queued when the gateway was killed")


@dataclass(frozen=True, slots=True)
class AllowedLoss:
    """Events lost for one reason, as a rule allows it.

    ``low`` to ``high`` were predicted; ``told`` is how many the gateway says, None where it does not; ``seen`` are
    those missing that this explains.
    """

    rule: str
    reason: str
    about: str
    low: int
    high: int
    told: int | None
    seen: int

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON data."""
        return {
            "rule": self.rule,
            "reason": self.reason,
            "about": self.about,
            "predicted": [self.low, self.high],
            "told": self.told,
            "seen": self.seen,
        }


@dataclass(frozen=True, slots=True)
class Losses:
    """All events lost: ``rows`` are those a rule allows, ``not_allowed`` how many are left.

    ``unexplained`` are the indices, among the lost events, of those left. Of events lost at a time at which a rule
    allows some of them the earliest count as allowed: which ones they were nobody can say.
    """

    lost: int
    rows: tuple[AllowedLoss, ...]
    prediction: Prediction
    unexplained: Array = field(compare=False, repr=False)

    @property
    def not_allowed(self) -> int:
        """How many events are lost although no rule allows it."""
        return self.lost - sum(row.seen for row in self.rows)

    @property
    def agreement(self) -> str:
        """Whether prediction and run agree, in a sentence."""
        prediction = self.prediction
        if prediction.skipped is not None:
            return f"losses were not predicted: {prediction.skipped}"
        predicted = (
            f"{prediction.low:,}"
            if prediction.low == prediction.high
            else (f"{prediction.low:,} to {prediction.high:,}")
        )
        verdict = "agree" if prediction.agrees(self.lost) else "do not agree"
        return f"predicted and seen losses {verdict}: {predicted} predicted, {self.lost:,} seen"


def explain(
    lost_at: Times,
    prediction: Prediction,
    told: Mapping[str, int] | None,
    restarts: Sequence[Stop] = (),
    rules: Mapping[Loss, tuple[str, str]] = KongQueue.rules,
) -> Losses:
    """Say of each lost event whether a rule allows it; ``rules`` are the queue's.

    ``lost_at`` is when the requests of the lost events ended (epoch seconds), ``told`` the gateway's own count of
    lost events by reason, None where it does not tell. What a stopped gateway has counted is gone with it, so that
    after ``restarts`` its count is no limit.
    """
    index = np.argsort(lost_at, kind="stable")
    left: Times = lost_at[index]
    rows: list[AllowedLoss] = []
    # What is lost in the shortest time first: the rest may still belong to the others.
    for loss in sorted(_possible(prediction, told), key=lambda each: each.last - each.first):
        said = None if told is None else told.get(loss.reason.value, 0)
        most = loss.high if said is None or restarts else min(loss.high, said)
        first, last = np.searchsorted(left, (loss.first - _SLACK, loss.last + _SLACK))
        seen = min(most, int(last - first))
        explained = slice(int(first), int(first) + seen)
        left, index = np.delete(left, explained), np.delete(index, explained)
        rule, about = _KILLED if loss.reason is Loss.STOPPED and "kill" in restarts else rules[loss.reason]
        rows.append(AllowedLoss(rule, loss.reason.value, about, loss.low, loss.high, said, seen))
    return Losses(len(lost_at), tuple(sorted(rows, key=lambda row: row.rule)), prediction, index)


def _possible(prediction: Prediction, told: Mapping[str, int] | None) -> Sequence[PredictedLoss]:
    """Return the predicted losses; where nothing was predicted, what the gateway says, at any time."""
    if prediction.skipped is None:
        return prediction.losses
    return [
        PredictedLoss(Loss(reason), count, count, -np.inf, np.inf) for reason, count in (told or {}).items() if count
    ]
