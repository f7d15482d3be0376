"""Which losses the rules allow, and which they do not.

A lost event is allowed when the queue, simulated under the faults that were played, loses events for that reason at
that time, no more than it can have been, and the gateway, where it tells, says that it lost so many for that reason.
By a restart only the tail of a queue is lost: nothing that entered it before an event that was delivered. What the
endpoint discarded as a duplicate of another event was not lost by a queue at all.
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
    allows some of them the earliest count as allowed, of those lost by a restart the latest: which ones they were
    nobody can say.
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


@dataclass(frozen=True, slots=True)
class LostEvents:
    """When the requests of lost events ended (epoch seconds).

    ``queued`` tells which can have been lost by a queue, None: all. ``tails`` tells for each restart of the gateway
    which may have been in a queue, or on their way from it, when it began; none: nobody knows.
    """

    ended_at: Times
    queued: Array | None = None
    tails: Sequence[Array] = ()

    def possible(self, loss: PredictedLoss) -> Array:
        """Return where events can be among those of ``loss``, by their time and by what became of others."""
        ended = self.ended_at
        possible: Array = (ended >= loss.first - _SLACK) & (ended <= loss.last + _SLACK)
        if self.queued is not None:
            possible &= self.queued
        if loss.restart is not None and self.tails:
            possible &= self.tails[loss.restart]
        return possible


def explain(
    lost: LostEvents,
    prediction: Prediction,
    told: Mapping[str, int] | None,
    restarts: Sequence[Stop] = (),
    rules: Mapping[Loss, tuple[str, str]] = KongQueue.rules,
) -> Losses:
    """Say of each lost event whether a rule allows it; ``rules`` are the queue's.

    ``told`` is the gateway's own count of lost events by reason, None where it does not tell. What a stopped gateway
    has counted is gone with it, so that after ``restarts`` its count is no limit.
    """
    left = np.ones(len(lost.ended_at), np.bool_)
    rows: list[AllowedLoss] = []
    # What is lost in the shortest time first: the rest may still belong to the others.
    for loss in sorted(_possible(prediction, told), key=lambda each: each.last - each.first):
        said = None if told is None else told.get(loss.reason.value, 0)
        most = loss.high if said is None or restarts else min(loss.high, said)
        candidates = np.flatnonzero(left & lost.possible(loss))
        candidates = candidates[np.argsort(lost.ended_at[candidates], kind="stable")]
        # A queue that ends loses its end.
        explained = candidates[max(0, len(candidates) - most) :] if loss.reason is Loss.STOPPED else candidates[:most]
        left[explained] = False
        rule, about = rules[loss.reason]
        if loss.reason is Loss.STOPPED and _killed(loss, restarts):
            rule, about = _KILLED
        rows.append(AllowedLoss(rule, loss.reason.value, about, loss.low, loss.high, said, len(explained)))
    unexplained = np.flatnonzero(left)
    unexplained = unexplained[np.argsort(lost.ended_at[unexplained], kind="stable")]
    return Losses(len(left), tuple(sorted(rows, key=lambda row: row.rule)), prediction, unexplained)


def _killed(loss: PredictedLoss, restarts: Sequence[Stop]) -> bool:
    return "kill" in restarts if loss.restart is None else restarts[loss.restart] == "kill"


def _possible(prediction: Prediction, told: Mapping[str, int] | None) -> Sequence[PredictedLoss]:
    """Return the predicted losses; where nothing was predicted, what the gateway says, at any time."""
    if prediction.skipped is None:
        return prediction.losses
    return [
        PredictedLoss(Loss(reason), count, count, -np.inf, np.inf) for reason, count in (told or {}).items() if count
    ]
