"""Puts the lanes on the network with mitmproxy, as a reverse proxy that never has an upstream.

Every request is answered by the addon here; connecting to anything is refused twice over, by answering before
mitmproxy would connect and by an error set on any connection that is about to be made.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from mitmproxy import http, options
from mitmproxy.addons import next_layer, proxyserver
from mitmproxy.connection import ConnectionState
from mitmproxy.master import Master
from mitmproxy.proxy import server_hooks

from harness.ingest.lanes import Arrival, Lanes
from harness.ingest.messages import Answer, IngestRequest
from harness.ingest.problem import problem

#: Where mitmproxy is told the upstream is. The discard port: nothing listens there, and nothing asks it.
_NOWHERE = "reverse:http://127.0.0.1:9"
_ARRIVAL = "arrival"
_LOOK_EVERY = 0.02  # seconds between looks at whether a hanging client has left

_LONGEST_GOODBYE = 2.0  # seconds for open connections to end at a stop

Report = Callable[[str], None]


class IngestAddon:
    """The mitmproxy addon: hands requests to the lanes and acts out their answers and faults."""

    def __init__(self, lanes: Lanes, report: Report) -> None:
        self._lanes = lanes
        self._report = report

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Number the request; close the connection when the script wants it before the body is read."""
        try:
            arrival = self._lanes.arrive(_path(flow))
            flow.metadata[_ARRIVAL] = arrival
            if arrival.fault.reset == "before":
                del flow.metadata[_ARRIVAL]
                self._lanes.receive(arrival, _request(flow, arrival))
                _kill(flow)
        except Exception as error:
            self._fail(flow, error)

    async def request(self, flow: http.HTTPFlow) -> None:
        """Decide on the whole request, capture it, then answer: or not, when the script says so."""
        try:
            arrival = flow.metadata.pop(_ARRIVAL)
            assert isinstance(arrival, Arrival)
            receipt = self._lanes.receive(arrival, _request(flow, arrival))
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
        """Refuse to be a tunnel."""
        flow.response = _response(problem(405, "This endpoint is no proxy", "connect", headers=(("Allow", "POST"),)))

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Refuse any connection to an upstream."""
        data.server.error = "the ingest endpoint has no upstream"

    def error(self, flow: http.HTTPFlow) -> None:
        """Record a request whose client left before its body was complete."""
        arrival = flow.metadata.pop(_ARRIVAL, None)
        if isinstance(arrival, Arrival):
            self._lanes.abandon(arrival, _request(flow, arrival))

    def _fail(self, flow: http.HTTPFlow, error: Exception) -> None:
        """Answer 500 rather than let mitmproxy look for an upstream."""
        self._report(f"internal error: {type(error).__name__} in the ingest endpoint; answered 500")
        detail = f"Internal error of the ingest endpoint [{type(error).__name__}]"
        flow.response = _response(problem(500, detail, "internal"))


class PortError(OSError):
    """The endpoint cannot listen. The message is one line with address and reason."""


async def serve(
    lanes: Lanes,
    host: str,
    port: int,
    stop: asyncio.Event,
    ready: Callable[[int], Awaitable[None]],
    report: Report,
) -> None:
    """Serve ``lanes`` on ``host``:``port`` (0: any free port) until ``stop`` is set.

    ``ready`` is awaited with the port once requests are taken; ``report`` gets one-line messages for the operator.
    Raises PortError when the port cannot be had.
    """
    master = Master(options.Options(listen_host=host, listen_port=port, mode=[_NOWHERE]))
    untyped: Any = master
    proxy = _proxy_server()
    # Only what serves HTTP: none of mitmproxy's addons that store flows, write certificates or read configuration.
    untyped.addons.add(proxy, next_layer.NextLayer(), IngestAddon(lanes, report))
    untyped.options.update(connection_strategy="lazy", keep_host_header=True)
    handler = _ErrorLog(report)
    try:
        if not await proxy.setup_servers():
            raise PortError(_reason(proxy, host, port))
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


def _reason(proxy: proxyserver.Proxyserver, host: str, port: int) -> str:
    for instance in proxy.servers:
        error = instance.last_exception
        if isinstance(error, OSError) and error.errno is not None:
            known = error.errno > 0  # a name that cannot be resolved has a number of its own kind
            reason = os.strerror(error.errno) if known else error.strerror
            return f"cannot listen on {host}:{port}: {reason}"
        if error is not None:
            return f"cannot listen on {host}:{port}: {error}"
    return f"cannot listen on {host}:{port}"


def _path(flow: http.HTTPFlow) -> str:
    return flow.request.data.path.decode("latin-1")


def _request(flow: http.HTTPFlow, arrival: Arrival) -> IngestRequest:
    return IngestRequest(
        method=flow.request.method,
        path=_path(flow),
        headers=tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in flow.request.headers.fields
        ),
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
