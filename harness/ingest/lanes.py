"""Lanes: independent ingest endpoints behind one port, each with its own token, faults, numbers and memory.

The first step of the path selects one: ``/lane/<name>/…``. Everything else is the lane without a name. This room
ties the endpoint's decisions to the capture; it knows no server, so any host can put it on the network.
"""

from __future__ import annotations

import dataclasses
import re
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.capture.record import CapturedRequest, Relayed, body_members
from harness.capture.redaction import Secrets, redacted_path
from harness.capture.store import CaptureError, CaptureWriter
from harness.ingest.core import IngestCore, IngestSettings
from harness.ingest.earlier_runs import marks_of_earlier_runs
from harness.ingest.faults import NO_FAULT, Fault, FaultScript
from harness.ingest.messages import ACCEPTED, Answer, Finding, IngestRequest, Receipt
from harness.ingest.parsed_later import ParsedLater
from harness.ingest.problem import problem
from harness.ingest.timed_fault import TimedFault

_PREFIX = re.compile(r"/lane/([^/?#]*)(?=[/?#]|$)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def is_lane_name(text: str) -> bool:
    """Return whether ``text`` can name a lane; "" is the lane without a name."""
    return text == "" or _NAME.fullmatch(text) is not None


def without_lane(path: str) -> str:
    """Return ``path`` without the steps that select a lane."""
    match = _PREFIX.match(path)
    return path[match.end() :] if match else path


@dataclass
class Counts:
    """How many requests and events a lane or a process has seen, by verdict."""

    requests: int = 0
    events: int = 0
    accepted: int = 0
    duplicate: int = 0
    invalid: int = 0
    refused: int = 0

    def add(self, receipt: Receipt) -> None:
        """Count one request with its verdicts."""
        self.requests += 1
        self.events += len(receipt.verdicts)
        plain = receipt.verdicts.count(ACCEPTED)  # nearly always all of them, and it takes no time
        self.accepted += plain
        if plain < len(receipt.verdicts):
            for verdict in receipt.verdicts:
                if verdict != ACCEPTED:
                    setattr(self, verdict.verdict, getattr(self, verdict.verdict) + 1)


@dataclass(eq=False)
class Lane:
    """One endpoint. ``arrived`` counts requests by their heads; ``listeners`` are called after each is captured.

    ``timed`` is a fault for all requests of a time; while it lasts it is stronger than ``script``.
    ``places`` says where in the capture file the lane's requests are, so none stays in memory.
    """

    name: str
    core: IngestCore
    script: FaultScript
    arrived: int = 0
    closed: bool = False
    timed: TimedFault | None = None
    counts: Counts = field(default_factory=Counts)
    places: array[int] = field(default_factory=lambda: array("Q"))
    listeners: set[Callable[[], None]] = field(default_factory=set)

    def notify(self) -> None:
        """Call the listeners."""
        for listener in list(self.listeners):
            listener()

    def fault_at(self, now: float) -> Fault:
        """Return the fault of the request that has just been counted as arrived, at ``now`` (monotonic seconds)."""
        if self.timed is not None:
            fault = self.timed.at(now)
            if fault is not None:
                return fault
            self.timed = None
        return self.script.fault_for(self.arrived)


@dataclass(frozen=True)
class Arrival:
    """A request whose head has come in: its lane (None when there is none of that name), number and fault."""

    lane: Lane | None
    lane_name: str
    number: int
    fault: Fault
    arrived_at: float
    monotonic: float


Observer = Callable[[CapturedRequest, Receipt], None]


class Lanes:
    """All lanes of one ingest process, over one capture file.

    ``observer`` is told of each request once it is captured, with its place; ``complain`` gets a line when the
    capture begins to take none. Not safe for several threads at once.

    The lane without a name knows what the capture has of it from earlier runs; its numbers begin with 1. Raises
    CaptureError and CaptureFormatError when that cannot be read.
    """

    def __init__(
        self,
        capture: CaptureWriter,
        settings: IngestSettings,
        script: FaultScript,
        observer: Observer | None = None,
        complain: Callable[[str], None] | None = None,
    ) -> None:
        self._capture = capture
        self._observer = observer
        self._complain = complain
        self._lanes: dict[str, Lane] = {}
        self._strays = 0
        self.counts = Counts()
        self.capture_failure: str | None = None
        lane = self.set("", settings, script)
        lane.core.remember(marks_of_earlier_runs(capture, "", settings.api, settings.remembered))

    def set(self, name: str, settings: IngestSettings, script: FaultScript) -> Lane:
        """Set up the lane ``name`` afresh: numbers from 1, an empty memory. What it captured stays in the file."""
        self.remove(name)
        self._lanes[name] = lane = Lane(name, IngestCore(settings), script)
        return lane

    def get(self, name: str) -> Lane | None:
        """Return the lane, None when it was never set or is removed."""
        return self._lanes.get(name)

    def names(self) -> list[str]:
        """Return the names of all lanes, sorted."""
        return sorted(self._lanes)

    def remove(self, name: str) -> bool:
        """Remove a lane; requests hanging in it are let go. Return whether there was one."""
        lane = self._lanes.pop(name, None)
        if lane is None:
            return False
        lane.closed = True
        lane.notify()
        return True

    def arrive(self, path: str) -> Arrival:
        """Take note of a request's head: it gets its number now, and with it its fault."""
        match = _PREFIX.match(path)
        name = match[1] if match else ""
        lane = self._lanes.get(name)
        if lane is None:
            self._strays += 1
            return Arrival(None, name, self._strays, NO_FAULT, time.time(), time.monotonic())
        lane.arrived += 1
        now = time.monotonic()
        return Arrival(lane, name, lane.arrived, lane.fault_at(now), time.time(), now)

    def receive(self, arrival: Arrival, request: IngestRequest) -> Receipt:
        """Decide on a request and write it to the capture; only then may the host answer.

        When the capture cannot be written the events are not accepted and the answer is 503: nothing that was
        answered with success is ever missing from the capture.
        """
        lane, seen = arrival.lane, _Seen.of(request)
        if lane is None:
            name = seen.secrets.hidden_in_text(arrival.lane_name)
            receipt = Receipt(problem(404, f"There is no lane [{name}]", f"stray-{arrival.number}"))
        else:
            receipt = seen.told(lane.core.receive(seen.request, arrival.fault), lane)
        return self._kept(arrival, seen, receipt)

    def witness(self, arrival: Arrival, request: IngestRequest, answer: Answer, relayed: Relayed) -> Receipt:
        """Judge a request of a lane that was passed on, and write it with the ``answer`` to the capture.

        When the capture cannot be written the answer is 503 here, too: the client sends the batch again, and the
        endpoint behind knows it again.
        """
        lane, seen = arrival.lane, _Seen.of(request)
        assert lane is not None
        receipt = seen.told(lane.core.witness(seen.request, answer, arrival.fault), lane)
        return self._kept(arrival, seen, receipt, relayed)

    def abandon(
        self, arrival: Arrival, request: IngestRequest, why: str = "incomplete", answer: Answer | None = None
    ) -> None:
        """Record a request whose body never came whole, and ``why``: its client left, was too slow, sent too much."""
        receipt = Receipt(answer)
        record = _record(arrival, _Seen.of(request), receipt, why)
        place = self._write(record, receipt)
        if place is not None:
            self._count(arrival.lane, record, receipt, place)

    def line(self, lane: Lane, index: int) -> bytes:
        """Return the ``index``-th captured request of ``lane`` as JSON. Raises CaptureError."""
        return self._capture.line(lane.places[index])

    def _kept(self, arrival: Arrival, seen: _Seen, receipt: Receipt, relayed: Relayed | None = None) -> Receipt:
        """Write and count a request; return its receipt, or that of a request that could not be written."""
        lane = arrival.lane
        record = _record(arrival, seen, receipt, arrival.fault.label, relayed)
        place = self._write(record, receipt)
        if place is None:
            if lane is None:
                return Receipt(problem(503, "The capture cannot be written", f"stray-{arrival.number}"))
            lane.core.forget(receipt)
            return Receipt(lane.core.unavailable("The capture cannot be written") if arrival.fault.answers else None)
        self._count(lane, record, receipt, place)
        return receipt

    def _write(self, record: CapturedRequest, receipt: Receipt) -> int | None:
        events = receipt.events
        try:
            place = self._capture.append(record, events.quick if isinstance(events, ParsedLater) else events)
        except CaptureError as error:
            if self.capture_failure is None and self._complain is not None:
                self._complain(f"{error}; events are answered 503")
            self.capture_failure = str(error)
            return None
        self.capture_failure = None
        return place

    def _count(self, lane: Lane | None, record: CapturedRequest, receipt: Receipt, place: int) -> None:
        self.counts.add(receipt)
        if lane is not None:
            lane.counts.add(receipt)
            lane.places.append(place)
            lane.notify()
        if self._observer is not None:
            self._observer(record, dataclasses.replace(receipt, place=place))


@dataclass(frozen=True, slots=True)
class _Seen:
    """A request as it may be judged, stored and shown: its secrets are in none but the headers they belong to.

    ``size`` is that of the body as it came, in bytes; ``repeats`` says that the body had one of the secrets in it.
    """

    request: IngestRequest
    secrets: Secrets
    size: int
    repeats: bool

    @classmethod
    def of(cls, request: IngestRequest) -> _Seen:
        secrets = Secrets.of(request.headers, request.path)
        body = secrets.hidden(request.body)
        repeats = body is not request.body
        return cls(
            dataclasses.replace(request, body=body) if repeats else request, secrets, len(request.body), repeats
        )

    def told(self, receipt: Receipt, lane: Lane) -> Receipt:
        """Return ``receipt``, with a finding when the body has a secret."""
        if not self.repeats:
            return receipt
        rule = lane.core.settings.api.request_rule
        finding = Finding(rule, "", "the body repeats a credential of the request; it is redacted here")
        return dataclasses.replace(receipt, findings=(*receipt.findings, finding))


def _record(
    arrival: Arrival, seen: _Seen, receipt: Receipt, fault: str | None, relayed: Relayed | None = None
) -> CapturedRequest:
    request, secrets = seen.request, seen.secrets
    headers = secrets.shown_headers
    return CapturedRequest(
        n=arrival.number,
        lane=secrets.hidden_in_text(arrival.lane_name),
        arrived_at=arrival.arrived_at,
        monotonic=arrival.monotonic,
        connection=request.connection,
        method=secrets.hidden_in_text(request.method),
        path=secrets.hidden_in_text(redacted_path(request.path)),
        headers=headers,
        size=seen.size,
        content_type=next((value.strip(" \t") for name, value in headers if name.lower() == "content-type"), None),
        status=receipt.answer.status if receipt.answer is not None else None,
        fault=fault,
        findings=receipt.findings,
        verdicts=tuple(receipt.verdicts),
        relayed=relayed,
        **body_members(request.body),
    )
