"""The gateway process: listeners, configuration changes, graceful and fast stop."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from time import time
from typing import Any, Protocol

from plugin_emulator.documents import InvalidDocument, Problem
from plugin_emulator.exchange import Exchange
from plugin_emulator.gateway.admin import AdminActions, AdminApi
from plugin_emulator.gateway.echo import echo
from plugin_emulator.gateway.entities import GatewayState
from plugin_emulator.gateway.entity_endpoints import new_key
from plugin_emulator.gateway.forwarding import RequestHeaders
from plugin_emulator.gateway.http1 import RequestLine
from plugin_emulator.gateway.http_service import Handler, ServiceConnection
from plugin_emulator.gateway.log_phase import LogPhase
from plugin_emulator.gateway.proxy import KEEPALIVE_TIMEOUT, ClientConnection
from plugin_emulator.gateway.proxy_context import ProxyContext
from plugin_emulator.gateway.snapshot import Snapshot
from plugin_emulator.gateway.state_file import load_state
from plugin_emulator.gateway.upstream import UpstreamPool
from plugin_emulator.metering_and_billing.config import NEWEST_GATEWAY, MeteringConfig

_SWEEP_EVERY = 5.0
#: Seconds a graceful stop waits for requests under way.
DRAIN_TIMEOUT = 10.0
_BACKLOG = 4096


class Metering(Protocol):
    """The part of the metering runtime that a gateway uses."""

    def configure(self, instances: Mapping[str, MeteringConfig]) -> None: ...

    def log(self, instance_id: str, exchange: Exchange) -> None: ...

    def keep_out(self, instance_id: str, rule: str, reason: str) -> None: ...

    def statistics(self) -> dict[str, Any]: ...

    async def stop(self, *, graceful: bool) -> int: ...


class Gateway:
    """An emulated Kong gateway.

    ``proxy_port`` and ``admin_port`` 0 take a free port; ``admin_port`` None means no Admin API, which listens on
    ``admin_host`` (None: where the proxy does). With ``echo_upstream`` every Service's requests go to a built-in
    upstream that answers with what it was sent. ``gateway`` is a known version such as ``3.16``; ``environ`` resolves
    the vault references of configurations that come by the Admin API, whose entities are read-only with ``db_less``.
    ``log`` is given lines for an operator; no secret is ever in them.
    """

    def __init__(
        self,
        state: GatewayState,
        runtime: Metering,
        *,
        host: str = "127.0.0.1",
        proxy_port: int = 0,
        admin_port: int | None = None,
        admin_host: str | None = None,
        echo_upstream: bool = False,
        gateway: str = NEWEST_GATEWAY,
        environ: Mapping[str, str] = os.environ,
        db_less: bool = False,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._state = state
        self._runtime = runtime
        self._host = host
        self._admin_host = admin_host or host
        self._ports = (proxy_port, admin_port)
        self._echo_wanted = echo_upstream
        self._gateway = gateway
        self._environ = environ
        self._db_less = db_less
        self._log = log
        self._version = f"{gateway}.0"
        self._server = f"kong/{self._version}"
        self._servers: list[asyncio.Server] = []
        self._context: ProxyContext | None = None
        self._upstreams: UpstreamPool | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._echo: tuple[str, int] | None = None
        self._proxy_port = 0
        self._admin_port: int | None = None
        self._admin: AdminApi | None = None

    @property
    def proxy_url(self) -> str:
        """URL of the proxy listener; only once started."""
        return _url(self._host, self._proxy_port)

    @property
    def admin_url(self) -> str | None:
        """URL of the Admin API, None without one; only once started."""
        return None if self._admin_port is None else _url(self._admin_host, self._admin_port)

    async def start(self) -> None:
        """Begin to serve.

        Raises OSError when a port cannot be had, InvalidDocument for a state that cannot be served; then nothing is
        left open.
        """
        loop = asyncio.get_running_loop()
        # reserved first, and unused until everything else stands: a failure must leave nothing half started
        try:
            self._upstreams = UpstreamPool(self._server, f"1.1 {self._server}")
            proxy_port, admin_port = self._ports
            if self._echo_wanted:
                server = await self._serve_handler(echo, "127.0.0.1", 0)
                await server.start_serving()
                self._echo = ("127.0.0.1", _port(server))
            admin_server: asyncio.Server | None = None
            if admin_port is not None:
                self._admin = admin = AdminApi(
                    self._actions(),
                    self._state,
                    gateway=self._gateway,
                    environ=self._environ,
                    database=not self._db_less,
                )
                admin_server = await self._serve_handler(admin.handle, self._admin_host, admin_port)
                self._admin_port = _port(admin_server)
            server = await loop.create_server(
                self._connection, self._host, proxy_port, backlog=_BACKLOG, start_serving=False
            )
            self._servers.append(server)
            self._proxy_port = _port(server)
            snapshot = self._compile(self._state)
            log_phase = LogPhase(self._runtime.log, self._runtime.keep_out)
            self._context = ProxyContext(snapshot, self._upstreams, log_phase, self._server, self._log)
            self._runtime.configure(snapshot.metering)
            await server.start_serving()
            if admin_server is not None:  # last: whoever asks it whether the gateway is up is told the truth
                await admin_server.start_serving()
        except BaseException:
            await self._close_listeners()
            if self._upstreams:
                self._upstreams.close()
            raise
        self._sweeper = loop.call_later(_SWEEP_EVERY, self._sweep)

    async def apply(self, state: GatewayState) -> None:
        """Put ``state`` into effect for every request that begins from now on; queued events stay (SPEC LIF-3).

        Raises InvalidDocument, with nothing changed, when it cannot be served.
        """
        await self._serve(state)
        if self._admin is not None:
            self._admin.follow(state)

    async def _serve(self, state: GatewayState) -> None:
        assert self._context is not None
        snapshot = self._compile(state)
        self._context.log_phase.run()  # what is finished was metered as configured until now
        self._runtime.configure(snapshot.metering)
        self._context.snapshot = snapshot
        self._state = state

    async def stop(self, *, graceful: bool) -> int:
        """Stop; return how many queued events were lost by it (SPEC LIF-2).

        Graceful lets requests under way finish (for up to ten seconds) and drains the queues; otherwise everything
        under way is cut off.
        """
        await self._close_listeners()
        if self._sweeper:
            self._sweeper.cancel()
        context = self._context
        if context is not None:
            if graceful:
                for connection in list(context.connections):
                    connection.close_after_response()
                await context.wait_until_empty(DRAIN_TIMEOUT)
            for connection in list(context.connections):
                connection.close()
            await context.wait_until_empty(1.0)
            context.log_phase.run()
        if self._upstreams:
            self._upstreams.close()
        return await self._runtime.stop(graceful=graceful)

    def _statistics(self) -> dict[str, Any]:
        if self._context is not None:
            self._context.log_phase.run()
        return self._runtime.statistics()

    def _compile(self, state: GatewayState) -> Snapshot:
        try:
            before = self._context.snapshot if self._context else None
            return Snapshot(state, via=self._server, proxy_port=self._proxy_port, upstream=self._echo, before=before)
        except re.error as error:
            hint = "the router takes the syntax of Python's re and Rust's regex alike"
            raise InvalidDocument(
                [Problem(f"a regular expression of a Route cannot be used: {error}", ("routes",), hint)]
            ) from None

    def _connection(self) -> ClientConnection:
        assert self._context is not None
        return ClientConnection(self._context)

    def _actions(self) -> AdminActions:
        return AdminActions(
            load=lambda document: load_state(document, environ=self._environ, gateway=self._gateway, new_key=new_key),
            apply=self._serve,
            statistics=self._statistics,
            requests=lambda: self._context.requests if self._context else 0,
            connections=lambda: len(self._context.connections) if self._context else 0,
            log=self._log,
        )

    async def _serve_handler(self, handler: Handler, host: str, port: int) -> asyncio.Server:
        kept: dict[bytes, tuple[RequestLine, RequestHeaders]] = {}
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: ServiceConnection(handler, kept), host, port, backlog=_BACKLOG, start_serving=False
        )
        self._servers.append(server)
        return server

    async def _close_listeners(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    def _sweep(self) -> None:
        """Close client connections that have been silent for too long."""
        assert self._context is not None
        oldest = time() - KEEPALIVE_TIMEOUT
        for connection in list(self._context.connections):
            if connection.silent_since < oldest:
                connection.close()
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_EVERY, self._sweep)


def _port(server: asyncio.Server) -> int:
    port = server.sockets[0].getsockname()[1]
    assert isinstance(port, int)
    return port


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
