"""What became of an event when the ingest endpoint is heard, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.capture.life import Delivery, Life
from harness.journal.explanation import Outcome, Verdict, weight_of, whom_of
from harness.journal.joining import Attempt, took
from harness.journal.lives import EventLife, RequestLife
from harness.journal.wording import endpoint_of

#: Gateway and capture contradict each other, and no more is known.
DISPUTED = "disputed"

#: A try that is not answered may have been received (DLV-2): the rule behind a duplicate.
_UNANSWERED = "DLV-2"


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a request at one metering plugin, or of one of its events; as in an Explanation, or disputed."""

    outcome: str
    cause: str
    rule: str | None = None
    event: EventLife | None = None

    @property
    def weight(self) -> int:
        """Where it stands among others: the least decides what became of the request."""
        if self.outcome == DISPUTED:
            return weight_of(Outcome.LOST, None)
        return weight_of(Outcome(self.outcome), self.rule)


def judged_without_event(verdict: Verdict, carried: int) -> Judged:
    """Judge a request of which no event was made; ``carried`` captured events have its id in them all the same."""
    if not carried:
        return Judged(verdict.outcome, verdict.cause, verdict.rule)
    events = "an event that carries" if carried == 1 else f"{carried:,} events that carry"
    cause = f"{verdict.cause}; but the capture has {events} its id: another metering plugin, or another gateway?"
    return Judged(DISPUTED, cause, verdict.rule)


def judged(verdict: Verdict, request: RequestLife, attempts: Sequence[Attempt], *, captured: bool) -> Judged:
    """Judge an event by the gateway's ``verdict`` and by what the capture, if there is one, has of it."""
    event = verdict.event
    assert event is not None
    same = Judged(verdict.outcome, verdict.cause, verdict.rule, event)
    if not captured:
        return same
    deliveries = [each.delivery for each in attempts if each.delivery is not None]
    taken = next((each for each in attempts if each.delivery is not None and took(each.delivery)), None)
    if taken is not None:
        return _taken(same, request, taken, deliveries)
    if verdict.outcome is Outcome.BILLED:
        return _not_taken(same, request, attempts, deliveries)
    last = attempts[-1].tried if attempts else None
    if not deliveries and last is not None and last.status == 503:
        full = "the capture does not have the request: at its limit (--capture-limit) the ingest endpoint answers 503"
        return Judged(same.outcome, f"{same.cause}; {full}", same.rule, event)
    if deliveries and verdict.outcome in (Outcome.UNDER_WAY, Outcome.LOST):
        return Judged(same.outcome, f"{same.cause}{_why_refused(deliveries[-1])}", same.rule, event)
    return same


def judged_by_the_endpoint(life: Life) -> Judged:
    """Judge an entry that only the capture knows."""
    outcome, _, cause = life.conclusion().partition(": ")
    last = life.deliveries[-1]
    findings = (*last.findings, *last.request_findings)
    if outcome not in (Outcome.BILLED, Outcome.NOT_BILLED):  # what became of it, a real endpoint behind alone knows
        return Judged(DISPUTED, life.conclusion(), findings[0].rule if findings else None)
    if outcome == Outcome.BILLED or not findings:
        return Judged(outcome, cause)
    return Judged(outcome, f"{last.verdict}: {_found(last)}", findings[0].rule)


def _taken(same: Judged, request: RequestLife, taken: Attempt, deliveries: list[Delivery]) -> Judged:
    """The endpoint has accepted the event, whatever the gateway knows of that."""
    assert taken.delivery is not None
    duplicates = sum(each.verdict == "duplicate" for each in deliveries if each is not taken.delivery)
    if same.outcome == Outcome.UNDER_WAY and taken.untold is not None:
        metered = next(each for each in request.metered if same.event and each.instance == same.event.instance)
        held = ", which is held back by its fault script" if taken.delivery.fault == "delay" else ""
        cause = (
            f"{whom_of(request, metered)}; the ingest endpoint accepted the event with request "
            f"#{taken.delivery.request}, and the gateway waits for the answer to it (try {taken.untold}){held}"
        )
        return Judged(Outcome.BILLED, cause, None, same.event)
    if same.outcome != Outcome.BILLED:
        metered = next(each for each in request.metered if same.event and each.instance == same.event.instance)
        cause = (
            f"{whom_of(request, metered)}; the ingest endpoint accepted the event with request "
            f"#{taken.delivery.request}, which the gateway does not know: to it the event is "
            f"{same.outcome}, {same.cause}"
        )
        return Judged(Outcome.BILLED, cause, _UNANSWERED, same.event)
    if not duplicates:
        return same
    again = "1 delivery more is a duplicate" if duplicates == 1 else f"{duplicates} deliveries more are duplicates"
    why = taken.disagreement or f"it was accepted with request #{taken.delivery.request}"
    return Judged(Outcome.BILLED, f"{same.cause}; {again}: {why}", _UNANSWERED, same.event)


def _not_taken(same: Judged, request: RequestLife, attempts: Sequence[Attempt], deliveries: list[Delivery]) -> Judged:
    """The gateway holds the event for delivered, the endpoint has not accepted it."""
    assert same.event is not None
    delivered, tried = next((each, each.tried) for each in attempts if each.tried is not None and each.tried.ok)
    if deliveries:
        last = delivered.delivery or deliveries[-1]
        cause = (
            f"the gateway took try {tried.number} for delivered (answered {tried.status}), at the ingest endpoint "
            f"the event is {last.verdict}{_why_refused(last)}"
        )
        return Judged(Outcome.LOST, cause, None, same.event)
    batch = same.event.batch
    instance = batch.tried_by(tried) if batch is not None else None
    where = endpoint_of(instance or request.instances.get(same.event.instance))
    cause = (
        f"the gateway delivered it to {where} with try {tried.number}, the capture does not have it: another ingest "
        "endpoint, or another capture file?"
    )
    return Judged(DISPUTED, cause, None, same.event)


def _why_refused(last: Delivery) -> str:
    """Return what the endpoint has against an event that it did not accept, as an addition to a sentence."""
    if last.relayed is not None and not last.relayed.sent:
        return f"; it was not passed on: {last.relayed.failure}"
    if last.relayed is not None and last.relayed.failure is not None:
        return f"; it was passed on to {last.relayed.host} without an answer ({last.relayed.failure})"
    if last.verdict == "invalid":
        return f"; the event is invalid: {_found(last)}"
    if last.fault:
        return f"; the ingest endpoint's fault script had it so ({last.fault})"
    if last.request_findings:
        return f"; {_found(last)}"
    if last.status == 400:
        return "; another event of its batch is invalid"
    return ""


def _found(last: Delivery) -> str:
    first = (*last.findings, *last.request_findings)[0]
    place = f" {first.pointer}" if first.pointer else ""
    return f"{first.rule}{place}: {first.message}"
