"""One client connection: reads requests, has them authenticated and routed, passes them on and relays the answers.

Metering comes last: what there is to log is queued while the answer is on its way, and logged once the event loop
has written it out (SPEC DRP-3, DLV-5).
"""

from __future__ import annotations

import asyncio
import math
import random
import socket
from collections.abc import Mapping
from time import time
from typing import cast

from plugin_emulator.conditions import Facts, PluginFacts
from plugin_emulator.gateway.answers import PLAIN, content_type_for, error_answer
from plugin_emulator.gateway.forwarding import RequestHeaders, ResponseHeaders, text_of
from plugin_emulator.gateway.http1 import MessageError
from plugin_emulator.gateway.key_auth import UNEXPECTED, Identity, body_without, query_without
from plugin_emulator.gateway.plugin_conditions import Admission, RouteConditions
from plugin_emulator.gateway.proxy_context import ProxyContext
from plugin_emulator.gateway.request_reader import RequestReader, State
from plugin_emulator.gateway.snapshot import Plan, RouteChain
from plugin_emulator.gateway.upstream import UpstreamConnection
from plugin_emulator.gateway.uri import normalize

#: Seconds a client connection may be idle, or take to send a request.
KEEPALIVE_TIMEOUT = 75.0
_JOIN_BELOW = 65536
#: Requests that are tried once: to repeat them might do twice what they do.
_NOT_REPEATED = frozenset(("POST", "LOCK", "PATCH"))
_UPSTREAM_ERRORS = {
    502: "An invalid response was received from the upstream server",
    504: "The upstream server is timing out",
}
_WAITING, _READING_BODY, _ANSWERING, _DISCARDING, _CLOSED = State


