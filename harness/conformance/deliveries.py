"""How a scenario's events were sent, as data: every try of every batch, what was lost, what the queue was told.

Times are seconds since the scenario began; in virtual time they are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.conformance.arrival_form import USAGE_EVENTS, ArrivalForm
from harness.conformance.observation import Delivery, Observation
from harness.conformance.scenario import MAIN_LANE, Scenario


@dataclass(frozen=True, slots=True)
class Try:
    """One try to deliver one batch.

    ``at`` is when it began (over HTTP: when it had arrived), ``seconds`` how long the answer took (None: not known),
    ``status`` the answer (None: there was none). ``batch`` counts the batches of all lanes from 1 in order of their
    first try, ``number`` the tries of this batch from 0. ``shape`` is object, array or invalid, and "entries" in
    virtual time, which has no bytes. ``entered`` are the times at which its events came to be, as far as known. An
    answer below ``success_below`` takes the batch off the queue, when it is 200 or more (RET-6, AMB-8).
    """

    at: float
    status: int | None
    events: int
    shape: str
    lane: str
    batch: int
    number: int
    seconds: float | None = None
    entered: tuple[float, ...] = ()
    success_below: int = 300

    @property
    def succeeded(self) -> bool:
        """Whether the answer takes the batch off the queue."""
        return self.status is not None and 200 <= self.status < self.success_below


@dataclass(frozen=True, slots=True)
class Lost:
    """One entry that the queue gave up or had no room for."""

    at: float
    entry: str
    reason: str


@dataclass(frozen=True, slots=True)
class Deliveries:
    """All tries in order of time, all losses, and by lane the queue's settings as the scenario gives them.

    A lane has no settings when they are not one queue's: several plugins send there, they change on the way, or the
    gateway is stopped, which sends what waits.
    ``exact`` is whether the times are virtual.
    """

    tries: Sequence[Try] = ()
    lost: Sequence[Lost] = ()
    queues: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    exact: bool = False


def of_trace(schedule: Mapping[str, Any], trace: Mapping[str, Any], form: ArrivalForm = USAGE_EVENTS) -> Deliveries:
    """Return what happened in virtual time; see ``kong-metering simulate`` for the forms of schedule and trace."""
    entered = {entry["id"]: float(entry["t"]) for entry in schedule.get("arrivals", ())}
    numbering = _Numbering()
    tries = [
        Try(
            at=float(entry["t"]),
            status=entry.get("status"),
            events=len(entry["entries"]),
            shape="entries",
            lane=MAIN_LANE,
            **numbering.next(tuple(entry["entries"])),
            seconds=entry.get("duration"),
            entered=tuple(entered[name] for name in entry["entries"] if name in entered),
            success_below=form.success_below,
        )
        for entry in trace.get("tries", ())
    ]
    lost = [Lost(float(entry["t"]), str(entry["id"]), str(entry["reason"])) for entry in trace.get("lost", ())]
    queues = {MAIN_LANE: dict(schedule["queue"])} if "queue" in schedule else {}
    return Deliveries(tries, lost, queues, exact=True)


def of_observation(scenario: Scenario, seen: Observation) -> Deliveries:
    """Return what reached the ingest endpoint over HTTP."""
    numbering = _Numbering()
    tries = [
        Try(
            at=delivery.at - seen.started_at,
            status=delivery.status,
            events=len(delivery.events),
            shape=delivery.shape,
            lane=delivery.lane,
            **numbering.next((delivery.lane, delivery.body)),
            entered=_entered(scenario.form, delivery, seen.started_at),
            success_below=scenario.form.success_below,
        )
        for delivery in seen.deliveries
    ]
    return Deliveries(tries, (), _queues(scenario))


class _Numbering:
    """Tells the tries of one batch from the next batch: a retry carries the same entries (RET-4)."""

    def __init__(self) -> None:
        self._batches: dict[tuple[str, ...], list[int]] = {}

    def next(self, entries: tuple[str, ...]) -> dict[str, int]:
        known = self._batches.setdefault(entries, [len(self._batches) + 1, -1])
        known[1] += 1
        return {"batch": known[0], "number": known[1]}


def _entered(form: ArrivalForm, delivery: Delivery, since: float) -> tuple[float, ...]:
    """An event cannot have waited longer than since the time it bears (EVT-4)."""
    return tuple(_times(form, (event.get(form.when) for event in delivery.events), since, delivery.at))


def _times(form: ArrivalForm, values: Iterable[Any], since: float, latest: float) -> Iterable[float]:
    for value in values:
        try:
            at, _ = form.read_time(value)
        except ValueError:
            continue
        yield max(0.0, min(at, latest) - since)


def _queues(scenario: Scenario) -> dict[str, Mapping[str, Any]]:
    if any(step.of_the_gateway for step in scenario.steps):
        return {}
    lanes = [plugin.get("lane", MAIN_LANE) for plugin in scenario.plugins]
    return {
        lane: dict(plugin.get("config", {}).get("queue") or {})
        for lane, plugin in zip(lanes, scenario.plugins, strict=True)
        if lanes.count(lane) == 1 and plugin.get("name") == "metering-and-billing"
    }
