"""How long a POST takes, where the gateway does not tell: from one delivery to the next of a queue with a backlog.

A queue that sends one batch after the other (BAT-7) and has the next one together sends it as soon as the answer to
the last one is there. What lies between the arrivals of the two is the endpoint's time and the way there and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtests.arrivals import Arrivals
from loadtests.ledger import Ledger
from loadtests.request_facts import RequestFacts

#: Seconds after a request's end in which its event may still be on its way into the queue.
_INTO_THE_QUEUE = 0.05
#: So few gaps may be chance.
_FEWEST = 3
_ROUTE_ID = "data.route_id"
_CHUNK = 1 << 16

Array = npt.NDArray[Any]


def round_trip(directory: Path, batch_size: int, disturbed: Sequence[tuple[float, float]]) -> float | None:
    """Return how long a POST took, in seconds: the median; None when no queue had a backlog for long enough.

    ``directory`` is that of the run, ``disturbed`` are times (epoch seconds) in which something was wrong on purpose.
    Raises LedgerError, RowFileError and ObservationsError.
    """
    ledger, arrivals = Ledger.read(directory), Arrivals.read(directory)
    posts = arrivals.deliveries.read(0, arrivals.deliveries.rows)
    together, queue = _batches(ledger, arrivals, len(posts))
    undisturbed = (posts["status"] >= 200) & (posts["status"] < 300)
    for began, ended in disturbed:
        undisturbed &= (posts["arrived_at"] < began) | (posts["arrived_at"] > ended)
    gaps = []
    for one in np.unique(queue[queue >= 0]).tolist():
        mine = np.flatnonzero(queue == one)
        before, after = mine[:-1], mine[1:]
        at = posts["arrived_at"][before]
        waited = (posts["entries"][after] == batch_size) & (together[after] + _INTO_THE_QUEUE < at)
        chosen = waited & undisturbed[before] & undisturbed[after]
        gaps.append((posts["arrived_at"][after] - at)[chosen])
    found = np.concatenate(gaps) if gaps else np.zeros(0)
    return float(np.median(found)) if len(found) >= _FEWEST else None


def _batches(ledger: Ledger, arrivals: Arrivals, posts: int) -> tuple[Array, Array]:
    """Return by POST when the last of its events was made, and the number of its queue, -1 for one without events."""
    facts, queues = RequestFacts(ledger), _queues(arrivals)
    requests = np.zeros(1 << 16, np.int64)
    for worker in ledger.workers:
        requests[worker.worker] = worker.rows
    together, queue = np.full(posts, -np.inf), np.full(posts, -1, np.int64)
    for _, rows in arrivals.events.chunks(_CHUNK):
        rows = rows[rows["n"] < requests.take(rows["worker"])]
        _, _, ended = facts.of(rows["worker"], rows["n"])
        np.maximum.at(together, rows["delivery"], ended)
        queue[rows["delivery"]] = queues.take(rows["observation"])
    return together, queue


def _queues(arrivals: Arrivals) -> Array:
    """Return by observation a number of the queue that it came from: each Route's plugin has its own (BAT-1)."""
    watched = arrivals.observations.watched
    place = watched.index(_ROUTE_ID) if _ROUTE_ID in watched else None
    known: dict[str, int] = {}
    names = ("" if place is None else str(seen.values[place]) for seen in arrivals.observations.items)
    return np.array([known.setdefault(name, len(known)) for name in names] or [0], np.int64)
