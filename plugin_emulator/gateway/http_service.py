"""A small HTTP server for the gateway's own endpoints: the echo upstream and the Admin API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

from plugin_emulator.gateway.forwarding import RequestHeaders
from plugin_emulator.gateway.http1 import (
    MAX_HEAD,
    REASONS,
    ChunkedReader,
    MessageError,
    RequestLine,
    head_end,
    parse_request_line,
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request with its whole body."""

    line: RequestLine
    headers: RequestHeaders
    body: bytes
    client_ip: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A response.

    ``leading`` headers are written first, then those on the body and the connection, ``headers``, the body's length,
    and ``trailing``: clients that compare one server with another see the order too.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    leading: tuple[tuple[str, str], ...] = ()
    trailing: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Call], Answer | Awaitable[Answer]]


class ServiceConnection(asyncio.Protocol):
    """One client connection, kept alive; requests are answered in order. ``handler`` must not raise.

    It is in ``connections`` for as long as it is open.
    """

    __slots__ = (
        "_body",
        "_client_ip",
        "_connections",
        "_handler",
        "_head",
        "_kept",
        "_left",
        "_pending",
        "_reader",
        "_task",
        "_transport",
    )

    def __init__(
        self,
        handler: Handler,
        kept: dict[bytes, tuple[RequestLine, RequestHeaders]],
        connections: set[ServiceConnection],
    ) -> None:
        self._handler = handler
        self._kept = kept
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._client_ip = ""
        self._pending = b""
        self._body = b""
        self._left = 0
        self._reader: ChunkedReader | None = None
        self._head: tuple[RequestLine, RequestHeaders] | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        peer = transport.get_extra_info("peername")
        self._client_ip = peer[0] if isinstance(peer, tuple) else ""

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._connections.discard(self)
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._pending:
            data = self._pending + data
            self._pending = b""
        self._consume(data)

    def _consume(self, data: bytes) -> None:
        while data and self._transport is not None and not self._transport.is_closing():
            if self._task is not None:
                self._pending = data
                return
            try:
                if self._head is None:
                    end = head_end(data)
                    if end < 0:
                        if len(data) > MAX_HEAD:
                            raise MessageError
                        self._pending = data
                        return
                    self._begin(data[:end])
                    data = data[end:]
                data = self._take_body(data)
            except MessageError as error:
                self._send(Answer(error.status, b'{"message":"Bad request"}'), None)
                return

    def _begin(self, head: bytes) -> None:
        parsed = self._kept.get(head)
        if parsed is None:
            line, _, block = head.partition(b"\n")
            request = parse_request_line(line.rstrip(b"\r"))
            block = block[:-2] if block.endswith(b"\r\n") else block[:-1]
            parsed = (request, RequestHeaders.parse(block, request.minor))
            if len(self._kept) >= 256:
                self._kept.clear()
            self._kept[head] = parsed
        self._head = parsed
        headers = parsed[1]
        self._body = b""
        self._left = headers.content_length or 0
        self._reader = ChunkedReader() if headers.chunked else None
        if headers.expects_continue and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _take_body(self, data: bytes) -> bytes:
        if self._reader is not None:
            self._body += self._reader.feed(data)
            if not self._reader.done:
                return b""
            data = self._reader.rest
        elif self._left:
            part, data = data[: self._left], data[self._left :]
            self._left -= len(part)
            self._body += part
            if self._left:
                return b""
        assert self._head is not None
        head, self._head = self._head, None
        answer = self._handler(Call(*head, self._body, self._client_ip))
        if isinstance(answer, Answer):
            self._send(answer, head)
        else:
            self._task = asyncio.ensure_future(self._send_later(answer, head))
        return data

    async def _send_later(self, answer: Awaitable[Answer], head: tuple[RequestLine, RequestHeaders]) -> None:
        self._send(await answer, head)
        self._task = None
        data, self._pending = self._pending, b""
        self._consume(data)

    def _send(self, answer: Answer, head: tuple[RequestLine, RequestHeaders] | None) -> None:
        if self._transport is None:
            return
        keep_alive = head is not None and head[1].keep_alive
        status = answer.status
        reason = REASONS.get(status) or (HTTPStatus(status).phrase if status in _KNOWN else "Status")
        bare = status in (204, 304)
        content_type = "" if bare else f"Content-Type: {answer.content_type}\r\n"
        option = "keep-alive" if keep_alive else "close"
        length = "" if bare else f"Content-Length: {len(answer.body)}\r\n"
        out = (
            f"HTTP/1.1 {status} {reason}\r\n{_lines(answer.leading)}{content_type}Connection: {option}\r\n"
            f"{_lines(answer.headers)}{length}{_lines(answer.trailing)}\r\n"
        ).encode("latin-1")
        self._transport.write(out if bare or (head and head[0].method == "HEAD") else out + answer.body)
        if not keep_alive:
            self._transport.close()


def _lines(headers: tuple[tuple[str, str], ...]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers) if headers else ""


_KNOWN = frozenset(status.value for status in HTTPStatus)
