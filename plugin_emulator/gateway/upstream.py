"""Connections to upstreams: kept alive and pooled, one request at a time on each."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Protocol, cast

from plugin_emulator.gateway.deadlines import NEVER, Deadlines
from plugin_emulator.gateway.forwarding import ResponseHeaders
from plugin_emulator.gateway.http1 import ChunkedReader, MessageError, ResponseError, head_end
from plugin_emulator.gateway.snapshot import Endpoint

#: How many idle connections to one upstream are kept, and for how long (seconds).
MAX_IDLE = 512
IDLE_TIMEOUT = 60.0
_MAX_RESPONSE_HEAD = 65536
_MAX_KEPT_HEADS = 1024
_NO_BODY = frozenset((204, 304))


class Requester(Protocol):
    """Whoever sent a request over an upstream connection.

    Calls come in the order below; ``upstream_failed`` may come at any time, and is the last one.
    """

    def upstream_answered(self, headers: ResponseHeaders, body: bytes, complete: bool) -> None:
        """Head and first part of the body; ``complete`` when that is all of it."""

    def upstream_sent(self, body: bytes, complete: bool) -> None:
        """More of the body."""

    def upstream_failed(self, status: int, retry: bool) -> None:
        """No (complete) response: ``status`` is 502 or 504; ``retry`` when another try may help."""


class UpstreamConnection(asyncio.Protocol):
    """One connection to an upstream."""

    __slots__ = (
        "_chunked",
        "_headers",
        "_method",
        "_pending",
        "_pool",
        "_remaining",
        "_requester",
        "_transport",
        "deadline",
        "endpoint",
        "idle_since",
        "reused",
    )

    def __init__(self, pool: UpstreamPool, endpoint: Endpoint) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._requester: Requester | None = None
        self._pending = b""
        self._headers: ResponseHeaders | None = None
        self._chunked: ChunkedReader | None = None
        self._remaining: int | None = 0
        self._method = ""
        self.endpoint = endpoint
        self.deadline = NEVER
        self.idle_since = 0.0
        #: whether the present request is not the first one on this connection
        self.reused = False

    @property
    def open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, requester: Requester, method: str, request: bytes) -> None:
        """Send a whole request; its response goes to ``requester``."""
        assert self._transport is not None
        self._requester = requester
        self._method = method
        self._headers = None
        self._transport.write(request)
        self._await_more()

    def abandon(self) -> None:
        """Close the connection; its requester hears no more of it."""
        self._requester = None
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Read no more until ``resume``: the client is slow. The upstream is not to blame for that time."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            self.deadline = NEVER

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self._await_more()

    def expire(self) -> None:
        """Give up: a time-out has passed."""
        requester, self._requester = self._requester, None
        if self._transport is not None:
            self._transport.abort()
        if requester:
            requester.upstream_failed(504, True)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._pool.deadlines.members.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.forget(self)
        self._transport = None
        requester, self._requester = self._requester, None
        if requester:
            if self._headers is not None and self._remaining is None and self._chunked is None and exc is None:
                requester.upstream_sent(b"", True)  # a body that ends with its connection
            else:
                requester.upstream_failed(502, True)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.deadline = self._pool.loop.time() + self.endpoint.write_timeout
        self._pool.deadlines.expect(self.deadline)

    def resume_writing(self) -> None:
        if self._requester:
            self._await_more()

    def data_received(self, data: bytes) -> None:
        requester = self._requester
        if requester is None:  # nobody asked
            self.abandon()
            return
        if self._headers is not None:
            self._body(requester, data)
            return
        if self._pending:
            data = self._pending + data
        while True:
            end = data.find(b"\r\n\r\n") + 4
            if end == 3:
                end = head_end(data)
            if end < 0:
                self._pending = data
                if len(data) > _MAX_RESPONSE_HEAD:
                    self._invalid(requester)
                return
            raw = data[:end]
            headers = self._pool.heads.get(raw)
            if headers is None:
                try:
                    headers = self._pool.parse_head(raw)
                except ResponseError:
                    self._invalid(requester)
                    return
            data = data[end:]
            if headers.head.status >= 200:
                break
            if headers.head.status == 101:  # no request of ours asks for it
                self._invalid(requester)
                return
        self._pending = b""
        self._headers = headers
        head = headers.head
        if self._method == "HEAD" or head.status in _NO_BODY:
            self._remaining = 0
        elif head.chunked:
            self._chunked = ChunkedReader()
            self._remaining = None
        else:
            self._remaining = head.content_length
            if self._remaining is not None and len(data) == self._remaining:  # the usual case: all in one piece
                self._finish(b"")
                requester.upstream_answered(headers, data, True)
                return
        body, complete = self._decode(data)
        if body is None:
            self._invalid(requester)
        else:
            requester.upstream_answered(headers, body, complete)

    def _body(self, requester: Requester, data: bytes) -> None:
        body, complete = self._decode(data)
        if body is None:
            self._invalid(requester)
        else:
            requester.upstream_sent(body, complete)

    def _decode(self, data: bytes) -> tuple[bytes | None, bool]:
        """Return the body in ``data`` (None: malformed) and whether the response is complete with it."""
        if self._chunked is not None:
            try:
                data = self._chunked.feed(data)
            except MessageError:
                return None, False
            complete = self._chunked.done
            rest = self._chunked.rest
        elif self._remaining is None:
            complete, rest = False, b""
        else:
            data, rest = data[: self._remaining], data[self._remaining :]
            self._remaining -= len(data)
            complete = not self._remaining
        if complete:
            self._finish(rest)
        else:
            self._await_more()
        return data, complete

    def _finish(self, rest: bytes) -> None:
        """The response is complete: back into the pool, unless the upstream closes or sent more than it said."""
        assert self._headers is not None
        self._requester = None
        self._chunked = None
        self.deadline = NEVER
        if rest or not self._headers.head.keep_alive or self._transport is None or self._transport.is_closing():
            self.abandon()
        else:
            self._pool.release(self)

    def _invalid(self, requester: Requester) -> None:
        self.abandon()
        requester.upstream_failed(502, False)

    def _await_more(self) -> None:
        self.deadline = deadline = self._pool.loop.time() + self.endpoint.read_timeout
        self._pool.deadlines.expect(deadline)


class UpstreamPool:
    """All upstream connections of a gateway. ``server`` and ``via`` are the gateway's names in response headers."""

    def __init__(
        self,
        server: str,
        via: str,
        connection: Callable[[UpstreamPool, Endpoint], UpstreamConnection] = UpstreamConnection,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.deadlines = Deadlines(self.loop)
        self.heads: dict[bytes, ResponseHeaders] = {}
        self._server = server
        self._via = via
        self._connection = connection
        self._idle: dict[Endpoint, list[UpstreamConnection]] = {}
        self._tls: ssl.SSLContext | None = None
        self._sweeper = self.loop.call_later(IDLE_TIMEOUT / 4, self._sweep)

    def idle(self, endpoint: Endpoint) -> UpstreamConnection | None:
        """Return a connection that waits for a request, or None."""
        waiting = self._idle.get(endpoint)
        while waiting:
            connection = waiting.pop()
            if connection.open:
                connection.reused = True
                return connection
        return None

    async def connect(self, endpoint: Endpoint) -> UpstreamConnection:
        """Open a connection. Raises OSError, TimeoutError after the Service's connect time-out."""
        context = self._tls_context() if endpoint.server_name else None
        async with asyncio.timeout(endpoint.connect_timeout):
            _, protocol = await self.loop.create_connection(
                lambda: self._connection(self, endpoint),
                endpoint.host.strip("[]"),
                endpoint.port,
                ssl=context,
                server_hostname=endpoint.server_name,
            )
        return protocol

    def release(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose response is complete."""
        waiting = self._idle.get(connection.endpoint)
        if waiting is None:
            waiting = self._idle[connection.endpoint] = []
        if len(waiting) < MAX_IDLE:
            connection.idle_since = 0.0
            waiting.append(connection)
        else:
            connection.abandon()

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection is gone."""
        self.deadlines.members.discard(connection)
        waiting = self._idle.get(connection.endpoint)
        if waiting and connection in waiting:
            waiting.remove(connection)

    def parse_head(self, raw: bytes) -> ResponseHeaders:
        """Parse a response head and keep it for the next equal one. Raises ResponseError."""
        headers = ResponseHeaders(raw, self._server, self._via)
        if len(self.heads) >= _MAX_KEPT_HEADS:
            self.heads.clear()
        self.heads[raw] = headers
        return headers

    def close(self) -> None:
        """Close every connection."""
        self._sweeper.cancel()
        self.deadlines.stop()
        for member in list(self.deadlines.members):
            cast(UpstreamConnection, member).abandon()

    def _sweep(self) -> None:
        """Close what has been idle for too long; how long is known to a quarter of the time-out."""
        now = self.loop.time()
        for endpoint, waiting in list(self._idle.items()):
            for connection in list(waiting):
                if not connection.idle_since:
                    connection.idle_since = now
                elif now - connection.idle_since > IDLE_TIMEOUT:
                    waiting.remove(connection)
                    connection.abandon()
            if not waiting:
                del self._idle[endpoint]
        self._sweeper = self.loop.call_later(IDLE_TIMEOUT / 4, self._sweep)

    def _tls_context(self) -> ssl.SSLContext:
        """Kong does not verify upstream certificates unless told to, so neither does this gateway."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE
        return self._tls
