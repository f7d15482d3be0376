"""What a proxied request costs the emulated gateway: metering on, metering off, and a bare reverse proxy."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import uvloop

from .measure import Comparison, compare, interleaved
from .processes import Child, child

#: Connections that the load uses; each sends its next request when the last one was answered.
CONNECTIONS = 8
KEY = "alice-key"


def costs(number: int = 4_000, rounds: int = 11) -> list[Comparison]:
    """Compare the CPU of one proxied request, key-auth on, in microseconds of the gateway's process."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = stack.enter_context(child("loadtests.benchmarks.sink"))
        upstream = stack.enter_context(child("loadtests.benchmarks.sink"))
        url = f"http://127.0.0.1:{upstream.ready}"
        proxy = stack.enter_context(child("loadtests.benchmarks.reverse_proxy", url))
        off = stack.enter_context(_gateway(folder / "off.json", url, None))
        on = stack.enter_context(metered_gateway(folder / "on.json", url, f"http://127.0.0.1:{sink.ready}/events"))
        cases = {
            "gateway, metering on": proxied(on, number),
            "gateway, metering off": proxied(off, number),
            "bare aiohttp proxy": _case(proxy, int(proxy.ready), number),
        }
        figures = interleaved(cases, rounds)
    return [
        compare(figures, "gateway, metering on", "gateway, metering off", 1.2),
        compare(figures, "gateway, metering on", "bare aiohttp proxy", 1.25),
    ]


def metered_gateway(file: Path, upstream: str, ingest: str, *options: str) -> AbstractContextManager[Child]:
    """Run the emulated gateway, metering on, with its state in ``file``; ``options`` are more of its options."""
    return _gateway(file, upstream, ingest, *options)


def proxied(gateway: Child, number: int) -> Callable[[], float]:
    """Return the case of ``number`` requests through a gateway."""
    return _case(gateway, int(json.loads(gateway.ready)["proxy"].rpartition(":")[2]), number)


def _gateway(file: Path, upstream: str, ingest: str | None, *options: str) -> AbstractContextManager[Child]:
    plugins: list[dict[str, Any]] = [{"name": "key-auth", "service": "example-service"}]
    if ingest is not None:
        queue = {"max_batch_size": 100, "max_entries": 100_000}
        config = {"ingest_endpoint": ingest, "api_token": "none", "meter_ai_token_usage": False, "queue": queue}
        plugins.append({"name": "metering-and-billing", "service": "example-service", "config": config})
    state = {
        "_format_version": "3.0",
        "services": [{"name": "example-service", "url": upstream}],
        "routes": [{"name": "example-route", "paths": ["/anything"], "service": {"name": "example-service"}}],
        "consumers": [{"username": "alice", "keyauth_credentials": [{"key": KEY}]}],
        "plugins": plugins,
    }
    file.write_text(json.dumps(state))
    arguments = ["gateway", "--config", str(file), "--proxy-port", "0", "--no-admin", "--json"]
    return child("harness.cli.main", *arguments, *options)


def _case(server: Child, port: int, number: int) -> Callable[[], float]:
    def run() -> float:
        before = server.cpu_seconds()
        uvloop.run(_load(port, number))
        return (server.cpu_seconds() - before) / number * 1e6

    return run


async def _load(port: int, number: int) -> None:
    """Send ``number`` requests over a few connections kept alive; every answer must be a 200."""
    head = ["GET /anything HTTP/1.1", f"Host: localhost:{port}", "User-Agent: bench", f"apikey: {KEY}", "", ""]
    request = "\r\n".join(head).encode()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(number // CONNECTIONS):
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"unexpected answer: {answer[:60]!r}")
            await reader.readexactly(2)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
