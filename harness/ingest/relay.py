"""Relay mode: lanes whose requests the real ingest endpoint answers, judged and captured on the way."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.capture.record import Relayed
from harness.ingest.lanes import Arrival, Lanes, without_lane
from harness.ingest.messages import IngestRequest, Receipt
from harness.ingest.problem import problem
from harness.ingest.upstream import Upstream, UpstreamError


class Relay:
    """Passes a lane's requests on to the upstream, except those that a fault keeps from being accepted."""

    def __init__(self, lanes: Lanes, upstream: Upstream, report: Callable[[str], None]) -> None:
        """``report`` is told, once, when the upstream gives no answer, until it does again."""
        self._lanes = lanes
        self._upstream = upstream
        self._report = report
        self._failure: str | None = None

    async def receive(self, arrival: Arrival, request: IngestRequest) -> Receipt:
        """Have a request answered, and capture it with the answer; only then the host answers its client."""
        if arrival.lane is None or not arrival.fault.accepts:
            return self._lanes.receive(arrival, request)
        began = time.monotonic()
        try:
            answer = await self._upstream.pass_on(request, without_lane(request.path))
        except UpstreamError as error:
            self._tell(str(error))
            answer = problem(error.status, f"The relay got no answer: {error}", f"relay-{arrival.number}")
            relayed = Relayed(self._upstream.host, time.monotonic() - began, failure=str(error))
        else:
            self._failure = None
            relayed = Relayed(self._upstream.host, time.monotonic() - began, answer.status, len(answer.body))
        return self._lanes.witness(arrival, request, answer, relayed)

    def _tell(self, failure: str) -> None:
        if failure != self._failure:
            self._report(failure)
        self._failure = failure
