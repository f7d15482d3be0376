"""One client connection: reads requests, has them authenticated and routed, passes them on and relays the answers.

Metering comes last: what there is to log is queued while the answer is on its way, and logged once the event loop
has written it out (SPEC DRP-3, DLV-5).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import socket
from time import time
from typing import cast

from plugin_emulator.gateway.answers import PLAIN, content_type_for, error_answer
from plugin_emulator.gateway.forwarding import RequestHeaders, ResponseHeaders
from plugin_emulator.gateway.http1 import (
    MAX_HEAD,
    MAX_LINE,
    ChunkedReader,
    MessageError,
    head_end,
)
from plugin_emulator.gateway.key_auth import Identity, body_without, query_without
from plugin_emulator.gateway.log_phase import LogPhase
from plugin_emulator.gateway.snapshot import Plan, RouteChain, Snapshot
from plugin_emulator.gateway.upstream import UpstreamConnection, UpstreamPool

#: Seconds a client connection may be idle, or take to send a request.
KEEPALIVE_TIMEOUT = 75.0
_JOIN_BELOW = 65536
_MAX_KEPT_BLOCKS = 2048
_MAX_KEPT_BLOCK_SIZE = 4096
_MAX_PIPELINED = 65536
#: Requests that are tried once: to repeat them might do twice what they do.
_NOT_REPEATED = frozenset(("POST", "LOCK", "PATCH"))
_UPSTREAM_ERRORS = {
    502: "An invalid response was received from the upstream server",
    504: "The upstream server is timing out",
}
_WAITING, _READING_BODY, _PROXYING, _DISCARDING, _CLOSED = range(5)


class ProxyContext:
    """What the client connections of one gateway share. ``snapshot`` is replaced when the configuration changes."""

    __slots__ = ("_blocks", "_empty", "connections", "log_phase", "requests", "server", "snapshot", "upstreams")

    def __init__(self, snapshot: Snapshot, upstreams: UpstreamPool, log_phase: LogPhase, server: str) -> None:
        self.snapshot = snapshot
        self.upstreams = upstreams
        self.log_phase = log_phase
        self.server = server
        self.connections: set[ClientConnection] = set()
        self.requests = 0
        self._blocks: dict[tuple[bytes, bool], RequestHeaders] = {}
        self._empty = asyncio.Event()

    def opened(self, connection: ClientConnection) -> None:
        """A client has connected."""
        self.connections.add(connection)
        self._empty.clear()

    def closed(self, connection: ClientConnection) -> None:
        """A client's connection is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    async def wait_until_empty(self, seconds: float) -> None:
        """Wait until no client is connected, for at most ``seconds``."""
        if self.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)

    def headers(self, block: bytes, http_1_0: bool) -> RequestHeaders:
        """Return the parsed form of header lines. Raises MessageError."""
        headers = self._blocks.get((block, http_1_0))
        if headers is None:
            headers = RequestHeaders.parse(block, 0 if http_1_0 else 1)
            if len(block) <= _MAX_KEPT_BLOCK_SIZE:
                if len(self._blocks) >= _MAX_KEPT_BLOCKS:
                    self._blocks.clear()
                self._blocks[block, http_1_0] = headers
        return headers


