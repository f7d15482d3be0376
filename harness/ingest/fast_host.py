"""Puts the lanes on the network with asyncio, uvloop and httptools: for load, where mitmproxy costs too much.

It decides, captures and acts out faults as the mitmproxy host does. One difference can be seen from outside: the
fault ``reset`` sends a TCP reset, where mitmproxy closes in good order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from harness.ingest.fast_connection import Connection
from harness.ingest.host import PortError, Receiver, Report
from harness.ingest.http_exchange import Limits

_LONGEST_GOODBYE = 2.0  # seconds for open connections to end at a stop
_BACKLOG = 1024


class FastHost:
    """The server's side of all connections: what they share, and the look for clients that are overdue."""

    def __init__(self, receiver: Receiver, report: Report, limits: Limits) -> None:
        self.receiver = receiver
        self.report = report
        self.limits = limits
        self.connections: set[Connection] = set()
        self.now = time.monotonic()
        times = (limits.idle, limits.head_time, limits.body_time, limits.goodbye)
        self._interval = min(1.0, min(times) / 4)

    def connection(self) -> Connection:
        """Return the protocol for a new client."""
        return Connection(self)

    async def look_for_overdue(self) -> None:
        """End connections whose clients are overdue, until cancelled. Times are kept no finer than this looks."""
        while True:
            await asyncio.sleep(self._interval)
            self.now = time.monotonic()
            for connection in list(self.connections):
                connection.look()

    async def hang_up(self) -> None:
        """Close the connections that are open."""
        end = time.monotonic() + _LONGEST_GOODBYE
        while self.connections and time.monotonic() < end:
            for connection in list(self.connections):
                connection.abort()
            await asyncio.sleep(0.001)


async def serve(
    lanes: Receiver,
    host: str,
    port: int,
    stop: asyncio.Event,
    ready: Callable[[int], Awaitable[None]],
    report: Report,
    limits: Limits | None = None,
) -> None:
    """Serve ``lanes`` on ``host``:``port`` (0: any free port) until ``stop`` is set; best on uvloop.

    ``ready`` is awaited with the port once requests are taken; ``report`` gets one-line messages for the operator.
    Raises PortError when the port cannot be had.
    """
    fast = FastHost(lanes, report, limits or Limits())
    try:
        server = await asyncio.get_running_loop().create_server(fast.connection, host, port, backlog=_BACKLOG)
    except OSError as error:
        raise PortError.of(host, port, error) from None
    looking = asyncio.create_task(fast.look_for_overdue())
    try:
        await ready(int(server.sockets[0].getsockname()[1]))
        await stop.wait()
    finally:
        looking.cancel()
        server.close()
        await fast.hang_up()
