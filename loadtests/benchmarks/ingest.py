"""What taking in an event costs the ingest endpoint, next to the same servers doing only a part of it."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import orjson
import uvloop

from plugin_emulator.metering_and_billing.config import load_config
from plugin_emulator.metering_and_billing.pipeline import Drop, Pipeline

from .ingest_server import KINDS
from .measure import Comparison, compare, interleaved
from .pipeline import BATCH, exchange
from .processes import Child, child

#: Connections that the load uses; each sends its next request when the last one was answered.
CONNECTIONS = 4
#: Ours may cost so many times what only parsing and counting costs: 0.35 and 0.7 of the events a second.
FAST_LIMIT = 1 / 0.35
MITMPROXY_LIMIT = 1 / 0.7
#: Where there is next to nothing to parse, remembering and recording an event weigh more: an id that is always new is
#: kept twice, in the body and in the outline that a capture is searched by, and shrinks in neither.
SMALL_LIMIT = 5.5
#: A batch of 100 costs mitmproxy little more than one event does, so there, too, they weigh more: about 1.35 alone on
#: a machine, up to 1.7 beside neighbours who want the same caches.
MITMPROXY_BATCH_LIMIT = 2.0
#: ... and so much of what plain ``jsonschema`` costs: 12 times the events a second.
JSONSCHEMA_LIMIT = 1 / 12


def full_bodies(count: int, batch: int = BATCH) -> list[bytes]:
    """Return ``count`` batches of events as the metering plugin makes them, all 22 fields known, every id new."""
    pipeline = Pipeline(load_config({"ingest_endpoint": "http://127.0.0.1/", "api_token": "none"}))
    one = exchange()

    def entries() -> Iterable[bytes]:
        for _ in range(batch):
            made = pipeline.entries(one)
            assert not isinstance(made, Drop)
            yield from made

    return [b"[" + b",".join(entries()) + b"]" for _ in range(count)]


def small_bodies(count: int, batch: int = BATCH) -> list[bytes]:
    """Return ``count`` batches of the smallest events there are: five members, every id new."""
    event = {"specversion": "1.0", "source": "kong", "type": "kong.api_request", "subject": "alice"}
    return [orjson.dumps([{**event, "id": str(uuid.uuid4())} for _ in range(batch)]) for _ in range(count)]


def costs(requests: int = 500, rounds: int = 7) -> list[Comparison]:
    """Compare the CPU of one event, in batches of 100, or of one request, in microseconds of the server's process."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        fast, counting, plain, mitmproxy, addon = (
            stack.enter_context(child("loadtests.benchmarks.ingest_server", kind, folder)) for kind in KINDS
        )
        cases = {
            "ingest --server fast, batch 100, per event": _case(fast, full_bodies, requests),
            "the same server, only parsing and counting": _case(counting, full_bodies, requests),
            "the same server with jsonschema": _case(plain, full_bodies, requests // 25),
            "the same, smallest events": _case(fast, small_bodies, 4 * requests),
            "only parsing and counting, smallest events": _case(counting, small_bodies, 4 * requests),
            "ingest --server mitmproxy, batch 100, per event": _case(mitmproxy, full_bodies, requests // 2),
            "mitmproxy addon, only parsing and counting": _case(addon, full_bodies, requests // 2),
            "ingest --server mitmproxy, batch 1, per request": _case(mitmproxy, full_bodies, requests, 1),
            "that addon, batch 1": _case(addon, full_bodies, requests, 1),
        }
        figures = interleaved(cases, rounds)
    ours, parsing, jsonschema, small, parsing_small, large, addon_large, single, addon_single = cases
    return [
        compare(figures, ours, parsing, FAST_LIMIT),
        compare(figures, ours, jsonschema, JSONSCHEMA_LIMIT),
        compare(figures, small, parsing_small, SMALL_LIMIT),
        compare(figures, large, addon_large, MITMPROXY_BATCH_LIMIT),
        compare(figures, single, addon_single, MITMPROXY_LIMIT),
    ]


def _case(
    server: Child, bodies: Callable[[int, int], list[bytes]], number: int, batch: int = BATCH
) -> Callable[[], float]:
    def run() -> float:
        # Some first that do not count: a process that has been idle for a while has lost its place in the caches.
        uvloop.run(send(int(server.ready), bodies(number // 5, batch)))
        sent = bodies(number, batch)
        before = server.cpu_seconds()
        uvloop.run(send(int(server.ready), sent))
        return (server.cpu_seconds() - before) / (number * batch) * 1e6

    return run


async def send(port: int, bodies: Iterable[bytes]) -> None:
    """POST ``bodies`` over a few connections kept alive; every answer must be a 202."""
    waiting = iter(bodies)
    head = (
        f"POST /v3/openmeter/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer none\r\n"
        "Content-Type: application/cloudevents-batch+json\r\nContent-Length: {length}\r\n\r\n"
    )

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in waiting:
            writer.write(head.replace("{length}", str(len(body))).encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 202"):
                raise RuntimeError(f"unexpected answer: {answer[:60]!r}")
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
