"""The gateway process: listeners, configuration changes, graceful and fast stop."""

from __future__ import annotations

import asyncio
import math
import os
import re
from collections.abc import Callable, Mapping
from time import time
from typing import Any

from plugin_emulator.documents import InvalidDocument, Problem
from plugin_emulator.gateway.admin import AdminActions, AdminApi
from plugin_emulator.gateway.echo import echo
from plugin_emulator.gateway.entities import GatewayState
from plugin_emulator.gateway.entity_endpoints import new_key
from plugin_emulator.gateway.forwarding import RequestHeaders
from plugin_emulator.gateway.http1 import RequestLine
from plugin_emulator.gateway.http_service import Handler, ServiceConnection
from plugin_emulator.gateway.node_status import Traffic
from plugin_emulator.gateway.proxy import KEEPALIVE_TIMEOUT, ClientConnection
from plugin_emulator.gateway.proxy_context import Metering, ProxyContext
from plugin_emulator.gateway.request_journal import RequestJournal
from plugin_emulator.gateway.snapshot import Snapshot
from plugin_emulator.gateway.state_file import load_state
from plugin_emulator.gateway.upstream import UpstreamPool
from plugin_emulator.gateway_versions import NEWEST_GATEWAY
from plugin_emulator.journal import Observer
from plugin_emulator.log_line import DEFAULT_LOG_LEVEL

_SWEEP_EVERY = 5.0
#: Seconds a graceful stop waits for requests under way.
DRAIN_TIMEOUT = 10.0
_BACKLOG = 4096


class Gateway:
    """An emulated Kong gateway.

    ``proxy_port`` and ``admin_port`` 0 take a free port; ``admin_port`` None means no Admin API, which listens on
    ``admin_host`` (None: where the proxy does). With ``echo_upstream`` every Service's requests go to a built-in
    upstream that answers with what it was sent. ``gateway`` is a known version such as ``3.16``; ``environ`` resolves
    the vault references of configurations that come by the Admin API, whose entities are read-only with ``db_less``.
    ``log`` is given lines for an operator, of any level; no secret is ever in them. ``log_level`` is the one from
    which they are shown, which the Admin API tells. ``observe`` is told of configurations and of each request that
    ends; what becomes of its events is the runtime's to tell.
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
        log_level: str = DEFAULT_LOG_LEVEL,
        log: Callable[[str], None] = lambda line: None,
        observe: Observer | None = None,
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
        self._log_level = log_level
        self._log = log
        self._journal = None if observe is None else RequestJournal(observe)
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
        #: connections to proxy and Admin API since the start; those to the Admin API that are open
        self._accepted = 0
        self._callers: set[ServiceConnection] = set()

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
                server = await self._serve(self._service(echo), "127.0.0.1", 0)
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
                    echo_upstream=self._echo_wanted,
                    log_level=self._log_level,
                )
                admin_server = await self._serve(
                    self._service(admin.handle, self._callers), self._admin_host, admin_port
                )
                self._admin_port = _port(admin_server)
            server = await self._serve(self._connection, self._host, proxy_port)
            self._proxy_port = _port(server)
            snapshot = self._compile(self._state)
            self._context = ProxyContext(
                snapshot, self._upstreams, self._runtime, self._server, self._log, self._journal
            )
            self._runtime.configure(snapshot.metering)
            if self._journal is not None:
                self._journal.started(self._version)
                self._journal.configured(self._state)
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
        await self._put_into_effect(state)
        if self._admin is not None:
            self._admin.follow(state)

    async def _put_into_effect(self, state: GatewayState) -> None:
        assert self._context is not None
        snapshot = self._compile(state)
        self._context.log_phase.run()  # what is finished was metered as configured until now
        self._runtime.configure(snapshot.metering)
        self._context.snapshot = snapshot
        self._state = state
        if self._journal is not None:
            self._journal.configured(state)

    async def stop(self, *, graceful: bool) -> int:
        """Stop; return how many queued events were lost by it (SPEC LIF-2).

        Graceful lets requests under way finish (for up to ten seconds) and drains the queues; otherwise everything
        under way is cut off.
        """
        lost = await self._stop(graceful=graceful)
        if self._journal is not None:
            self._journal.stopped(lost)
        return lost

    async def _stop(self, *, graceful: bool) -> int:
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

    def _traffic(self) -> Traffic:
        assert self._context is not None
        clients = self._context.connections
        # Every caller of the Admin API waits for an answer, and so do the clients that owe the proxy no request.
        writing = len(self._callers) + sum(client.silent_since == math.inf for client in clients)
        return Traffic(self._context.requests, self._accepted, len(self._callers) + len(clients), writing)

    def _connection(self) -> ClientConnection:
        assert self._context is not None
        self._accepted += 1
        return ClientConnection(self._context)

    def _actions(self) -> AdminActions:
        return AdminActions(
            load=lambda document: load_state(document, environ=self._environ, gateway=self._gateway, new_key=new_key),
            apply=self._put_into_effect,
            statistics=self._statistics,
            traffic=self._traffic,
            log=self._log,
        )

    def _service(
        self, handler: Handler, callers: set[ServiceConnection] | None = None
    ) -> Callable[[], ServiceConnection]:
        """Return what makes connections to ``handler``; with ``callers``, where they are kept, they count."""
        kept: dict[bytes, tuple[RequestLine, RequestHeaders]] = {}
        open_now = set() if callers is None else callers

        def connection() -> ServiceConnection:
            self._accepted += callers is not None
            return ServiceConnection(handler, kept, open_now)

        return connection

    async def _serve(self, connection: Callable[[], asyncio.Protocol], host: str, port: int) -> asyncio.Server:
        """Take hold of a port; nothing is answered on it yet. Raises OSError."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(connection, host, port, backlog=_BACKLOG, start_serving=False)
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
