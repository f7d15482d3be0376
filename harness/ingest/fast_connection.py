"""One client's connection to the fast host: requests in, decisions and faults acted out, answers in order."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import time
import uuid
from collections import deque
from typing import Protocol, cast

import httptools

from harness.ingest.host import Receiver, Report, internal_error, no_tunnel
from harness.ingest.http_exchange import CONTINUE, Exchange, Limits, encoded
from harness.ingest.messages import Answer, Receipt
from harness.ingest.problem import problem

#: SO_LINGER on, zero seconds: closing sends RST at once instead of FIN.
_RESET = struct.pack("ii", 1, 0)


class Surroundings(Protocol):
    """What connections share. ``now`` is the time in seconds, as of the last look for overdue clients."""

    receiver: Receiver
    report: Report
    limits: Limits
    now: float
    connections: set[Connection]


class Connection(asyncio.Protocol):
    """Serves one client. Requests are decided on in order: one that is held back holds back those behind it."""

    def __init__(self, host: Surroundings) -> None:
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._name = str(uuid.uuid4())
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._exchanges: deque[Exchange] = deque()
        self._head_size = 0
        self._held: tuple[Exchange, Receipt] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._release_at = math.inf
        self._blocked = False
        self._refusal: tuple[int, str, str] | None = None  # status, text, what the capture calls it
        self._unread: deque[bytes] = deque()
        self._unread_size = 0
        self._ending = False
        self._since = host.now

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._host.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._host.connections.discard(self)
        self._transport = None
        self._stop_holding()
        if self._exchanges and not self._ending:
            exchange = self._exchanges[0]
            if exchange.arrival is not None:
                self._host.receiver.abandon(exchange.arrival, exchange.request(exchange.arrival, self._name))

    def data_received(self, data: bytes) -> None:
        if self._ending or self._refusal is not None:
            return
        if self._held is None and not self._blocked:
            self._feed(data)
            return
        self._unread.append(data)
        self._unread_size += len(data)
        if self._unread_size > self._host.limits.unread and self._transport is not None:
            if self._held is not None:
                self.abort()  # reading on is the only way to see a client leave, so it cannot just be made to wait
            else:
                self._transport.pause_reading()

    def eof_received(self) -> None:
        """A client that sends nothing more is taken for gone, as mitmproxy does; what it is owed is still sent."""

    def pause_writing(self) -> None:
        self._blocked = True
        self._since = self._host.now

    def resume_writing(self) -> None:
        self._blocked = False
        self._since = self._host.now
        self._go_on()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._exchanges.append(Exchange())
        self._head_size = 0
        if len(self._exchanges) == 1:
            self._since = self._host.now

    def on_url(self, url: bytes) -> None:
        self._exchanges[-1].url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._exchanges[-1].add_header(name, value)

    def on_headers_complete(self) -> None:
        exchange = self._exchanges[-1]
        exchange.method = self._parser.get_method().decode("latin-1")
        exchange.keep_alive = self._parser.should_keep_alive()
        exchange.head_size += len(exchange.url)
        exchange.head_complete = True
        self._advance()

    def on_body(self, chunk: bytes) -> None:
        if not self._ending:
            self._exchanges[-1].add_body(chunk)
            if self._exchanges[-1].size > self._host.limits.body:
                self._advance()

    def on_message_complete(self) -> None:
        if not self._ending:
            self._exchanges[-1].complete = True
            self._advance()

    # What the host calls.

    def abort(self) -> None:
        """Close the connection now; what was not sent yet is not sent."""
        if self._transport is not None:
            self._transport.abort()

    def look(self) -> None:
        """End the connection when its client is overdue."""
        waited, limits = self._host.now - self._since, self._host.limits
        if self._ending:
            if waited > limits.goodbye:
                self.abort()
        elif self._held is not None:
            pass
        elif self._blocked:
            if waited > limits.body_time:
                self.abort()
        elif not self._exchanges:
            if waited > limits.idle and self._transport is not None:
                self._transport.close()
        elif waited > (limits.body_time if self._exchanges[0].head_complete else limits.head_time):
            self._refuse(408, "The request did not come in time", "timeout")
            self._advance()

    # A request's way.

    def _feed(self, data: bytes) -> None:
        begun = self._exchanges[-1] if self._exchanges else None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:  # no other protocol is spoken here: on with the next request
            self._parser = httptools.HttpRequestParser(self)
            if rest := data[upgrade.args[0] :]:
                self._unread.appendleft(rest)
                self._unread_size += len(rest)
                self._go_on()
        except httptools.HttpParserError:
            self._refuse(400, "The request is not HTTP/1.1", "incomplete")
            self._advance()
        if begun is not None and not begun.head_complete:
            self._head_size += len(data)
            if self._head_size > self._host.limits.head:
                self._refuse(431, "The head of the request is too large", "too large")
                self._advance()

    def _advance(self) -> None:
        """Go as far as possible with the requests that are there."""
        try:
            while self._held is None and not self._blocked and not self._ending and self._step():
                pass
        except Exception as error:
            self._write(encoded(internal_error(error, self._host.report), keep_alive=False))
            self._end()

    def _step(self) -> bool:
        """Do what can be done for the first request. Return whether it is done with."""
        exchange = self._exchanges[0] if self._exchanges else None
        if exchange is not None and exchange.head_complete and exchange.arrival is None:
            self._arrive(exchange)
        if self._ending:
            return False
        if exchange is not None and exchange.size > self._host.limits.body:
            self._refuse(413, "The body is too large", "too large")
        elif exchange is not None and exchange.complete:
            self._exchanges.popleft()
            self._decide(exchange)
            return True
        if self._refusal is not None:
            self._turn_away(exchange, *self._refusal)
        return False

    def _arrive(self, exchange: Exchange) -> None:
        """Number the request, and see whether its body is wanted."""
        limits = self._host.limits
        if exchange.method == "CONNECT":
            self._answer(exchange, no_tunnel(), keep_alive=False)
            return
        if exchange.head_size > limits.head:
            self._turn_away(exchange, 431, "The head of the request is too large", "too large")
            return
        arrival = exchange.arrival = self._host.receiver.arrive(exchange.path)
        self._since = self._host.now
        length = exchange.header("content-length")
        if arrival.fault.reset == "before":
            exchange.drop_body()
            self._host.receiver.receive(arrival, exchange.request(arrival, self._name))
            self._reset()
        elif length and int(length) > limits.body:
            self._turn_away(exchange, 413, "The body is too large", "too large")
        elif not exchange.complete and not exchange.size and exchange.header("expect").lower() == "100-continue":
            self._write(CONTINUE)

    def _decide(self, exchange: Exchange) -> None:
        """Have the whole request decided on and captured, then answer: or not, when the script says so."""
        arrival = exchange.arrival
        assert arrival is not None
        receipt = self._host.receiver.receive(arrival, exchange.request(arrival, self._name))
        exchange.drop_body()
        seconds = arrival.fault.delay + (arrival.fault.hang or 0.0)
        if seconds and arrival.lane is not None and not arrival.lane.closed:
            self._held = exchange, receipt
            self._release_at = time.monotonic() + seconds
            arrival.lane.listeners.add(self._look_at_lane)
            self._release_when_due()
        else:
            self._finish(exchange, receipt)

    def _release_when_due(self) -> None:
        """Hold the answer back until its time; the lane's removal or the client's leaving ends that, too."""
        left = self._release_at - time.monotonic()
        if left <= 0:
            self._release()
        elif left < math.inf:  # the loop's clock is coarse: it may ring early
            self._timer = self._loop.call_later(math.ceil(left * 1000) / 1000, self._release_when_due)

    def _look_at_lane(self) -> None:
        if self._held is not None:
            arrival = self._held[0].arrival
            if arrival is not None and arrival.lane is not None and arrival.lane.closed:
                self._release()

    def _release(self) -> None:
        held = self._stop_holding()
        if held is not None:
            self._finish(*held)
            self._go_on()

    def _stop_holding(self) -> tuple[Exchange, Receipt] | None:
        held, self._held = self._held, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if held is not None and held[0].arrival is not None and held[0].arrival.lane is not None:
            held[0].arrival.lane.listeners.discard(self._look_at_lane)
        return held

    def _go_on(self) -> None:
        """Take up what waited behind a request."""
        self._advance()
        while self._unread and self._held is None and not self._blocked and not self._ending:
            data = self._unread.popleft()
            self._unread_size -= len(data)
            self._feed(data)
        if not self._unread and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # Answers and ends.

    def _finish(self, exchange: Exchange, receipt: Receipt) -> None:
        assert exchange.arrival is not None
        if receipt.answer is not None:
            self._answer(exchange, receipt.answer)
        elif exchange.arrival.fault.reset is not None:
            self._reset()
        else:
            self._end()

    def _answer(self, exchange: Exchange, answer: Answer, keep_alive: bool = True) -> None:
        keep_alive = keep_alive and exchange.keep_alive
        self._write(encoded(answer, keep_alive, exchange.method == "HEAD"))
        self._since = self._host.now
        if not keep_alive:
            self._end()

    def _refuse(self, status: int, detail: str, why: str) -> None:
        """Turn the request away that is coming in, once those before it are done with; nothing more is read."""
        if self._refusal is None:
            self._refusal = status, detail, why

    def _turn_away(self, exchange: Exchange | None, status: int, detail: str, why: str) -> None:
        """Capture what there is of a request that is not read to its end, answer it and end the connection."""
        answer = problem(status, detail, self._name)
        if exchange is not None and exchange.arrival is not None:
            exchange.drop_body()
            request = exchange.request(exchange.arrival, self._name)
            self._host.receiver.abandon(exchange.arrival, request, why, answer)
        self._write(encoded(answer, keep_alive=False))
        self._end()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _end(self) -> None:
        """Send what there is, then FIN. What the client still sends is read and dropped, or it would lose the answer.

        ``look`` ends it when the client does not.
        """
        self._ending = True
        self._since = self._host.now
        self._unread.clear()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()
            self._transport.resume_reading()

    def _reset(self) -> None:
        """Send RST, as a server that died does."""
        self._ending = True
        if self._transport is not None:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()
