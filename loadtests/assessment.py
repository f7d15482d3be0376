"""What the files of a run and what was seen of it amount to: classes, losses and their rules, limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from loadtests.classification import MOST_EXAMPLES
from loadtests.expectations import Expectations, ExpectationsError
from loadtests.ledger import Ledger, LedgerError
from loadtests.loss import Losses, LostEvents, explain
from loadtests.matching import Array, MatchingError
from loadtests.numbers import label
from loadtests.observations import ObservationsError
from loadtests.overhead import Overhead
from loadtests.plan import LoadPlan
from loadtests.prediction import predict
from loadtests.queue_arrivals import queue_arrivals, queues_of
from loadtests.queue_model import QueueModel, queue_model
from loadtests.reconciliation import Reconciliation, ReconciliationError, reconcile
from loadtests.result import LoadReport, Surroundings
from loadtests.row_file import RowFileError
from loadtests.sending import read_pace
from loadtests.slots import TooLarge
from loadtests.stage import Observed
from loadtests.thresholds import Measured, Thresholds, judge

#: Seconds after a restart in which a client may still find that its connection is gone.
_RECONNECTED = 0.25
#: Seconds in which a gateway gets from the end of its answer to the log phase.
_LOG_PHASE = 0.005
_UNUSABLE = (
    ExpectationsError,
    LedgerError,
    MatchingError,
    ObservationsError,
    ReconciliationError,
    RowFileError,
    TooLarge,
)


class NoAccountError(RuntimeError):
    """The requests cannot be accounted for. The message is one line with the reason."""


def assess(
    directory: Path,
    plan: LoadPlan,
    thresholds: Thresholds,
    observed: Observed,
    surroundings: Surroundings,
    overhead: Overhead | None,
) -> LoadReport:
    """Account for every request of the run in ``directory`` and judge it. Raises NoAccountError."""
    queue = queue_model(plan)
    bound = queue.latency_bound(observed.round_trip)
    try:
        found = reconcile(
            directory,
            late_after=bound,
            clock_tolerance=observed.clock_tolerance,
            stops=[restart.began_at for restart in observed.restarts],
        )
    except _UNUSABLE as error:
        raise NoAccountError(str(error)) from None
    if not any(status for status in found.answers):
        raise NoAccountError("the gateway has not answered a single request: there is nothing to account for")
    losses = _losses(directory, observed, queue, found)
    pace, unanswered = read_pace(directory), _unanswered(found, observed)
    unexplained = np.unique(found.lost["place"][losses.unexplained])
    measured = Measured(
        requests=found.requests,
        due=found.events.due,
        lost_not_allowed=losses.not_allowed,
        charged_twice=found.events.charged_again,
        wrong=max(found.classes["wrong"], found.events.wrong),
        billed_though_dropped=found.classes["billed_though_dropped"] + found.strangers.billed_for_nothing,
        unanswered=unanswered,
        billable=found.billable,
        billing_latency_p99=found.latency.get("p99"),
        overhead=None if overhead is None else overhead.judged,
        rate=observed.rate(found.requests),
        sent_share=pace.share,
    )
    return LoadReport(
        plan=plan,
        surroundings=surroundings,
        observed=observed,
        found=found,
        losses=losses,
        not_allowed=_numbers(directory, unexplained[:MOST_EXAMPLES]),
        requests_not_allowed=len(unexplained),
        overhead=overhead,
        bound=bound,
        verdicts=judge(thresholds, measured),
        pace=pace,
        unanswered=unanswered,
    )


def _numbers(directory: Path, places: Array) -> tuple[str, ...]:
    """Return the numbers of the requests at ``places`` of the run's ledger."""
    ledger = Ledger.read(directory)
    rows = (ledger.row(place) for place in places.tolist())
    return tuple(label(ledger.run, worker, n) for worker, n, _ in rows)


def _unanswered(found: Reconciliation, observed: Observed) -> int:
    """Return how many requests were not answered as expected although the gateway was not being restarted."""
    began, ended = found.unanswered.T
    explained = np.zeros(len(began), np.bool_)
    for restart in observed.restarts:
        explained |= (began <= restart.ended_at + _RECONNECTED) & (ended >= restart.began_at)
    return int(np.count_nonzero(~explained))


def _losses(directory: Path, observed: Observed, queue: QueueModel, found: Reconciliation) -> Losses:
    prediction = predict(
        list(queue_arrivals(directory, queue).values()),
        queue,
        [fault.window() for fault in observed.faults],
        [restart.window() for restart in observed.restarts],
        round_trip=observed.round_trip,
    )
    lost = LostEvents(found.lost["ended_at"], ~found.lost["discarded"], _tails(directory, observed, queue, found))
    stops = [restart.how for restart in observed.restarts]
    return explain(lost, prediction, observed.told, stops, queue.rules)


def _tails(directory: Path, observed: Observed, queue: QueueModel, found: Reconciliation) -> list[Array]:
    """Return by restart which lost events may have been in a queue when it began.

    That is none whose request was over before another one began whose event was delivered, of the same queue. An
    event enters its queue a moment after its request's end.
    """
    names, of = queues_of(Expectations.read(directory), queue)
    queues = of[found.lost["expectation"]]
    tails = []
    for restart, delivered in zip(observed.restarts, found.delivered, strict=True):
        tail = found.lost["started_at"] <= restart.ended_at
        if queue.in_order:
            latest = np.array([delivered[of == place].max(initial=-np.inf) for place in range(len(names))])
            tail &= found.lost["ended_at"] + _LOG_PHASE >= latest[queues]
        tails.append(tail)
    return tails
