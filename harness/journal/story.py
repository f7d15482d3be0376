"""A request's life in words, from both sides: the gateway's steps, and between them the ingest endpoint's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from harness.capture.life import Delivery
from harness.capture.verdict import Finding
from harness.journal.joining import Attempt
from harness.journal.lives import RequestLife
from harness.journal.steps import steps_of
from harness.journal.wording import seconds

GATEWAY, ENDPOINT = "gateway", "ingest endpoint"


class Moment(msgspec.Struct, frozen=True):
    """One thing that happened ``at`` a time (seconds since the epoch), as ``side`` tells it.

    ``side`` is ``gateway`` or ``ingest endpoint``. A request at the endpoint stands within the try that it belongs
    to, whatever the endpoint's clock says.
    """

    at: float
    side: str
    text: str


def story_of(request: RequestLife | None, attempts: Mapping[str, Sequence[Attempt]]) -> tuple[Moment, ...]:
    """Return what is known of a request, in its order; ``attempts`` are those of its events, by id."""
    told = [] if request is None else [Moment(step.at, GATEWAY, step.text) for step in steps_of(request)]
    seen = [*_of_the_endpoint(attempts)]
    # what happens at one time: the endpoint's part of a try is before its end
    order = sorted([*((each.at, 0, each) for each in seen), *((each.at, 1, each) for each in told)], key=_at)
    return tuple(each for _, _, each in order)


def _at(timed: tuple[float, int, Moment]) -> tuple[float, int]:
    return timed[:2]


def _of_the_endpoint(attempts: Mapping[str, Sequence[Attempt]]) -> Iterator[Moment]:
    """Yield a moment for each request that the endpoint got, with all that it had of the events."""
    requests: dict[tuple[int, str], list[tuple[str, Attempt, Delivery]]] = {}
    for event, sent in attempts.items():
        for attempt in sent:
            if attempt.delivery is not None:
                found = requests.setdefault((attempt.delivery.request, attempt.delivery.lane), [])
                found.append((event, attempt, attempt.delivery))
    for parts in requests.values():
        _, attempt, delivery = parts[0]
        yield Moment(_when(attempt, delivery), ENDPOINT, _told(parts))


def _when(attempt: Attempt, delivery: Delivery) -> float:
    tried = attempt.tried
    return delivery.at if tried is None else min(max(delivery.at, tried.at - tried.took), tried.at)


def _told(parts: list[tuple[str, Attempt, Delivery]]) -> str:
    _, attempt, first = parts[0]
    lane = f" of lane {first.lane}" if first.lane else ""
    fault = f" [{first.fault}]" if first.fault else ""
    verdicts = [f"event {one.position + 1} of {one.entries} {_judged(one)}" for _, _, one in parts]
    findings = f" ({_found(first.request_findings)})" if first.request_findings else ""
    answer = f"{_answer(attempt, first)}{fault}{_relayed(first)}"
    return f"request #{first.request}{lane}{_of_try(attempt)}: {answer}; {', '.join(verdicts)}{findings}"


def _of_try(attempt: Attempt) -> str:
    if attempt.untold is not None:
        return f" (try {attempt.untold}, under way)"
    return "" if attempt.tried is None else f" (try {attempt.tried.number})"


def _answer(attempt: Attempt, delivery: Delivery) -> str:
    """Return what was answered; the capture has a request before its answer is held back."""
    if delivery.status is None:
        return "no answer"
    if delivery.fault != "delay":
        return f"answered {delivery.status}"
    if attempt.untold is not None:
        return f"the answer {delivery.status} is held back"
    tried = attempt.tried
    heard = tried is not None and tried.status == delivery.status
    length = (
        f" for {seconds(tried.at - max(delivery.at, tried.at - tried.took))}" if tried is not None and heard else ""
    )
    return f"the answer {delivery.status} was held back{length}"


def _relayed(delivery: Delivery) -> str:
    """Return what the real endpoint said to a request that was passed on."""
    relayed = delivery.relayed
    if relayed is None:
        return ""
    result = relayed.failure if relayed.status is None else f"which answered {relayed.status}"
    return f", relayed to {relayed.host}: {result} after {seconds(relayed.seconds)}"


def _judged(delivery: Delivery) -> str:
    return f"{delivery.verdict} ({_found(delivery.findings)})" if delivery.findings else delivery.verdict


def _found(findings: Sequence[Finding]) -> str:
    return "; ".join(f"{each.rule}{f' {each.pointer}' if each.pointer else ''}: {each.message}" for each in findings)
