"""The echo upstream by itself: ``python -m plugin_emulator.gateway.echo_server``, or inside another process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal

from plugin_emulator.gateway.echo import echo
from plugin_emulator.gateway.forwarding import RequestHeaders
from plugin_emulator.gateway.http1 import RequestLine
from plugin_emulator.gateway.http_service import ServiceConnection

DEFAULT_PORT = 8080


async def serve_echo(host: str, port: int) -> asyncio.Server:
    """Begin to answer on ``host`` and ``port`` (0: a free one). Raises OSError."""
    kept: dict[bytes, tuple[RequestLine, RequestHeaders]] = {}
    open_now: set[ServiceConnection] = set()
    return await asyncio.get_running_loop().create_server(lambda: ServiceConnection(echo, kept, open_now), host, port)


async def _run(host: str, port: int) -> None:
    stop = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    try:
        server = await serve_echo(host, port)
    except OSError as error:
        raise SystemExit(f"echo upstream: cannot listen on {host}:{port}: {error.strerror or error}") from None
    await stop.wait()
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Answer any request with what it was.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(options.host, options.port))
