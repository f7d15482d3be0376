"""The log phase: after the answer is written, each finished request is handed to the metering plugins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from plugin_emulator.exchange import AiUsage, Consumer, Exchange, Request, Response
from plugin_emulator.gateway.forwarding import text_of
from plugin_emulator.gateway.snapshot import Plan

#: One finished request: ids of metering instances, plan, request headers, query, client address, start, request size,
#: status, end, response size, upstream status, Consumer, AI usage, request id. Times in seconds since the epoch,
#: sizes in bytes.
Finished = tuple[
    tuple[str, ...],
    Plan,
    list[tuple[str, str]],
    str | None,
    str,
    float,
    int,
    int,
    float,
    int,
    int | str | None,
    Consumer | None,
    AiUsage | None,
    str,
]


#: Seconds that a finished request waits for others to be logged with, and how many of them are enough.
_GATHERING = 0.005
_ENOUGH = 256


class LogPhase:
    """Collects finished requests for a few milliseconds and logs them in a row.

    So logging delays no answer (SPEC DLV-5), and costs far less than one by one among the network's work.
    """

    __slots__ = ("_finished", "_log", "_loop", "_timer")

    def __init__(self, log: Callable[[str, Exchange], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._log = log
        self._finished: list[Finished] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, finished: Finished) -> None:
        """Log this request soon."""
        self._finished.append(finished)
        if self._timer is None:
            self._timer = self._loop.call_later(_GATHERING, self.run)
        elif len(self._finished) == _ENOUGH:
            self._timer.cancel()
            self._timer = self._loop.call_later(0, self.run)

    def run(self) -> None:
        """Log everything collected."""
        finished, self._finished = self._finished, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        log = self._log
        for to, plan, headers, query, ip, start, size, status, end, sent, upstream, consumer, ai, id_ in finished:
            chain = plan.chain
            path, query = text_of(plan.path), text_of(query) if query else ""
            exchange = Exchange(
                Request(plan.method, path, headers, start, query, plan.host or None, ip or None, size),
                Response(status, end, sent),
                upstream,
                chain.exchange_route,
                chain.exchange_service,
                consumer,
                ai=ai,
                request_id=id_,
            )
            for instance in to:
                log(instance, exchange)
