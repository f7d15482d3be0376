"""What no correct gateway sends: traffic that fails a test although none of its assertions did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.capture.record import CapturedRequest
from harness.pytest_metering.delivery import Delivery, Event, said, summary

#: Faults after which a gateway cannot know that its events were taken in: it has to send them again (DLV-2).
_ANSWER_NOT_SEEN = frozenset({"delay", "drop_answer"})

Identity = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong whatever the test is about: ``rule`` (an id), ``text``, and the delivery it is in."""

    rule: str
    text: str
    delivery: int

    def __str__(self) -> str:
        return f"#{self.delivery}  {self.text} ({self.rule})"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An event that was accepted before and came again in the ``delivery`` of that number.

    ``explained``: the gateway could not know better, since a fault kept the answer from it.
    """

    event: Event
    delivery: int
    explained: bool

    @property
    def key(self) -> tuple[int, Identity]:
        """What tells this duplicate from others of the same event."""
        return self.delivery, identity(self.event)


def identity(event: Event) -> Identity:
    """Return what makes an event this one (EVT-3)."""
    return str(event.get("source")), str(event.get("id"))


def violations(deliveries: Sequence[Delivery]) -> Iterator[Violation]:
    """Yield what the endpoint found wrong in requests and events, and events that changed between two tries."""
    contents: dict[Identity, Event] = {}
    for delivery in deliveries:
        for finding in delivery.findings:
            place = f"{delivery.method} {delivery.path.partition('?')[0]}"
            yield Violation(finding.rule, f"{place}: {said(finding)}", delivery.number)
        for event, verdict in zip(delivery.events, delivery.judged, strict=True):
            for finding in verdict.findings:
                yield Violation(finding.rule, f"{summary(event)}: {said(finding)}", delivery.number)
            if verdict.verdict != "invalid" and contents.setdefault(identity(event), event) != event:
                text = f"{summary(event)}: has an id that came before with another content"
                yield Violation("RET-4", text, delivery.number)


def duplicates(deliveries: Sequence[Delivery]) -> Iterator[Duplicate]:
    """Yield each event that was taken in once more."""
    excused: dict[Identity, bool] = {}
    for delivery in deliveries:
        for event, verdict in zip(delivery.events, delivery.verdicts, strict=True):
            key = identity(event)
            if verdict == "duplicate":
                yield Duplicate(event, delivery.number, excused.get(key, False))
            if verdict in ("accepted", "duplicate"):
                excused[key] = delivery.fault in _ANSWER_NOT_SEEN


def strays(requests: Iterable[CapturedRequest]) -> Iterator[Violation]:
    """Yield a violation for each request to a path that is no test's endpoint."""
    for request in requests:
        text = f"{request.method} {request.path.partition('?')[0]}: is not the path of ingest.url"
        yield Violation("DLV-1", text, request.n)
