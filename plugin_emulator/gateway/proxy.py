"""One client connection: reads requests, has them authenticated and routed, passes them on and relays the answers.

Metering comes last: what there is to log is queued while the answer is on its way, and logged once the event loop
has written it out (SPEC DRP-3, DLV-5). Only a plugin with an access phase has its turn before the upstream
(``access_phase``).
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping
from time import time
from typing import cast

from plugin_emulator.conditions import Facts, PluginFacts
from plugin_emulator.gateway.access_phase import AccessPhase
from plugin_emulator.gateway.answers import PLAIN, content_type_for, error_answer
from plugin_emulator.gateway.forwarding import RequestHeaders
from plugin_emulator.gateway.http1 import MessageError
from plugin_emulator.gateway.key_auth import UNEXPECTED, body_without, query_without
from plugin_emulator.gateway.metering_instances import MeteringInstances
from plugin_emulator.gateway.plugin_conditions import Admission, RouteConditions
from plugin_emulator.gateway.proxy_context import ProxyContext
from plugin_emulator.gateway.request_facts import request_facts
from plugin_emulator.gateway.request_reader import State
from plugin_emulator.gateway.snapshot import Plan

#: Seconds a client connection may be idle, or take to send a request.
KEEPALIVE_TIMEOUT = 75.0
_WAITING, _READING_BODY, _ANSWERING, _DISCARDING, _CLOSED = State


class ClientConnection(AccessPhase):
    """One connection from a client."""

    __slots__ = ("_body", "_refusal", "_since")

    def __init__(self, context: ProxyContext) -> None:
        super().__init__(context)
        self._body = b""
        #: why key-auth refused the request
        self._refusal: str | None = None
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

    # deciding

    def _begin(self, line: bytes, headers: RequestHeaders) -> None:
        self._sent = 0
        self._plan = None
        self._identity = None
        self._refusal = None
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
            self._refusal = decision.refusal
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
        return request_facts(
            plan, self._headers, self._query, self._client_ip, self._transport, self._identity, conditions, plugins
        )

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

    def _pass_on(self) -> None:
        plan = self._plan
        chain = self._chain
        assert plan is not None
        if chain.endpoint is None:
            self._answer_error(503, "no Service found with those values")
            return
        headers = self._headers
        identity = self._identity
        ip = self._client_ip
        start = plan.start
        if self._query != plan.query:  # hidden credentials
            query = "" if self._query is None else f"?{self._query}"
            start = f"{plan.method} {plan.upstream_path}{query} HTTP/1.1\r\nVia: "
        if chain.ai is not None:
            self._body, self._answer = chain.ai.request_body(self._body), b""
        body = self._body
        length = f"Content-Length: {len(body)}\r\n" if body or headers.content_length == 0 or headers.chunked else ""
        wire = headers.wire if identity is None else headers.anonymous_wire + identity.wire
        head = (
            f"{start}{headers.via}{plan.middle}{headers.forwarded_for}{ip}{plan.end}{ip}\r\n"
            f"X-Kong-Request-Id: {self._request_id}\r\n{headers.upstream_te}{length}{wire}\r\n"
        ).encode("latin-1")
        self._send_upstream(head + body if body else head)

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
        self._drop_upstream()
        if self._state in (_ANSWERING, _READING_BODY):
            if self._final_status:  # part of the response has gone out
                self._log(self._final_status)
            else:
                reading = self._state == _READING_BODY
                self._final_status = 400 if reading else 499
                statuses = [*map(str, self._statuses), "-"]
                self._log(None if reading or self._held else ", ".join(statuses))
            self._held = False
            self._final_status = 0
            self._state = _CLOSED

    def _log(self, upstream_status: int | str | None) -> None:
        plan = self._plan
        assert plan is not None
        identity = self._identity
        chain = self._chain
        metering = chain.metering(identity.consumer_id if identity else None)
        now = time()
        self._since = now
        instances = metering.log
        if self._admission is not None:
            instances = self._admitted(metering)
        if self._context.journal is not None:
            ended = (self._started_at, self._final_status, upstream_status, self._refusal)
            self._context.journal.ended(self._request_id, plan, identity, metering, self._admission, *ended)
        if not instances:
            return
        self._context.log_phase.add(
            (
                instances,
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
                chain.ai.usage(self._body, upstream_status, self._answer) if chain.ai is not None else None,
                self._request_id,
            )
        )

    def _admitted(self, metering: MeteringInstances) -> tuple[str, ...]:
        """Return the instances with a log phase whose conditions hold; the others are counted."""
        admission = self._admission
        assert admission is not None
        kept_out = {instance: admission.kept_out(instance) for instance in metering.log}
        for instance, why in kept_out.items():
            if why is not None and instance not in metering.access:
                self._context.metering.keep_out(instance, *why)
        return tuple(instance for instance, why in kept_out.items() if why is None)

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
