"""What it costs to record a load while it runs: an event at the ingest endpoint, a request in the ledger."""

from __future__ import annotations

import tempfile
import time
import uuid
from pathlib import Path

import orjson

from harness.capture.record import CapturedRequest
from harness.ingest.messages import ACCEPTED, Answer, Receipt
from loadtests.arrivals import ArrivalsWriter
from loadtests.ledger import LedgerWriter, ledger_path
from loadtests.numbers import NUMBER_PROPERTY, label

from .measure import Comparison, compare, interleaved
from .pipeline import BATCH, DATA

_RUN = "0123abcd"
#: The fields that a run with AI requests watches.
_WATCHED = (
    "data.ai_plugin_name",
    "data.model",
    "data.provider",
    "data.request_method",
    "data.request_uri",
    "data.route_name",
    "data.service_name",
    "data.type",
)


def costs(batches: int = 400, rounds: int = 7) -> list[Comparison]:
    """Compare with parsing the same events, which the endpoint has to do in any case."""
    bodies = [_body(first) for first in range(0, batches * BATCH, BATCH)]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with (
            ArrivalsWriter(directory, _RUN, _WATCHED) as arrivals,
            LedgerWriter(ledger_path(directory, 0), _RUN, 0) as ledger,
        ):
            cases = {
                "an event's arrival, batch 100": lambda: _observing(arrivals, bodies),
                "a request in the ledger": lambda: _sending(ledger, batches * BATCH),
                "parsing the event": lambda: _parsing(bodies),
            }
            figures = interleaved(cases, rounds)
    names = list(cases)
    return [compare(figures, name, names[-1], 1.25) for name in names[:-1]]


def _observing(arrivals: ArrivalsWriter, bodies: list[bytes]) -> float:
    """Record events that have just been parsed, as the endpoint does."""
    record = CapturedRequest(1, "", time.time(), 0.0, "", "POST", "/events", [], len(bodies[0]), status=202)
    taken = 0.0
    for body in bodies:
        receipt = Receipt(Answer(202), [ACCEPTED] * BATCH, orjson.loads(body))
        started = time.process_time()
        arrivals.observe(record, receipt)
        taken += time.process_time() - started
    return taken / (len(bodies) * BATCH) * 1e6


def _sending(ledger: LedgerWriter, requests: int) -> float:
    started = time.process_time()
    for _ in range(requests):
        ledger.end(ledger.begin(0, 1.0), 200, 2.0)
    return (time.process_time() - started) / requests * 1e6


def _parsing(bodies: list[bytes]) -> float:
    taken = 0.0
    for body in bodies:
        started = time.process_time()
        orjson.loads(body)
        taken += time.process_time() - started
    return taken / (len(bodies) * BATCH) * 1e6


def _body(first: int) -> bytes:
    return orjson.dumps(
        [
            {
                "specversion": "1.0",
                "id": str(uuid.uuid4()),
                "source": "kong-gateway",
                "type": "kong.api_request",
                "subject": "alice",
                "time": "2026-01-01T00:00:00.000Z",
                "data": {**DATA, NUMBER_PROPERTY: label(_RUN, 0, n)},
            }
            for n in range(first, first + BATCH)
        ]
    )