class ClientConnection(asyncio.Protocol):
    """One connection from a client. Also the requester of the upstream connection that serves it."""

    __slots__ = (
        "_body",
        "_body_left",
        "_body_reader",
        "_chain",
        "_chunked_response",
        "_client_ip",
        "_connecting",
        "_context",
        "_final_status",
        "_headers",
        "_identity",
        "_keep_alive",
        "_paused",
        "_pending",
        "_plan",
        "_query",
        "_received",
        "_request",
        "_request_id",
        "_request_sent_at",
        "_sent",
        "_since",
        "_started_at",
        "_state",
        "_statuses",
        "_transport",
        "_tries_left",
        "_upstream",
    )

    def __init__(self, context: ProxyContext) -> None:
        self._context = context
        self._transport: asyncio.Transport | None = None
        self._state = _WAITING
        self._pending = b""
        self._upstream: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._client_ip = ""
        self._paused = False
        self._plan: Plan | None = None
        self._chain: RouteChain
        self._headers: RequestHeaders
        self._identity: Identity | None = None
        self._query: str | None = None
        self._body = b""
        self._body_left = 0
        self._sent = 0
        self._received = 0
        self._final_status = 0
        self._keep_alive = True
        self._statuses: list[int] = []
        self._body_reader: ChunkedReader | None = None
        self._since = time()
        self._started_at = 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._client_ip = peer[0] if isinstance(peer, tuple) else ""
        self._context.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._abort()
        self._state = _CLOSED
        self._transport = None
        self._context.closed(self)

    def eof_received(self) -> bool:
        if self._state in (_PROXYING, _READING_BODY):
            self._abort()  # a client that stops talking while it waits counts as gone
        return False

    def pause_writing(self) -> None:
        self._paused = True
        if self._upstream:
            self._upstream.pause()

    def resume_writing(self) -> None:
        self._paused = False
        if self._upstream:
            self._upstream.resume()

    def data_received(self, data: bytes) -> None:
        if self._pending:
            data = self._pending + data
            self._pending = b""
        self._consume(data)

    # reading requests

    def _consume(self, data: bytes) -> None:
        while data:
            state = self._state
            if state == _WAITING:
                end = data.find(b"\r\n\r\n") + 4
                if end == 3 or data.startswith((b"\r", b"\n")) or (end < MAX_LINE and b"\n\n" in data[:end]):
                    data = data.lstrip(b"\r\n")
                    end = head_end(data)
                    if end < 0:
                        self._pending = data
                        if data and self._hopeless(data):
                            self._pending = b""
                        return
                data = self._take_head(data, end)
            elif state in (_READING_BODY, _DISCARDING):
                data = self._take_body(data)
            elif state == _PROXYING:
                self._pending = data
                if len(data) > _MAX_PIPELINED and self._transport:
                    self._transport.pause_reading()
                return
            else:
                return

    def _hopeless(self, data: bytes) -> bool:
        """Refuse an incomplete head that is no HTTP or too long already; return whether it was."""
        if not (data[:1].isupper() or data[:1] in b"_-"):  # such as the first bytes of TLS
            self._refuse_message(MessageError(), len(data))
            return True
        if len(data) <= MAX_LINE:
            return False
        first = data.find(b"\n")
        if first < 0 or first > MAX_LINE:
            self._refuse_message(MessageError(414, "URI too long"), len(data))
        elif len(data) > MAX_HEAD or len(data) - data.rfind(b"\n") > MAX_LINE:
            self._refuse_message(MessageError(400, "Request header or cookie too large"), len(data))
        else:
            return False
        return True

    def _take_head(self, data: bytes, end: int) -> bytes:
        """Begin with the request whose head ends at ``end``; return what follows it."""
        self._started_at = time()
        self._sent = 0
        self._received = end
        self._plan = None
        self._identity = None
        self._final_status = 0
        context = self._context
        context.requests += 1
        line_end = data.find(b"\n")
        line = data[:line_end].rstrip(b"\r")
        stop = end - 2 if data[end - 2 : end] == b"\r\n" else end - 1
        try:
            if end > MAX_HEAD:
                raise MessageError(400, "Request header or cookie too large")
            headers = context.headers(data[line_end + 1 : stop], line.endswith(b"1.0"))
            plan = context.snapshot.plan(line, headers)
        except MessageError as error:
            self._refuse_message(error, end)
            return b""
        self._plan = plan
        self._headers = headers
        self._chain = plan.chain
        self._keep_alive = headers.keep_alive
        self._body = b""
        self._body_reader = ChunkedReader() if headers.chunked else None
        self._body_left = headers.content_length or 0
        self._request_id = f"{random.getrandbits(128):032x}"
        self._query = plan.query
        has_body = self._body_left or headers.chunked
        key_auth = plan.chain.key_auth
        if plan.chain.route is None:
            self._refuse(404, "no Route matched with those values")
        elif plan.https_only:
            self._require_https(plan)
        elif key_auth is not None and key_auth.reads_body and has_body:
            self._read_body()
        elif key_auth is None or self._authenticate(b""):
            if has_body:
                self._read_body()
            else:
                self._forward()
        return data[end:] if end < len(data) else b""

    def _read_body(self) -> None:
        self._state = _READING_BODY
        if self._headers.expects_continue and not self._sent:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _take_body(self, data: bytes) -> bytes:
        """Take in what belongs to the present request's body; return what follows it."""
        reader = self._body_reader
        if reader is not None:
            try:
                part = reader.feed(data)
            except MessageError as error:
                self._refuse_message(error, self._received)
                return b""
            rest = reader.rest
            complete = reader.done
        else:
            part, rest = data[: self._body_left], data[self._body_left :]
            self._body_left -= len(part)
            complete = not self._body_left
        if self._state == _DISCARDING:
            if complete:
                self._state = _WAITING
            return rest
        self._received += len(data) - len(rest)
        self._body = self._body + part if self._body else part
        if complete:
            self._body_reader = None
            key_auth = self._chain.key_auth
            self._state = _PROXYING
            if key_auth is None or self._identity is not None or self._authenticate(self._body):
                self._forward()
        return rest

    # deciding

    def _authenticate(self, body: bytes) -> bool:
        """Run key-auth; return whether the request may go on."""
        plan = self._plan
        key_auth = self._chain.key_auth
        assert plan is not None
        assert key_auth is not None
        decision = key_auth.decide(plan.method, self._headers.fields, plan.query, body)
        if decision.refusal is not None:
            extra = f"WWW-Authenticate: {key_auth.challenge}\r\n" if decision.status == 401 else ""
            self._refuse(decision.status, decision.refusal, extra)
            return False
        self._identity = decision.identity
        if decision.hide is not None:
            self._headers = self._headers.without(decision.hide)
            if plan.query is not None:
                self._query = query_without(plan.query, decision.hide) or None
            if body and key_auth.reads_body:
                content_type = self._headers.fields.first.get("content-type")
                self._body = body_without(content_type, body, decision.hide)
        return True

    def _require_https(self, plan: Plan) -> None:
        route = self._chain.route
        assert route is not None
        status = route.https_redirect_status_code
        if status == 426:
            extra = "Upgrade: TLS/1.2, HTTP/1.1\r\n"
            self._refuse(426, "Please use HTTPS protocol", extra, connection="Upgrade")
        else:
            query = "" if plan.query is None else f"?{plan.query}"
            location = f"Location: https://{plan.host}{plan.path}{query}\r\n"
            self._refuse(status, "Please use HTTPS protocol", location)

    def _refuse(self, status: int, message: str, extra: str = "", connection: str | None = None) -> None:
        """Answer in the gateway's own name."""
        plan = self._plan
        assert plan is not None
        latency = int((time() - self._started_at) * 1000)
        self._final_status = status
        if self._headers.expects_continue and not self._sent:
            self._keep_alive = False  # whether the body will come now is the client's choice
        self._write(
            error_answer(
                status,
                message,
                request_id=self._request_id,
                server=self._context.server,
                latency=f"X-Kong-Response-Latency: {max(latency, 0)}\r\n",
                content_type=content_type_for(self._headers.fields.joined("accept")),
                extra=extra,
                close=not self._keep_alive,
                connection=connection,
                head_only=plan.method == "HEAD",
            )
        )
        self._log(None)
        self._next()

    def _refuse_message(self, error: MessageError, received: int) -> None:
        """Answer a request that is not proper HTTP; what follows it on the connection cannot be read."""
        if self._transport is None:
            return
        if self._plan is None:
            self._request_id = f"{random.getrandbits(128):032x}"
            self._started_at = time()
            self._sent = 0
        self._write(
            error_answer(
                error.status,
                error.message,
                request_id=self._request_id,
                server=self._context.server,
                latency="X-Kong-Response-Latency: 0\r\n",
                content_type=PLAIN,
                close=True,
            )
        )
        if self._plan is not None:
            self._received = received
            self._final_status = error.status
            self._log(None)
        self._state = _CLOSED
        self._pending = b""
        self._transport.close()

    # passing on

    def _forward(self) -> None:
        plan = self._plan
        chain = self._chain
        assert plan is not None
        if chain.endpoint is None:
            self._refuse(503, "no Service found with those values")
            return
        self._state = _PROXYING
        headers = self._headers
        identity = self._identity
        ip = self._client_ip
        start = plan.start
        if self._query != plan.query:  # hidden credentials
            query = "" if self._query is None else f"?{self._query}"
            start = f"{plan.method} {plan.upstream_path}{query} HTTP/1.1\r\nVia: "
        body = self._body
        length = f"Content-Length: {len(body)}\r\n" if body or headers.content_length == 0 or headers.chunked else ""
        wire = headers.wire if identity is None else headers.anonymous_wire + identity.wire
        head = (
            f"{start}{headers.via}{plan.middle}{headers.forwarded_for}{ip}{plan.end}{ip}\r\n"
            f"X-Kong-Request-Id: {self._request_id}\r\n{headers.upstream_te}{length}{wire}\r\n"
        ).encode("latin-1")
        self._request = head + body if body else head
        self._tries_left = chain.retries
        self._statuses.clear()
        self._request_sent_at = time()
        self._try()

    def _try(self) -> None:
        endpoint = self._chain.endpoint
        plan = self._plan
        assert endpoint is not None
        assert plan is not None
        connection = self._context.upstreams.idle(endpoint)
        if connection is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect_and_send())
        else:
            self._upstream = connection
            connection.send(self, plan.method, self._request)

    async def _connect_and_send(self) -> None:
        endpoint = self._chain.endpoint
        plan = self._plan
        assert endpoint is not None
        assert plan is not None
        try:
            connection = await self._context.upstreams.connect(endpoint)
        except TimeoutError:
            self._connecting = None
            self.upstream_failed(504, True)
        except socket.gaierror:
            self._connecting = None
            self._refuse(503, "name resolution failed")
        except OSError:
            self._connecting = None
            self.upstream_failed(502, True)
        else:
            self._connecting = None
            self._upstream = connection
            connection.send(self, plan.method, self._request)

    # the upstream's answer

    def upstream_answered(self, headers: ResponseHeaders, body: bytes, complete: bool) -> None:
        """Relay the head with the first part of the body."""
        plan = self._plan
        assert plan is not None
        now = time()
        head = headers.head
        bare = plan.method == "HEAD" or head.status in (204, 304)
        chunked = False
        if head.content_length is None and not bare:
            if self._headers.minor:
                chunked = True
            else:
                self._keep_alive = False
        self._chunked_response = chunked
        self._final_status = head.status
        upstream_latency = int((now - self._request_sent_at) * 1000)
        proxy_latency = int((self._request_sent_at - self._started_at) * 1000)
        out = headers.render(
            upstream_latency if upstream_latency > 0 else 0,
            proxy_latency if proxy_latency > 0 else 0,
            self._request_id,
            chunked=chunked,
            keep_alive=self._keep_alive,
        )
        if complete:
            self._upstream = None  # it may already serve someone else
        if chunked:
            body = _as_chunk(body, complete)
        if len(body) < _JOIN_BELOW:
            self._write(out + body if body else out)
        else:
            self._write(out)
            self._write(body)
        if complete:
            self._complete(head.status)
        elif self._paused and self._upstream:
            self._upstream.pause()

    def upstream_sent(self, body: bytes, complete: bool) -> None:
        """Relay more of the body."""
        if complete:
            self._upstream = None
        if self._chunked_response:
            body = _as_chunk(body, complete)
        if body:
            self._write(body)
        if complete:
            self._complete(self._final_status)

    def upstream_failed(self, status: int, retry: bool) -> None:
        """Try again, answer with an error, or cut off a response that has begun."""
        upstream, self._upstream = self._upstream, None
        if self._final_status:  # the head has been relayed
            self._cut_off()
            return
        plan = self._plan
        assert plan is not None
        self._statuses.append(status)
        if retry and plan.method not in _NOT_REPEATED:
            if status == 502 and upstream is not None and upstream.reused:
                self._try()  # the upstream closed an idle connection: that is no failed try
                return
            if self._tries_left > 0:
                self._tries_left -= 1
                self._try()
                return
        self._fail(status)

    def _fail(self, status: int) -> None:
        plan = self._plan
        assert plan is not None
        fields = self._headers.fields
        accept = fields.joined("accept") or fields.first.get("content-type")
        now = time()
        upstream_latency = max(int((now - self._request_sent_at) * 1000), 0)
        proxy_latency = max(int((self._request_sent_at - self._started_at) * 1000), 0)
        server = self._context.server
        self._final_status = status
        self._write(
            error_answer(
                status,
                _UPSTREAM_ERRORS[status],
                request_id=self._request_id,
                server=server,
                latency=(
                    f"X-Kong-Upstream-Latency: {upstream_latency}\r\nX-Kong-Proxy-Latency: {proxy_latency}\r\n"
                    f"Via: 1.1 {server}\r\n"
                ),
                content_type=content_type_for(accept, PLAIN),
                close=not self._keep_alive,
                head_only=plan.method == "HEAD",
            )
        )
        self._log(", ".join(map(str, self._statuses)))
        self._next()

    def _complete(self, upstream_status: int) -> None:
        if self._statuses:
            self._log(", ".join(map(str, (*self._statuses, upstream_status))))
        else:
            self._log(upstream_status)
        self._next()

    def _cut_off(self) -> None:
        """The upstream broke off in the middle: the client can only be told by closing the connection."""
        self._log(self._final_status)
        self._state = _CLOSED
        if self._transport is not None:
            self._transport.close()

    # the end of a request

    def _next(self) -> None:
        """Be ready for the next request on this connection."""
        transport = self._transport
        if transport is None:
            return
        self._final_status = 0
        self._plan = None
        if not self._keep_alive:
            self._state = _CLOSED
            self._pending = b""
            transport.close()
            return
        unread = self._body_left or self._body_reader is not None
        was_proxying = self._state == _PROXYING
        self._state = _DISCARDING if unread else _WAITING
        if was_proxying and self._pending:
            data, self._pending = self._pending, b""
            transport.resume_reading()
            self._consume(data)

    def _abort(self) -> None:
        """The client has gone."""
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abandon()
        if self._state in (_PROXYING, _READING_BODY):
            if self._final_status:  # part of the response has gone out
                self._log(self._final_status)
            else:
                contacted = self._state == _PROXYING
                self._final_status = 499
                statuses = [*map(str, self._statuses), "-"]
                self._log(", ".join(statuses) if contacted else None)
            self._final_status = 0
            self._state = _CLOSED

    def _write(self, data: bytes) -> None:
        self._sent += len(data)
        if self._transport is not None:
            self._transport.write(data)

    def _log(self, upstream_status: int | str | None) -> None:
        plan = self._plan
        assert plan is not None
        identity = self._identity
        chain = self._chain
        instance = chain.metering(identity.consumer_id if identity else None)
        now = time()
        self._since = now
        if instance is None:
            return
        headers = self._headers
        self._context.log_phase.add(
            (
                instance,
                plan,
                headers.fields.pairs if identity is None else headers.anonymous_pairs + identity.pairs,
                self._query,
                self._client_ip,
                self._started_at,
                self._received,
                self._final_status,
                now if now > self._started_at else self._started_at,
                self._sent,
                upstream_status,
                identity.consumer if identity else None,
            )
        )

    # used by the server

    @property
    def silent_since(self) -> float:
        """Since when (seconds since the epoch) the client owes a request; the future while it is being served."""
        if self._state == _PROXYING:
            return math.inf
        return max(self._since, self._started_at)

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self._state in (_WAITING, _DISCARDING, _CLOSED) and not self._pending

    def close_after_response(self) -> None:
        """Close now when idle, otherwise after the present response."""
        self._keep_alive = False
        if self.idle and self._transport is not None:
            self._transport.close()

    def close(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


def _as_chunk(body: bytes, last: bool) -> bytes:
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return chunk + b"0\r\n\r\n" if last else chunk
