"""The upstream's half of a proxied request: tries, and the answer on its way to the client.

What is done before a request is passed on and after it is answered is the subclass's business.
"""

from __future__ import annotations

import asyncio
import socket
from abc import abstractmethod
from time import time

from plugin_emulator.gateway.answers import PLAIN, content_type_for, error_answer
from plugin_emulator.gateway.forwarding import ResponseHeaders
from plugin_emulator.gateway.proxy_context import ProxyContext
from plugin_emulator.gateway.request_reader import RequestReader, State
from plugin_emulator.gateway.snapshot import Plan, RouteChain
from plugin_emulator.gateway.upstream import UpstreamConnection

_JOIN_BELOW = 65536
#: Requests that are tried once: to repeat them might do twice what they do.
_NOT_REPEATED = frozenset(("POST", "LOCK", "PATCH"))
_UPSTREAM_ERRORS = {
    502: "An invalid response was received from the upstream server",
    504: "The upstream server is timing out",
}
_CLOSED = State.CLOSED


class UpstreamRelay(RequestReader):
    """Passes a request on, again where that may help, and relays the answer; the requester of its upstream."""

    __slots__ = (
        "_answer",
        "_chain",
        "_chunked_response",
        "_connecting",
        "_context",
        "_final_status",
        "_keep_alive",
        "_paused",
        "_plan",
        "_request",
        "_request_id",
        "_request_sent_at",
        "_sent",
        "_statuses",
        "_tries_left",
        "_upstream",
    )

    def __init__(self, context: ProxyContext) -> None:
        super().__init__(context.blocks)
        self._context = context
        self._upstream: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._paused = False
        self._plan: Plan | None = None
        self._chain: RouteChain
        self._request_id = ""
        self._sent = 0
        #: status the client got; 0 while it got none
        self._final_status = 0
        self._keep_alive = True
        self._statuses: list[int] = []
        #: body of an AI request's answer; of another nobody wants it
        self._answer = b""

    @abstractmethod
    def _answer_error(self, status: int, message: str) -> None:
        """Answer in the gateway's own name."""

    @abstractmethod
    def _log(self, upstream_status: int | str | None) -> None:
        """Log the request, which is answered or cut off."""

    @abstractmethod
    def _next(self) -> None:
        """Be ready for the next request on this connection."""

    # asyncio.Protocol

    def pause_writing(self) -> None:
        self._paused = True
        if self._upstream:
            self._upstream.pause()

    def resume_writing(self) -> None:
        self._paused = False
        if self._upstream:
            self._upstream.resume()

    # passing on

    def _send_upstream(self, request: bytes) -> None:
        """Pass ``request`` on, head and body."""
        self._request = request
        self._tries_left = self._chain.retries
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

    def _drop_upstream(self) -> None:
        """The client has gone: nobody waits for the answer any more."""
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abandon()

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
        if self._chain.ai is not None:
            self._answer = body
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
        if self._chain.ai is not None:
            self._answer += body
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

    def _write(self, data: bytes) -> None:
        self._sent += len(data)
        if self._transport is not None:
            self._transport.write(data)


def _as_chunk(body: bytes, last: bool) -> bytes:
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return chunk + b"0\r\n\r\n" if last else chunk
