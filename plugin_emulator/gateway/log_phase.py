"""The log phase: after the answer is written, each finished request is handed to the metering plugin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from plugin_emulator.exchange import Consumer, Exchange, Request, Response
from plugin_emulator.gateway.forwarding import text_of
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


#: Logged together at the most; a client that waits for its own event waits no longer for that.
_MOST = 64


class LogPhase:
    """Collects finished requests and logs them when the event loop has nothing more urgent.

    Answers of the present turn of the loop go out first, so logging delays none of them (SPEC DLV-5). While further
    requests finish from turn to turn, up to 64 are collected: logged in a row they cost far less than one by one
    among the network's work.
    """

    __slots__ = ("_finished", "_log", "_loop", "_seen")

    def __init__(self, log: Callable[[str, Exchange], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._log = log
        self._finished: list[Finished] = []
        self._seen = 0

    def add(self, finished: Finished) -> None:
        """Log this request soon."""
        if not self._finished:
            self._loop.call_soon(self._turn)
        self._finished.append(finished)

    def _turn(self) -> None:
        count = len(self._finished)
        if self._seen < count < _MOST:
            self._seen = count
            self._loop.call_soon(self._turn)
        else:
            self.run()

    def run(self) -> None:
        """Log everything collected."""
        finished, self._finished = self._finished, []
        self._seen = 0
        log = self._log
        for instance, plan, headers, query, ip, start, size, status, end, sent, upstream_status, consumer in finished:
            chain = plan.chain
            path, query = text_of(plan.path), text_of(query) if query else ""
            log(
                instance,
                Exchange(
                    Request(plan.method, path, headers, start, query, plan.host or None, ip or None, size),
                    Response(status, end, sent),
                    upstream_status,
                    chain.exchange_route,
                    chain.exchange_service,
                    consumer,
                ),
            )
