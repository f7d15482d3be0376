"""Runs written for tests: requests and ingest requests go through the real writers, and come back as files."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.capture.record import CapturedRequest
from harness.capture.verdict import Verdict
from harness.ingest.messages import Answer, Receipt
from loadtests.arrivals import ArrivalsWriter
from loadtests.expectations import Expectation, Expectations, ExpectedEvent
from loadtests.ledger import LedgerWriter, ledger_path
from loadtests.numbers import NUMBER_PROPERTY, label

RUN = "0123abcd"
START = 1_700_000_000.0

ALICE = Expectation(
    "alice",
    (ExpectedEvent("kong.api_request", "alice", (("data.request_method", "GET"),)),),
    rejected=(401,),
)
DROPPED = Expectation("no subject")
CHAT = Expectation(
    "chat of bob",
    (
        ExpectedEvent("kong.api_request", "bob", (("data.request_method", "POST"),)),
        ExpectedEvent("kong.llm_request", "bob", (("data.type", "request"),)),
        ExpectedEvent("kong.llm_request", "bob", (("data.type", "response"), ("data.provider", "openai"))),
    ),
)
TABLE = Expectations([ALICE, DROPPED, CHAT])


@dataclass(frozen=True)
class Request:
    """One request of a worker, in the order of numbers; times are seconds after START, None: never ended."""

    expectation: int
    status: int = 200
    started: float = 0.0
    ended: float | None = 1.0


@dataclass(frozen=True)
class Event:
    """One event of an ingest request. ``verdict`` is what the endpoint said of it, ``time`` seconds after START."""

    worker: int
    n: int
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    type: str = "kong.api_request"
    subject: str = "alice"
    data: tuple[tuple[str, Any], ...] = (("request_method", "GET"),)
    verdict: str = "accepted"
    source: str = "kong"
    run: str = RUN
    numbered: bool = True
    number: Any = None
    time: float | None = None

    def body(self) -> dict[str, Any]:
        """Return the event as it comes out of a parsed body."""
        data = dict(self.data)
        if self.numbered:
            data[NUMBER_PROPERTY] = self.number or label(self.run, self.worker, self.n)
        event = {"id": self.id, "source": self.source, "type": self.type, "subject": self.subject, "data": data}
        if self.time is not None:
            at = datetime.fromtimestamp(START + self.time, UTC).isoformat(timespec="microseconds")
            event["time"] = at.replace("+00:00", "Z")
        return event


@dataclass(frozen=True)
class Delivery:
    """One ingest request, ``at`` seconds after START; ``status`` None is no answer."""

    events: tuple[Event, ...]
    at: float = 1.5
    status: int | None = 202
    lane: str = ""
    fault: str | None = None


def api(worker: int, n: int, subject: str = "alice", method: str = "GET", **more: Any) -> Event:
    """Return the api_request event of a request."""
    return Event(worker, n, subject=subject, data=(("request_method", method),), **more)


def chat(worker: int, n: int, **more: Any) -> tuple[Event, Event, Event]:
    """Return the three events of an AI request."""
    llm: dict[str, Any] = {"type": "kong.llm_request", "subject": "bob", **more}
    return (
        api(worker, n, "bob", "POST", **more),
        Event(worker, n, data=(("type", "request"),), **llm),
        Event(worker, n, data=(("type", "response"), ("provider", "openai")), **llm),
    )


def write_run(
    directory: Path,
    requests: dict[int, Sequence[Request]],
    deliveries: Iterable[Delivery] = (),
    table: Expectations = TABLE,
) -> Path:
    """Write a run with ``requests`` by worker, and return its directory."""
    directory.mkdir(parents=True, exist_ok=True)
    table.write(directory)
    for worker, sent in requests.items():
        with LedgerWriter(ledger_path(directory, worker), RUN, worker) as ledger:
            for request in sent:
                n = ledger.begin(request.expectation, START + request.started)
                if request.ended is not None:
                    ledger.end(n, request.status, START + request.ended)
    with ArrivalsWriter(directory, RUN, table.watched()) as arrivals:
        for number, delivery in enumerate(deliveries, 1):
            arrivals.observe(*received(number, delivery))
    return directory


def received(number: int, delivery: Delivery) -> tuple[CapturedRequest, Receipt]:
    """Return an ingest request as its host hands it to an observer."""
    verdicts = tuple(Verdict(event.verdict) for event in delivery.events)  # type: ignore[arg-type]
    record = CapturedRequest(
        n=number,
        lane=delivery.lane,
        arrived_at=START + delivery.at,
        monotonic=delivery.at,
        connection="c",
        method="POST",
        path="/events",
        headers=[],
        size=100 * len(delivery.events),
        status=delivery.status,
        fault=delivery.fault,
        verdicts=verdicts,
    )
    answer = None if delivery.status is None else Answer(delivery.status)
    return record, Receipt(answer, verdicts, [event.body() for event in delivery.events])
