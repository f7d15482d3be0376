"""A way to the ingest endpoint that takes its time: a TCP relay on another loopback address."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: Where gateways find the relay; the endpoint itself is on 127.0.0.1, at the same port.
HOST = "127.0.0.2"


@contextmanager
def slow_path(port: int, seconds: float) -> Iterator[None]:
    """Relay HOST:port to 127.0.0.1:port until the block ends; every byte takes ``seconds``, in both directions."""
    loop = asyncio.new_event_loop()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            loop.call_later(seconds, writer.write, data)
        await asyncio.sleep(seconds)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(carry(reader, back), carry(there, writer))

    server = loop.run_until_complete(asyncio.start_server(relay, HOST, port))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def end() -> None:
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.call_later(0.05, loop.stop)

    try:
        yield
    finally:
        loop.call_soon_threadsafe(end)
        thread.join()
        loop.close()
