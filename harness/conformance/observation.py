"""What one scenario's run showed: requests sent and answered, deliveries that arrived. Plain data, no secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.conformance.arrival_form import identity_of
from harness.conformance.scenario import MAIN_LANE


@dataclass(frozen=True, slots=True)
class Answer:
    """One request of the traffic with the client's view of its answer.

    Times are in seconds since the epoch, ``seconds`` by a clock that never steps. ``status`` is None when there was
    no answer; ``error`` then says why. ``refused`` is whether nothing listened there.
    """

    step: str
    started_at: float
    ended_at: float
    seconds: float
    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    error: str | None = None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request that reached the ingest endpoint.

    ``number`` counts from 1 in order of arrival, ``at`` is when it had arrived (seconds since the epoch), ``status``
    the endpoint's answer (None: no answer). ``accepted`` is whether it took the events in, answered or not.
    ``events`` are the JSON objects of the body, one for an object. ``shape`` is object, array or invalid. ``path``
    has no lane in it. ``complaints`` are the endpoint's verdicts: (rule id, sentence).
    """

    number: int
    at: float
    status: int | None
    shape: str
    content_type: str | None
    body: str
    events: Sequence[Mapping[str, Any]]
    accepted: bool
    method: str = "POST"
    path: str = "/"
    lane: str = MAIN_LANE
    connection: str | None = None
    complaints: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Arrived:
    """One event as accepted first, with the delivery that brought it."""

    event: Mapping[str, Any]
    delivery: Delivery


@dataclass(slots=True)
class Observation:
    """Everything seen while one scenario ran.

    ``refused`` is the gateway's message when it refused the state, ``log`` what it wrote to its log,
    ``advice`` the ids of the lint rules that have something to say, ``waited_for`` what a step waited for in vain,
    such as ``{"events": 3}``: nothing after that step was done.
    """

    answers: list[Answer] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    refused: str | None = None
    dropped: Mapping[str, str] = field(default_factory=dict)
    started_at: float = 0.0
    trace: Mapping[str, Any] | None = None
    log: Sequence[str] = ()
    advice: Sequence[str] = ()
    waited_for: Mapping[str, int] | None = None

    def window(self, step: str) -> tuple[float, float] | None:
        """Return first start and last end of a step's requests, in seconds since the epoch."""
        times = [(answer.started_at, answer.ended_at) for answer in self.answers if answer.step == step]
        return (min(start for start, _ in times), max(end for _, end in times)) if times else None


def accepted_events(deliveries: Iterable[Delivery]) -> list[Arrived]:
    """Return the distinct events (by lane and identity, SPEC EVT-3) that were accepted, in order of arrival."""
    arrived: dict[tuple[str, ...], Arrived] = {}
    for delivery in deliveries:
        if delivery.accepted:
            for event in delivery.events:
                arrived.setdefault((delivery.lane, *identity_of(event)), Arrived(event, delivery))
    return list(arrived.values())
