"""One connection to an ingest endpoint: a request out, a status back, over and over."""

from __future__ import annotations

import asyncio
from typing import cast

import httptools


class NotHttp(ConnectionError):
    """The other side answered with something that is no HTTP."""


class IngestConnection(asyncio.Protocol):
    """A client's side of HTTP/1.1 for one request at a time. The answer's head and body are read and let go."""

    __slots__ = ("_answer", "_loop", "_parser", "_status", "_transport", "idle_since", "reusable")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[int] | None = None
        self._status = 0
        #: Whether another request may be sent; ``idle_since`` is the loop's time at which the last one ended.
        self.reusable = True
        self.idle_since = 0.0

    def request(self, *parts: bytes) -> asyncio.Future[int]:
        """Send a request; the future gets the answer's status. Raises OSError through it when the connection ends."""
        assert self._transport is not None
        self._answer = self._loop.create_future()
        self._transport.writelines(parts)
        return self._answer

    def close(self) -> None:
        """Close at once, whatever is under way."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nothing was asked: the connection cannot be trusted with the next request
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail(NotHttp())
            self.close()

    def eof_received(self) -> None:
        """The other side will send no more; a body that ends with the connection is complete by that."""
        self.reusable = False
        if self._answer is not None and self._status and not self._answer.done():
            self._answer.set_result(self._status)

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self._transport = None
        self._fail(ConnectionResetError())

    # httptools

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_message_complete(self) -> None:
        status, self._status = self._status, 0
        if status < 200:  # 100 Continue and the like: the answer proper is still to come
            return
        if not self._parser.should_keep_alive():
            self.reusable = False
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result(status)

    def _fail(self, error: OSError) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)
