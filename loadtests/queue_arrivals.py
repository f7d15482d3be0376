"""When events entered the queues of the gateway, as the ledger tells: one queue for each Route's plugin (BAT-1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtests.expectations import Expectation, Expectations
from loadtests.ledger import Ledger
from loadtests.queue_model import QueueModel, Times

_ROUTE = "data.route_name"
_STATUSES = 600


def queue_arrivals(directory: Path, queue: QueueModel) -> dict[str, Times]:
    """Return by Route the times, in epoch seconds, at which events were made, an entry for each event.

    An event is made when the queue's plugin meters a request that was answered, unless none is due. A queue that all
    Routes share has the name "". Raises LedgerError and ExpectationsError.
    """
    expectations = Expectations.read(directory)
    routes, of = queues_of(expectations, queue)
    places = {route: place for place, route in enumerate(routes)}
    made = np.array([len(each.events) for each in expectations], np.int64)
    due, kind = _due_tables(expectations)
    found: dict[str, list[Times]] = {route: [] for route in routes}
    for _, _, rows in Ledger.read(directory).chunks():
        answered = rows[(rows["status"] > 0) & (rows["status"] < _STATUSES)]
        answered = answered[due[kind[answered["expectation"]], answered["status"]]]
        queued = of[answered["expectation"]]
        for route, place in places.items():
            mine = answered[queued == place]
            found[route].append(np.repeat(mine[queue.metered_at], made[mine["expectation"]]))
    return {route: np.concatenate(times) if times else np.zeros(0) for route, times in found.items()}


def queues_of(expectations: Expectations, queue: QueueModel) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the names of the queues, and by expectation the place of its events' queue, -1 when it has none."""
    name = _route if not queue.shared else lambda each: ""
    routes = sorted({name(each) for each in expectations if each.events})
    return routes, np.array([routes.index(name(each)) if each.events else -1 for each in expectations], np.int64)


def _due_tables(expectations: Expectations) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Return whether events are made, by kind of expectation and status, and each expectation's kind."""
    kinds: dict[tuple[Any, ...], int] = {}
    tables: list[list[bool]] = []
    places = []
    for each in expectations:
        kind = (bool(each.events), each.status, each.rejected, each.any_answer)
        if kind not in kinds:
            kinds[kind] = len(tables)
            tables.append([each.due(status) != "none" for status in range(_STATUSES)])
        places.append(kinds[kind])
    return np.array(tables, np.bool_), np.array(places, np.int64)


def _route(expectation: Expectation) -> str:
    """Return the Route whose plugin makes the events, "" when no expected field tells."""
    fields = dict(expectation.events[0].fields)
    return str(fields.get(_ROUTE, ""))
