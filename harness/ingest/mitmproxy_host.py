"""Puts the lanes on the network with mitmproxy, as a reverse proxy, or a forward one, that never has an upstream.

Every request is answered by the addon here; connecting to anything is refused twice over, by answering before
mitmproxy would connect and by an error set on any connection that is about to be made.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mitmproxy import http, options
from mitmproxy.addons import next_layer, proxyserver
from mitmproxy.connection import ConnectionState
from mitmproxy.master import Master
from mitmproxy.proxy import server_hooks

from harness.capture.redaction import Secrets, redacted_path
from harness.ingest.host import PortError, Receiver, Report, internal_error, no_tunnel
from harness.ingest.lanes import Arrival
from harness.ingest.messages import Answer, Headers, IngestRequest, Receipt
from harness.ingest.relay import Relay
from harness.ingest.stand_in import StandIn, StandInTls, is_for_proxy

#: Where mitmproxy is told the upstream is. The discard port: nothing listens there, and nothing asks it.
_NOWHERE = "reverse:http://127.0.0.1:9"
_LOOK_EVERY = 0.02  # seconds between looks at whether a hanging client has left

_LONGEST_GOODBYE = 2.0  # seconds for open connections to end at a stop


#: Is told of each request and its receipt once it is captured, before the answer.
Noted = Callable[[http.HTTPFlow, Arrival, IngestRequest, Receipt], None]


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A request whose head is in, with path and headers as they came: the flow shows none of their secrets."""

    arrival: Arrival
    path: str
    headers: Headers


class IngestAddon:
    """The mitmproxy addon: hands requests to the lanes and acts out their answers and faults.

    The values of secret headers are taken out of a flow as soon as its head is in, before anybody can see or save it.
    """

    def __init__(
        self,
        lanes: Receiver,
        report: Report,
        stand_in: StandIn | None = None,
        noted: Noted | None = None,
        relay: Relay | None = None,
    ) -> None:
        """``relay``: has whole requests answered in the place of ``lanes``. ``noted`` is told of every receipt."""
        self._lanes = lanes
        self._report = report
        self._stand_in = stand_in
        self._noted = noted
        self._relay = relay
        self._under_way: dict[str, _UnderWay] = {}

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Number the request; close the connection when the script wants it before the body is read."""
        try:
            path, headers = _take_secrets(flow)
            if self._stand_in is not None and is_for_proxy(flow) and not self._stand_in.takes(flow.request.host):
                flow.response = _response(self._stand_in.refusal())
                return
            under_way = _UnderWay(self._lanes.arrive(path), path, headers)
            if under_way.arrival.fault.reset == "before":
                request = _request(flow, under_way)
                self._note(flow, under_way.arrival, request, self._lanes.receive(under_way.arrival, request))
                _kill(flow)
            else:
                self._under_way[flow.id] = under_way
        except Exception as error:
            self._fail(flow, error)

    async def request(self, flow: http.HTTPFlow) -> None:
        """Decide on the whole request, capture it, then answer: or not, when the script says so."""
        under_way = self._under_way.pop(flow.id, None)
        if under_way is None:  # refused by its head
            return
        try:
            arrival = under_way.arrival
            request = _request(flow, under_way)
            _take_secrets_of_body(flow, request)
            if self._relay is None:
                receipt = self._lanes.receive(arrival, request)
            else:
                receipt = await self._relay.receive(arrival, request)
            self._note(flow, arrival, request, receipt)
            if arrival.fault.delay:
                await _client_gone(flow, arrival, arrival.fault.delay)
            if arrival.fault.hang is not None:
                await _client_gone(flow, arrival, arrival.fault.hang)
            if receipt.answer is None:
                _kill(flow)
            else:
                flow.response = _response(receipt.answer)
        except Exception as error:
            self._fail(flow, error)

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Refuse to be a tunnel, except one that ends here."""
        if self._stand_in is None:
            flow.response = _response(no_tunnel())
        elif not self._stand_in.takes(flow.request.host):
            flow.response = _response(self._stand_in.refusal())

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Refuse any connection to an upstream."""
        data.server.error = "the ingest endpoint has no upstream"

    def error(self, flow: http.HTTPFlow) -> None:
        """Record a request whose client left before its body was complete."""
        under_way = self._under_way.pop(flow.id, None)
        if under_way is not None:
            request = _request(flow, under_way)
            secrets = _take_secrets_of_body(flow, request)
            if flow.error is not None:
                flow.error.msg = secrets.hidden_in_text(flow.error.msg)
            self._lanes.abandon(under_way.arrival, request)

    def _note(self, flow: http.HTTPFlow, arrival: Arrival, request: IngestRequest, receipt: Receipt) -> None:
        if self._noted is not None:
            self._noted(flow, arrival, request, receipt)

    def _fail(self, flow: http.HTTPFlow, error: Exception) -> None:
        """Answer 500 rather than let mitmproxy look for an upstream."""
        flow.response = _response(internal_error(error, self._report))


async def serve(
    lanes: Receiver,
    host: str,
    port: int,
    stop: asyncio.Event,
    ready: Callable[[int], Awaitable[None]],
    report: Report,
    stand_in: StandIn | None = None,
    relay: Relay | None = None,
) -> None:
    """Serve ``lanes`` on ``host``:``port`` (0: any free port) until ``stop`` is set.

    ``ready`` is awaited with the port once requests are taken; ``report`` gets one-line messages for the operator.
    With ``stand_in`` the port takes TLS as well as plain HTTP, told apart by a connection's first byte, and there may
    be a proxy's port beside it. With ``relay`` it has requests answered. Raises PortError when a port cannot be had.
    """
    addon = IngestAddon(lanes, report, stand_in, relay=relay)
    await serve_addon(addon, host, port, stop, ready, report, stand_in)


async def serve_addon(
    addon: object,
    host: str,
    port: int,
    stop: asyncio.Event,
    ready: Callable[[int], Awaitable[None]],
    report: Report,
    stand_in: StandIn | None = None,
) -> None:
    """Serve with any mitmproxy ``addon`` that answers each request. Otherwise as ``serve``."""
    modes = [_NOWHERE]
    if stand_in is not None and stand_in.proxy_port is not None:
        modes.append(f"regular@{stand_in.proxy_port}")
    master = Master(options.Options(listen_host=host, listen_port=port, mode=modes))
    untyped: Any = master
    proxy = _proxy_server()
    # Only what serves HTTP: none of mitmproxy's addons that store flows, write certificates or read configuration.
    untyped.addons.add(proxy, next_layer.NextLayer(), addon)
    if stand_in is not None:
        untyped.addons.add(StandInTls(stand_in, report))
    # HTTP/1.1 alone: a fault that ends a connection would end one stream of HTTP/2.
    untyped.options.update(connection_strategy="lazy", keep_host_header=True, http2=False, rawtcp=False)
    handler = _ErrorLog(report)
    try:
        if not await proxy.setup_servers():
            failed, error = _failure(proxy, port)
            raise PortError.of(host, failed, error)
        logging.getLogger("mitmproxy").addHandler(handler)
        await master.running()
        await ready(int(proxy.listen_addrs()[0][1]))
        await stop.wait()
        for instance in proxy.servers:
            await instance.stop()
        await _hang_up(proxy)
    finally:
        logging.getLogger("mitmproxy").removeHandler(handler)
        await master.done()


class _ErrorLog(logging.Handler):
    """Passes mitmproxy's own errors on, without their tracebacks."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.ERROR)
        self._sink = report

    def emit(self, record: logging.LogRecord) -> None:
        self._sink(f"mitmproxy: {record.getMessage()}".splitlines()[0])


