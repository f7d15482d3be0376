"""An ingest server to measure: ours, or the same server doing only a part of it.

Run as ``python -m loadtests.benchmarks.ingest_server KIND DIRECTORY``, where the capture goes into DIRECTORY; it
prints its port and ends when its standard input closes.

=====================  ==========================================================================================
``fast``               the fast host with our lanes: every event validated, duplicates known, all of it captured
``fast-counting``      the fast host; parses with orjson, counts the events, answers 202
``fast-jsonschema``    the same, and validates each event with the ``jsonschema`` library
``mitmproxy``          the mitmproxy host with our lanes
``mitmproxy-counting`` a mitmproxy addon that parses with orjson, counts the events and answers 202
=====================  ==========================================================================================
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import orjson
import uvloop
from jsonschema import Draft202012Validator
from mitmproxy import http

from harness.capture.store import CaptureWriter
from harness.ingest import fast_host, mitmproxy_host
from harness.ingest.cloudevents import event_schema
from harness.ingest.cloudevents.formats import checker
from harness.ingest.core import IngestSettings
from harness.ingest.faults import NO_FAULT, FaultScript
from harness.ingest.lanes import Arrival, Lanes
from harness.ingest.messages import Answer, IngestRequest, Receipt

KINDS = ("fast", "fast-counting", "fast-jsonschema", "mitmproxy", "mitmproxy-counting")
_SCHEMA = Path(event_schema.__file__).with_name("schemas") / "event.json"


class Counting:
    """Takes every request: parses its body and counts the events; with a validator judges each one, too."""

    def __init__(self, validator: Draft202012Validator | None = None) -> None:
        self.events = 0
        self._validator = validator
        self._accepted = Receipt(Answer(202))

    def arrive(self, path: str) -> Arrival:
        """Take note of a request's head."""
        return Arrival(None, "", 0, NO_FAULT, time.time(), time.monotonic())

    def receive(self, arrival: Arrival, request: IngestRequest) -> Receipt:
        """Parse, count and perhaps validate."""
        events = orjson.loads(request.body)
        self.events += len(events)
        if self._validator is not None and not all(map(self._validator.is_valid, events)):
            return Receipt(Answer(400))
        return self._accepted

    def abandon(
        self, arrival: Arrival, request: IngestRequest, why: str = "incomplete", answer: Answer | None = None
    ) -> None:
        """Ignore what never came whole."""


class CountingAddon:
    """The same in as little mitmproxy as possible."""

    def __init__(self) -> None:
        self.events = 0

    def request(self, flow: http.HTTPFlow) -> None:
        """Parse, count, answer."""
        self.events += len(orjson.loads(flow.request.raw_content or b""))
        flow.response = http.Response.make(202)


async def _serve(kind: str, directory: Path) -> None:
    stop = asyncio.Event()

    async def ready(port: int) -> None:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        asyncio.get_running_loop().run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: stop.set())

    def complain(message: str) -> None:
        sys.stderr.write(message + "\n")

    where = ("127.0.0.1", 0, stop, ready, complain)
    if kind == "mitmproxy-counting":
        await mitmproxy_host.serve_addon(CountingAddon(), *where)
    elif kind == "fast-counting":
        await fast_host.serve(Counting(), *where)
    elif kind == "fast-jsonschema":
        schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
        await fast_host.serve(Counting(Draft202012Validator(schema, format_checker=checker())), *where)
    else:
        with CaptureWriter(directory / f"{kind}.capture") as capture:
            lanes = Lanes(capture, IngestSettings(), FaultScript())
            await (fast_host.serve if kind == "fast" else mitmproxy_host.serve)(lanes, *where)


def main(kind: str, directory: str) -> None:
    """Serve as ``kind`` until standard input closes."""
    run = uvloop.run if kind.startswith("fast") else asyncio.run
    run(_serve(kind, Path(directory)))


if __name__ == "__main__":
    main(*sys.argv[1:])
