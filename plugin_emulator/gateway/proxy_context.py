"""What the client connections of one gateway share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from plugin_emulator import log_line
from plugin_emulator.exchange import AccessRequest, Exchange
from plugin_emulator.gateway.log_phase import LogPhase
from plugin_emulator.gateway.request_journal import RequestJournal
from plugin_emulator.gateway.request_reader import HeaderBlocks
from plugin_emulator.gateway.snapshot import Snapshot
from plugin_emulator.gateway.upstream import UpstreamPool
from plugin_emulator.metering_plugin import Configured


class Metering(Protocol):
    """The part of the metering runtime that a gateway uses."""

    def configure(self, instances: Mapping[str, Configured]) -> None: ...

    def access(self, instance_id: str, request: AccessRequest, go_on: Callable[[], None]) -> bool: ...

    def log(self, instance_id: str, exchange: Exchange) -> None: ...

    def keep_out(self, instance_id: str, rule: str, reason: str) -> None: ...

    def statistics(self) -> dict[str, Any]: ...

    async def stop(self, *, graceful: bool) -> int: ...


class ClosingConnection(Protocol):
    """A client connection as the server sees it.

    ``silent_since`` is since when (seconds since the epoch) the client owes a request; infinity while it is served.
    """

    @property
    def silent_since(self) -> float: ...

    def close_after_response(self) -> None:
        """Close now when idle, otherwise after the present response."""

    def close(self) -> None:
        """Close at once."""


class ProxyContext:
    """What the client connections of one gateway share. ``snapshot`` is replaced when the configuration changes.

    ``log`` is given lines for an operator; no secret is ever in them. ``journal`` is told of each request that ends.
    """

    __slots__ = (
        "_empty",
        "_log",
        "_said",
        "blocks",
        "connections",
        "journal",
        "log_phase",
        "metering",
        "requests",
        "server",
        "snapshot",
        "upstreams",
    )

    def __init__(
        self,
        snapshot: Snapshot,
        upstreams: UpstreamPool,
        metering: Metering,
        server: str,
        log: Callable[[str], None],
        journal: RequestJournal | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.journal = journal
        self.upstreams = upstreams
        self.metering = metering
        self.log_phase = LogPhase(metering.log)
        self.server = server
        self.connections: set[ClosingConnection] = set()
        self.requests = 0
        self.blocks = HeaderBlocks()
        self._empty = asyncio.Event()
        self._log = log
        self._said: set[str] = set()

    def condition_failed(self, plugin: str, instance: str, failure: str) -> None:
        """An instance's condition has no answer for a request (SPEC CND-3): said once for each kind of failure."""
        line = f"error evaluating the condition of plugin {plugin!r} (id {instance}): {failure}"
        if line not in self._said:
            self._said.add(line)
            self._log(log_line.error(f"{line}; such requests are answered with 500"))

    def opened(self, connection: ClosingConnection) -> None:
        """A client has connected."""
        self.connections.add(connection)
        self._empty.clear()

    def closed(self, connection: ClosingConnection) -> None:
        """A client's connection is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    async def wait_until_empty(self, seconds: float) -> None:
        """Wait until no client is connected, for at most ``seconds``."""
        if self.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)