async def _hang_up(proxy: proxyserver.Proxyserver) -> None:
    """Close the connections that are open, so that none is left for the event loop to tear down."""
    end = time.monotonic() + _LONGEST_GOODBYE
    while proxy.connections and time.monotonic() < end:
        for connection in list(proxy.connections.values()):
            for transport in connection.transports.values():
                if transport.handler is not None:
                    transport.handler.cancel("the ingest endpoint stops")
        await asyncio.sleep(_LOOK_EVERY)


def _proxy_server() -> proxyserver.Proxyserver:
    make: Callable[[], proxyserver.Proxyserver] = proxyserver.Proxyserver
    return make()


def _kill(flow: Any) -> None:
    """Close the client's connection without an answer, if it is still there."""
    if flow.killable:
        flow.kill()


def _failure(proxy: proxyserver.Proxyserver, port: int) -> tuple[int, BaseException | None]:
    """Return the port that could not be had, and why."""
    for instance in proxy.servers:
        if instance.last_exception is not None:
            return instance.mode.listen_port(port) or port, instance.last_exception
    return port, None


def _take_secrets(flow: http.HTTPFlow) -> tuple[str, Headers]:
    """Return path and headers as they came, and leave the flow what may be seen of them."""
    path = flow.request.data.path.decode("latin-1")
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in flow.request.headers.fields)
    secrets = Secrets.of(headers, path)
    shown = secrets.shown_headers
    if shown != list(headers):
        fields = ((name.encode("latin-1"), value.encode("latin-1")) for name, value in shown)
        flow.request.headers = http.Headers(fields)
    flow.request.data.path = secrets.hidden_in_text(redacted_path(path)).encode("latin-1")
    return path, headers


def _take_secrets_of_body(flow: http.HTTPFlow, request: IngestRequest) -> Secrets:
    """Leave the flow what may be seen of a body that has come whole, or as far as it did; return the secrets."""
    secrets = Secrets.of(request.headers, request.path)
    shown = secrets.hidden(request.body)
    if shown is not request.body:
        flow.request.data.content = shown
    flow.request.trailers = None
    return secrets


def _request(flow: http.HTTPFlow, under_way: _UnderWay) -> IngestRequest:
    arrival = under_way.arrival
    return IngestRequest(
        method=flow.request.method,
        path=under_way.path,
        headers=under_way.headers,
        body=flow.request.raw_content or b"",
        arrived_at=arrival.arrived_at,
        connection=flow.client_conn.id,
        monotonic=arrival.monotonic,
    )


def _response(answer: Answer) -> http.Response:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    response = http.Response.make(answer.status, answer.body, http.Headers(headers))
    if answer.status == 204:  # must not announce a body
        response.headers.pop("Content-Length", None)
    return response


async def _client_gone(flow: http.HTTPFlow, arrival: Arrival, seconds: float) -> None:
    """Wait until the client has closed its side, the lane is removed, or ``seconds`` have passed."""
    end = time.monotonic() + seconds
    while flow.client_conn.state & ConnectionState.CAN_READ:
        if arrival.lane is None or arrival.lane.closed:
            return
        left = end - time.monotonic()
        if left <= 0:
            return
        await asyncio.sleep(min(left, _LOOK_EVERY))