class ClientConnection(RequestReader):
    """One connection from a client. Also the requester of the upstream connection that serves it."""

    __slots__ = (
        "_admission",
        "_body",
        "_chain",
        "_chunked_response",
        "_client_ip",
        "_connecting",
        "_context",
        "_final_status",
        "_identity",
        "_keep_alive",
        "_paused",
        "_plan",
        "_query",
        "_request",
        "_request_id",
        "_request_sent_at",
        "_sent",
        "_since",
        "_statuses",
        "_tries_left",
        "_upstream",
    )

    def __init__(self, context: ProxyContext) -> None:
        super().__init__(context.blocks)
        self._context = context
        self._upstream: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._client_ip = ""
        self._paused = False
        self._plan: Plan | None = None
        self._chain: RouteChain
        #: what the plugins' conditions say of the request; None where none has one
        self._admission: Admission | None = None
        self._identity: Identity | None = None
        self._query: str | None = None
        self._body = b""
        self._sent = 0
        #: status the client got; 0 while it got none
        self._final_status = 0
        self._keep_alive = True
        self._statuses: list[int] = []
        self._since = time()

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
        if self._state in (_ANSWERING, _READING_BODY):
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

    # deciding

    def _begin(self, line: bytes, headers: RequestHeaders) -> None:
        self._sent = 0
        self._plan = None
        self._identity = None
        self._final_status = 0
        self._request_id = f"{random.getrandbits(128):032x}"
        context = self._context
        context.requests += 1
        plan = context.snapshot.plan(line, headers)
        self._plan = plan
        self._chain = plan.chain
        self._keep_alive = headers.keep_alive
        self._body = b""
        self._query = plan.query
        has_body = self._body_left or headers.chunked
        key_auth = plan.chain.key_auth
        conditions = plan.chain.conditions
        if conditions is None:
            self._admission = None
        else:
            self._admission = Admission(conditions, self._facts, context.condition_failed)
        if plan.chain.route is None:
            self._answer_error(404, "no Route matched with those values")
        elif plan.https_only:
            self._require_https(plan)
        elif self._admission is not None and not self._admission.ask_key_auth():
            self._answer_error(500, UNEXPECTED)
        elif key_auth is not None and key_auth.reads_body and has_body:
            self._read_body()
        elif key_auth is None or self._authenticate(b""):
            if has_body:
                self._read_body()
            else:
                self._forward()

    def _read_body(self) -> None:
        super()._read_body()
        if self._headers.expects_continue:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _go_on(self, body: bytes) -> None:
        self._body = body
        if self._chain.key_auth is None or self._identity is not None or self._authenticate(body):
            self._forward()

    def _authenticate(self, body: bytes) -> bool:
        """Run key-auth; return whether the request may go on."""
        plan = self._plan
        key_auth = self._chain.key_auth
        assert plan is not None
        assert key_auth is not None
        if self._admission is not None:
            if self._admission.skips_key_auth:
                return True
            self._admission.key_auth_ran = True
        decision = key_auth.decide(plan.method, self._headers.fields, plan.query, body)
        if decision.refusal is not None:
            extra = f"WWW-Authenticate: {key_auth.challenge}\r\n" if decision.status == 401 else ""
            self._answer_error(decision.status, decision.refusal, extra)
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

    def _facts(self, conditions: RouteConditions, plugins: Mapping[str, PluginFacts]) -> Facts:
        """Return the request as conditions see it now."""
        plan = self._plan
        assert plan is not None
        transport = self._transport
        peer = transport.get_extra_info("peername") if transport else None
        own = transport.get_extra_info("sockname") if transport else None
        here = own if isinstance(own, tuple) else (None, None)
        identity = self._identity
        return Facts(
            plan.method,
            text_of(normalize(plan.path)),
            plan.host,
            self._headers.logged(identity),
            text_of(self._query) if self._query else "",
            src_ip=self._client_ip,
            src_port=peer[1] if isinstance(peer, tuple) else None,
            dst_ip=here[0],
            dst_port=here[1],
            route=conditions.route,
            service=conditions.service,
            consumer=identity.facts if identity else None,
            plugins=plugins,
        )

    def _metering_instance(self) -> str | None:
        identity = self._identity
        return self._chain.metering(identity.consumer_id if identity else None)

    def _require_https(self, plan: Plan) -> None:
        route = self._chain.route
        assert route is not None
        status = route.https_redirect_status_code
        if status == 426:
            extra = "Upgrade: TLS/1.2, HTTP/1.1\r\n"
            self._answer_error(426, "Please use HTTPS protocol", extra, connection="Upgrade")
        else:
            query = "" if plan.query is None else f"?{plan.query}"
            location = f"Location: https://{plan.host}{plan.path}{query}\r\n"
            self._answer_error(status, "Please use HTTPS protocol", location)

    def _answer_error(self, status: int, message: str, extra: str = "", connection: str | None = None) -> None:
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

    def _refuse_message(self, error: MessageError) -> None:
        if self._transport is None:
            return
        if self._plan is None:  # not even the request line could be used
            self._request_id = f"{random.getrandbits(128):032x}"
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
            self._final_status = error.status
            self._log(None)
        self._transport.close()

    # passing on

    def _forward(self) -> None:
        plan = self._plan
        chain = self._chain
        assert plan is not None
        if self._admission is not None and not self._admission.ask_metering(self._metering_instance()):
            self._answer_error(500, UNEXPECTED)
            return
        if chain.endpoint is None:
            self._answer_error(503, "no Service found with those values")
            return
        self._state = _ANSWERING
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
        except (socket.gaierror, UnicodeError):
            self._connecting = None
            self._answer_error(503, "name resolution failed")
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
        self._read_next()

    def _abort(self) -> None:
        """The client has gone."""
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abandon()
        if self._state in (_ANSWERING, _READING_BODY):
            if self._final_status:  # part of the response has gone out
                self._log(self._final_status)
            else:
                contacted = self._state == _ANSWERING
                self._final_status = 499 if contacted else 400
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
        if self._admission is not None:
            kept_out = self._admission.kept_out(instance)
            if kept_out is not None:
                self._context.log_phase.keep_out(instance, *kept_out)
                return
        self._context.log_phase.add(
            (
                instance,
                plan,
                self._headers.logged(identity),
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
        """Since when (seconds since the epoch) the client owes a request; infinity while it is served."""
        if self._state == _ANSWERING:
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
