"""Reads requests from a client connection, one after the other: heads, bodies, pipelining, what must be refused.

What is done with a request is the subclass's business; it is told when a head has come and when the body is complete.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from enum import IntEnum
from time import time

from plugin_emulator.gateway.forwarding import RequestHeaders
from plugin_emulator.gateway.http1 import MAX_HEAD, MAX_LINE, ChunkedReader, MessageError, head_end

_MAX_PIPELINED = 65536
_MAX_KEPT_BLOCKS = 2048
_MAX_KEPT_BLOCK_SIZE = 4096


class State(IntEnum):
    """Where a client connection stands."""

    WAITING = 0  # for a head
    READING_BODY = 1
    ANSWERING = 2
    DISCARDING = 3  # the rest of a body nobody wants any more
    CLOSED = 4


# Looked at several times for each request: a plain global is found faster than an attribute of the class.
_WAITING, _READING_BODY, _ANSWERING, _DISCARDING, _CLOSED = State


class HeaderBlocks:
    """Parses header lines, and remembers what the clients keep sending."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[tuple[bytes, bool], RequestHeaders] = {}

    def parse(self, block: bytes, http_1_0: bool) -> RequestHeaders:
        """Return the parsed form of header lines. Raises MessageError."""
        headers = self._kept.get((block, http_1_0))
        if headers is None:
            headers = RequestHeaders.parse(block, 0 if http_1_0 else 1)
            if len(block) <= _MAX_KEPT_BLOCK_SIZE:
                if len(self._kept) >= _MAX_KEPT_BLOCKS:
                    self._kept.clear()
                self._kept[block, http_1_0] = headers
        return headers


class RequestReader(asyncio.Protocol):
    """The reading half of a client connection."""

    __slots__ = (
        "_blocks",
        "_body_left",
        "_body_parts",
        "_body_reader",
        "_headers",
        "_pending",
        "_received",
        "_started_at",
        "_state",
        "_transport",
    )

    def __init__(self, blocks: HeaderBlocks) -> None:
        self._blocks = blocks
        self._transport: asyncio.Transport | None = None
        self._state: State = _WAITING
        self._pending = b""
        self._headers: RequestHeaders
        self._body_reader: ChunkedReader | None = None
        self._body_left = 0
        self._body_parts: list[bytes] = []
        #: bytes of the present request so far, as they came
        self._received = 0
        #: when the present request began, in seconds since the epoch
        self._started_at = 0.0

    @abstractmethod
    def _begin(self, line: bytes, headers: RequestHeaders) -> None:
        """Deal with a request whose head has come: answer it, or ask for its body. Raises MessageError."""

    @abstractmethod
    def _go_on(self, body: bytes) -> None:
        """Deal with the complete body that was asked for."""

    @abstractmethod
    def _refuse_message(self, error: MessageError) -> None:
        """Answer what is not proper HTTP and close: what follows on the connection cannot be read."""

    def data_received(self, data: bytes) -> None:
        if self._pending:
            data = self._pending + data
            self._pending = b""
        self._consume(data)

    @property
    def _body_unread(self) -> bool:
        """Whether the present request has a body of which something is still to come."""
        return self._body_left > 0 or self._body_reader is not None

    def _read_body(self) -> None:
        """Ask for the body; ``_go_on`` gets it."""
        self._state = _READING_BODY

    def _read_next(self) -> None:
        """The present request has been answered: go on with what has come in the meantime."""
        answering = self._state == _ANSWERING
        self._state = _DISCARDING if self._body_unread else _WAITING
        if answering and self._pending and self._transport is not None:
            data, self._pending = self._pending, b""
            self._transport.resume_reading()
            self._consume(data)

    def _consume(self, data: bytes) -> None:
        while data:
            state = self._state
            if state == _WAITING:
                end = data.find(b"\r\n\r\n") + 4
                if end == 3 or data[0] <= 13 or b"\n\n" in data[:end]:
                    data = data.lstrip(b"\r\n")
                    end = head_end(data)
                    if end < 0:
                        self._pending = data
                        if data:
                            self._refuse_hopeless(data)
                        return
                data = self._take_head(data, end)
            elif state in (_READING_BODY, _DISCARDING):
                data = self._take_body(data)
            else:
                self._pending = b"" if state == _CLOSED else data
                if len(self._pending) > _MAX_PIPELINED and self._transport:
                    self._transport.pause_reading()
                return

    def _refuse_hopeless(self, data: bytes) -> None:
        """Refuse an incomplete head that is no HTTP, or is too long already."""
        first = data.find(b"\n")
        if not (data[:1].isupper() or data[:1] in b"_-"):  # such as the first bytes of TLS
            self._refuse(MessageError())
        elif len(data) > MAX_LINE and not 0 <= first <= MAX_LINE:
            self._refuse(MessageError(414, "URI too long"))
        elif len(data) > MAX_HEAD or len(data) - data.rfind(b"\n") > MAX_LINE:
            self._refuse(MessageError(400, "Request header or cookie too large"))

    def _refuse(self, error: MessageError) -> None:
        self._refuse_message(error)
        self._state = _CLOSED
        self._pending = b""

    def _take_head(self, data: bytes, end: int) -> bytes:
        """Begin with the request whose head ends at ``end``; return what follows it."""
        self._started_at = time()
        self._received = end
        line_end = data.find(b"\n")
        line = data[:line_end].rstrip(b"\r")
        stop = end - 2 if data[end - 2] == 13 else end - 1
        try:
            if end > MAX_HEAD:
                raise MessageError(400, "Request header or cookie too large")
            headers = self._blocks.parse(data[line_end + 1 : stop], line.endswith(b"1.0"))
            self._headers = headers
            self._body_left = headers.content_length or 0
            self._body_reader = ChunkedReader() if headers.chunked else None
            self._begin(line, headers)
        except MessageError as error:
            self._refuse(error)
            return b""
        return data[end:] if end < len(data) else b""

    def _take_body(self, data: bytes) -> bytes:
        """Take in what belongs to the present request's body; return what follows it."""
        reader = self._body_reader
        if reader is not None:
            try:
                part = reader.feed(data)
            except MessageError as error:
                self._refuse(error)
                return b""
            rest = reader.rest
            if reader.done:
                self._body_reader = None
        else:
            part, rest = data[: self._body_left], data[self._body_left :]
            self._body_left -= len(part)
        complete = not self._body_unread
        if self._state == _DISCARDING:
            if complete:
                self._state = _WAITING
            return rest
        self._received += len(data) - len(rest)
        self._body_parts.append(part)
        if complete:
            body = b"".join(self._body_parts)
            self._body_parts.clear()
            self._state = _ANSWERING
            self._go_on(body)
        return rest
