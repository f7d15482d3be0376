"""The log phase: after the answer is written, each finished request is handed to the metering plugin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from plugin_emulator.exchange import Consumer, Exchange, Request, Response
from plugin_emulator.gateway.snapshot import Plan

#: One finished request: instance id, plan, request headers, query, client address, start, request size, status, end,
#: response size, upstream status, Consumer. Times in seconds since the epoch, sizes in bytes.
Finished = tuple[
    str,
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
]


class LogPhase:
    """Collects finished requests and logs them at the event loop's next turn.

    By then the loop has written out the answers of this turn, so logging delays none of them (SPEC DLV-5).
    """

    __slots__ = ("_finished", "_log", "_loop")

    def __init__(self, log: Callable[[str, Exchange], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._log = log
        self._finished: list[Finished] = []

    def add(self, finished: Finished) -> None:
        """Log this request soon."""
        if not self._finished:
            self._loop.call_soon(self.run)
        self._finished.append(finished)

    def run(self) -> None:
        """Log everything collected."""
        finished, self._finished = self._finished, []
        log = self._log
        for instance, plan, headers, query, ip, start, size, status, end, sent, upstream_status, consumer in finished:
            chain = plan.chain
            log(
                instance,
                Exchange(
                    Request(plan.method, plan.path, headers, start, query or "", plan.host or None, ip or None, size),
                    Response(status, end, sent),
                    upstream_status,
                    chain.exchange_route,
                    chain.exchange_service,
                    consumer,
                ),
            )
