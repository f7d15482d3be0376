"""Billing latencies and batch sizes while they happen, for those who watch a load. Approximate: see ``LiveFeed``."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web

from harness.capture.record import CapturedRequest
from harness.ingest.messages import Receipt
from loadtests.plugins.metering_and_billing import EVENTS

#: Where the control interface answers with it.
PATH = "/load/latencies"

#: At least the last so many samples are kept for those who ask late, and at most twice as many.
_KEPT = 100_000
#: Events of a batch that are looked at; each stands for its part of the batch.
_LOOKED_AT = 4
_TAKEN = frozenset({"accepted", "duplicate"})


class LiveFeed:
    """Collects from each delivery what the billing latency of its events is, as nearly as the events tell.

    An event's own time is within its request (EVT-4), so that the request's duration may be counted in, and of a
    large batch some events stand for all. The report's latencies run from the request's end in the ledger, exactly.
    """

    def __init__(self, kept: int = _KEPT, time_of: Callable[[Any], float | None] = EVENTS.time) -> None:
        """``time_of`` returns an event's own time in epoch seconds, None when it cannot be told."""
        self._kept = kept
        self._time_of = time_of
        self._first = 0
        self._latencies = array("d")
        self._weights = array("I")
        self._batches = array("I")
        self._service_seconds = 0.0
        self._services = 0

    def observe(self, record: CapturedRequest, receipt: Receipt, now: float) -> None:
        """Take in a delivery that has been decided on at ``now`` (epoch seconds); not one that is not accepted."""
        if record.status is not None and record.status >= 300:
            return
        self._service_seconds += max(0.0, now - record.arrived_at)
        self._services += 1
        events = receipt.events
        size = len(events)
        if not size or not any(verdict.verdict in _TAKEN for verdict in receipt.verdicts[:1]):
            return
        looked_at = min(size, _LOOKED_AT)
        for part in range(looked_at):
            began, ended = part * size // looked_at, (part + 1) * size // looked_at
            made_at = self._time_of(events[(began + ended) // 2])
            if made_at is not None:
                self._latencies.append(max(0.0, record.arrived_at - made_at))
                self._weights.append(ended - began)
                self._batches.append(size if part == 0 else 0)
        if len(self._latencies) > 2 * self._kept:
            self._forget(len(self._latencies) - self._kept)

    def page(self, after: int) -> dict[str, Any]:
        """Return what is new since ``after`` (0, or the ``next`` of the last page), added up by value.

        Latencies are in seconds, to the millisecond.
        """
        start = min(max(0, after - self._first), len(self._latencies))
        latencies: Counter[float] = Counter()
        for latency, weight in zip(self._latencies[start:], self._weights[start:], strict=True):
            latencies[round(latency, 3)] += weight
        batches = Counter(size for size in self._batches[start:] if size)
        return {
            "next": self._first + len(self._latencies),
            "approximate": True,
            "latencies": sorted(latencies.items()),
            "batches": sorted(batches.items()),
            "mean_service_seconds": self._service_seconds / self._services if self._services else None,
        }

    def route(self) -> web.RouteDef:
        """Return the route at which a control server answers with pages: ``GET /load/latencies?after=<n>``."""
        return web.get(PATH, self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        if not (after.isascii() and after.isdigit()):
            return web.json_response({"errors": ["after is a whole number from 0"]}, status=400)
        return web.json_response(self.page(int(after)))

    def _forget(self, count: int) -> None:
        for kept in (self._latencies, self._weights, self._batches):
            del kept[:count]
        self._first += count
