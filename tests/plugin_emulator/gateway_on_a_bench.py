"""A gateway between a scripted upstream and a raw client, in one event loop: what the gateway tests stand on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plugin_emulator.documents import parse_document
from plugin_emulator.exchange import AccessRequest, Exchange
from plugin_emulator.gateway.server import Gateway
from plugin_emulator.gateway.state_file import load_state
from plugin_emulator.gateway_versions import NEWEST_GATEWAY
from plugin_emulator.metering_plugin import Configured

Respond = Callable[["Received", asyncio.StreamWriter], Awaitable[bool]]


@dataclass(frozen=True)
class Received:
    """A request as it came over a socket; ``connection`` counts the connections of that server from 0."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def header(self, name: str) -> str | None:
        return next((value for given, value in self.headers if given.lower() == name.lower()), None)


@dataclass(frozen=True)
class Response:
    """A response as a client reads it."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for given, value in self.headers if given.lower() == name.lower()), None)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RecordingRuntime:
    """Stands where the metering runtime does and keeps what it is told."""

    def __init__(self) -> None:
        self.instances: Mapping[str, Configured] = {}
        self.logged: list[tuple[str, Exchange]] = []
        self.kept_out: list[tuple[str, str]] = []
        self.stopped: bool | None = None
        self._arrived = asyncio.Event()

    def configure(self, instances: Mapping[str, Configured]) -> None:
        self.instances = dict(instances)

    def access(self, instance_id: str, request: AccessRequest, go_on: Callable[[], None]) -> bool:
        return True

    def log(self, instance_id: str, exchange: Exchange) -> None:
        self.logged.append((instance_id, exchange))
        self._arrived.set()

    def keep_out(self, instance_id: str, rule: str, reason: str) -> None:
        self.kept_out.append((instance_id, rule))

    def statistics(self) -> dict[str, Any]:
        return {"requests": len(self.logged)}

    async def stop(self, *, graceful: bool) -> int:
        self.stopped = graceful
        return 0

    async def exchanges(self, count: int) -> list[Exchange]:
        """Return the exchanges logged, once there are ``count``."""
        async with asyncio.timeout(10):
            while len(self.logged) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return [exchange for _, exchange in self.logged]


@dataclass
class Upstream:
    """A server that answers as ``respond`` says; without it with 200 and a fixed body."""

    respond: Respond | None = None
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections = self.connections, self.connections + 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await read_request(reader, number)
                self.received.append(request)
                if self.respond is None:
                    writer.write(b"HTTP/1.1 200 OK\r\nServer: up/1\r\nContent-Length: 2\r\n\r\nok")
                elif not await self.respond(request, writer):
                    break
                await writer.drain()
        writer.close()


async def read_request(reader: asyncio.StreamReader, connection: int) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    lines = head.split("\r\n")[:-2]
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return Received(lines[0], headers, await reader.readexactly(length), connection)


class Client:
    """A keep-alive client connection that sends what it is given."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode("latin-1") if isinstance(data, str) else data)
        await self.writer.drain()

    async def response(self, *, bare: bool = False) -> Response:
        """Read one response; ``bare`` for one without a body whatever its headers say."""
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.split("\r\n")[:-2]
            match = re.fullmatch(r"HTTP/1\.1 (\d+) (.*)", lines[0])
            assert match, lines[0]
            headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
            response = Response(int(match[1]), match[2], headers, b"")
            if bare or response.status == 204:
                return response
            length = response.header("content-length")
            if length is not None:
                body = await self.reader.readexactly(int(length))
            elif response.header("transfer-encoding") == "chunked":
                body = await self._chunks()
            else:
                body = await self.reader.read()
        return Response(response.status, response.reason, headers, body)

    async def _chunks(self) -> bytes:
        body = b""
        while True:
            size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
            body += await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
            if not size:
                return body

    async def get(self, target: str, *headers: str, method: str = "GET") -> Response:
        lines = "".join(f"{header}\r\n" for header in headers)
        await self.send(f"{method} {target} HTTP/1.1\r\nHost: gateway.test:8000\r\n{lines}\r\n")
        return await self.response(bare=method == "HEAD")

    async def closed(self) -> bool:
        """Return whether the gateway closes the connection without sending more."""
        async with asyncio.timeout(10):
            return await self.reader.read() == b""


@dataclass
class Bench:
    gateway: Gateway
    runtime: RecordingRuntime
    upstream: Upstream
    log: list[str] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        port = int(self.gateway.proxy_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()


def example_state(port: int, **changes: Any) -> dict[str, Any]:
    """A Service on ``port`` with key-auth, a Route on /anything, alice with her key, metering for everything."""
    service = {"name": "example-service", "url": f"http://127.0.0.1:{port}", **changes.pop("service", {})}
    state = {
        "_format_version": "3.0",
        "services": [
            {
                **service,
                "routes": [{"name": "example-route", "paths": ["/anything"], **changes.pop("route", {})}],
                "plugins": [
                    {"name": "key-auth", "config": changes.pop("key_auth", {}), **changes.pop("key_auth_entity", {})}
                ],
            },
            {"name": "open", "url": f"http://127.0.0.1:{port}", "routes": [{"name": "open", "paths": ["/open"]}]},
        ],
        "consumers": [
            {"username": "alice", "keyauth_credentials": [{"key": "alice-key"}]},
            {"username": "guest"},
        ],
        "plugins": [metering()],
    }
    return {**state, **changes}


def metering(**scope: Any) -> dict[str, Any]:
    config = {"ingest_endpoint": "http://127.0.0.1:9/events", "api_token": "t"}
    return {"name": "metering-and-billing", "config": config, **scope}


def load(state: dict[str, Any], version: str = NEWEST_GATEWAY) -> Any:
    return load_state(parse_document(json.dumps(state)), environ={}, gateway=version)


@contextlib.asynccontextmanager
async def bench(
    respond: Respond | None = None,
    *,
    echo: bool = False,
    admin: bool = False,
    db_less: bool = False,
    version: str = NEWEST_GATEWAY,
    **changes: Any,
) -> AsyncIterator[Bench]:
    """A started gateway with the example state, changed by ``changes``."""
    upstream = Upstream(respond)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    runtime = RecordingRuntime()
    log: list[str] = []
    gateway = Gateway(
        load(example_state(upstream.port, **changes), version),
        runtime,
        echo_upstream=echo,
        admin_port=0 if admin else None,
        gateway=version,
        environ={},
        db_less=db_less,
        log=log.append,
    )
    await gateway.start()
    try:
        yield Bench(gateway, runtime, upstream, log)
    finally:
        await gateway.stop(graceful=False)
        server.close()
