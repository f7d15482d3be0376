"""A gateway with the Amberflo plugin between a client, an upstream and a sink that stands in for Amberflo."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from gateway_on_a_bench import Client, Received, Upstream, example_state, load, read_request

from plugin_emulator.gateway.entities import GatewayState
from plugin_emulator.gateway.server import Gateway
from plugin_emulator.metering_plugins import metering_runtime
from plugin_emulator.runtime.metering_runtime import MeteringRuntime

KEY = "amberflo-key-of-the-test"


def amberflo(name: str = "amberflo", **config: Any) -> dict[str, Any]:
    required = {"apiKey": KEY, "meterApiName": "kong-api-calls", "customerHeader": "x-consumer-username"}
    return {"name": name, "config": required | config}


@dataclass
class Sink:
    """Answers each POST with the next of ``answers``, 200 when there is none; while ``held``, with nothing at all."""

    received: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    port: int = 0

    def __post_init__(self) -> None:
        self.held.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ingest"

    @property
    def records(self) -> list[dict[str, Any]]:
        return [record for request in self.received for record in json.loads(request.body)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await read_request(reader, 0)
                status = self.answers.pop(0) if self.answers else 200
                async with self.changed:
                    self.received.append(request)
                    self.changed.notify_all()
                await self.held.wait()
                writer.write(f"HTTP/1.1 {status} Answer\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        writer.close()

    async def requests(self, count: int) -> list[Received]:
        """Return what was POSTed, once there are ``count`` requests."""
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(lambda: len(self.received) >= count)
        return self.received

    async def got(self, records: int) -> list[dict[str, Any]]:
        """Return the records, once there are that many."""
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(lambda: len(self.records) >= records)
        return self.records


@dataclass
class AmberfloBench:
    gateway: Gateway
    runtime: MeteringRuntime
    upstream: Upstream
    sink: Sink
    log: list[str]

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        port = int(self.gateway.proxy_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()

    @property
    def connections(self) -> int:
        """Number of clients that are connected."""
        context = self.gateway._context
        assert context is not None
        return len(context.connections)

    def counted(self) -> dict[str, Any]:
        """Return the figures of the only metering instance."""
        (figures,) = self.runtime.statistics().values()
        return dict(figures)

    def state(self, *plugins: dict[str, Any]) -> GatewayState:
        """Return the example state with these plugins."""
        state: GatewayState = load(example_state(self.upstream.port, plugins=list(plugins)))
        return state

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - figures tell nobody that they have changed
                await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def amberflo_bench(
    *plugins: dict[str, Any], admin: bool = False, endpoint: str | None = None, **options: Any
) -> AsyncIterator[AmberfloBench]:
    """A started gateway with the example state and these plugins; ``options`` are those of the Amberflo emulation."""
    upstream, sink, log = Upstream(), Sink(), list[str]()
    servers = []
    for each in (upstream, sink):
        server = await asyncio.start_server(each.serve, "127.0.0.1", 0)
        each.port = server.sockets[0].getsockname()[1]
        servers.append(server)
    state = load(example_state(upstream.port, plugins=list(plugins or [amberflo()])))
    to = {"endpoint": sink.url if endpoint is None else endpoint}
    runtime = metering_runtime(options={"amberflo": to | options}, log=log.append)
    gateway = Gateway(state, runtime, admin_port=0 if admin else None, environ={}, log=log.append)
    await gateway.start()
    try:
        yield AmberfloBench(gateway, runtime, upstream, sink, log)
    finally:
        sink.held.set()
        await gateway.stop(graceful=False)
        for server in servers:
            server.close()
        assert not any(KEY in line for line in log)
