"""A second reconciliation, as plain as can be: dicts and loops over requests and deliveries as the tests write them.

It shares no code with the one that is tested, and says what the classes mean.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtests.expectations import Expectation, Expectations, ExpectedEvent
from loadtests.numbers import label
from tests.loadtests.recorded_run import RUN, Delivery, Event, Request


@dataclass
class Expected:
    """What ``reconcile`` must say."""

    classes: Counter[str] = field(default_factory=Counter)
    named: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    events: Counter[str] = field(default_factory=Counter)
    wrong_fields: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    strangers: int = 0
    retries: int = 0


@dataclass
class _Arrival:
    event: Event
    lane: str
    at: float
    answered: bool
    wrong: set[str]


def expected_of(
    requests: dict[int, Sequence[Request]],
    deliveries: Sequence[Delivery],
    table: Expectations,
    late_after: float | None,
) -> Expected:
    """Reconcile, request by request, in the order of workers and numbers."""
    result = Expected()
    slots: dict[tuple[int, int, int | None], list[_Arrival]] = defaultdict(list)
    for delivery in deliveries:
        retry = False
        for event in delivery.events:
            sent = requests.get(event.worker, ())
            if event.run != RUN or event.n >= len(sent):
                result.strangers += 1
                continue
            slot, wrong = _slot(table[sent[event.n].expectation], event, delivery.lane)
            if slot is not None:
                wrong |= _against_request(table[sent[event.n].expectation].events[slot], sent[event.n], event)
            arrived = slots[event.worker, event.n, slot]
            retry |= slot is not None and bool(arrived)
            answered = delivery.status is not None and delivery.status // 100 == 2
            arrived.append(_Arrival(event, delivery.lane, delivery.at, answered, wrong))
        result.retries += retry
    _mark_shared_ids(slots)
    for worker in sorted(requests):
        for n, request in enumerate(requests[worker]):
            expectation = table[request.expectation]
            found = [slots[worker, n, k] for k in range(len(expectation.events))]
            extra = [each for each in slots[worker, n, None] if each.event.verdict == "accepted"]
            name = _class(result, request, expectation, found, extra, late_after)
            result.classes[name] += 1
            result.named[name].append(label(RUN, worker, n))
    return result


def _slot(expectation: Expectation, event: Event, lane: str) -> tuple[int | None, set[str]]:
    """Return which event it stands for and what is wrong with it."""
    seen: dict[str, Any] = {f"data.{name}": value for name, value in event.data}
    candidates = []
    for k, each in enumerate(expectation.events):
        if each.type == event.type:
            wrong = {path for path, value in each.fields if seen.get(path) != value}
            agreeing = len(each.fields) - len(wrong)
            if each.lane is not None and each.lane != lane:
                wrong.add("lane")
                agreeing -= 1
            if each.subject != event.subject:
                wrong.add("subject")
            candidates.append((bool(wrong - {"subject"}), -agreeing, k, wrong))
    if not candidates:
        return None, {"type"}
    *_, k, wrong = min(candidates, key=lambda candidate: candidate[:3])
    return k, wrong


def _against_request(expected: ExpectedEvent, request: Request, event: Event) -> set[str]:
    """Return what differs from the request as it went: status and time, to a millisecond."""
    wrong = set()
    status = request.status if request.ended is not None else 0
    if expected.status_field is not None and status:
        seen = {f"data.{name}": value for name, value in event.data}.get(expected.status_field)
        if seen is True or seen != status:
            wrong.add(expected.status_field)
    if expected.timed:
        ended = math.inf if not status or request.ended is None else request.ended
        if event.time is None or not request.started - 0.001 <= event.time <= ended + 0.001:
            wrong.add("time")
    return wrong


def _mark_shared_ids(slots: dict[tuple[int, int, int | None], list[_Arrival]]) -> None:
    """An id of a source belongs to one event: billed for two, it is wrong in both."""
    owners: dict[tuple[str, str], set[tuple[int, int, int | None]]] = defaultdict(set)
    placed = [(slot, each) for slot, arrivals in slots.items() for each in arrivals if slot[2] is not None]
    billed = [(slot, each) for slot, each in placed if each.event.verdict == "accepted"]
    for slot, each in billed:
        owners[each.event.source, each.event.id].add(slot)
    for _, each in billed:
        if len(owners[each.event.source, each.event.id]) > 1:
            each.wrong.add("id")


def _class(
    result: Expected,
    request: Request,
    expectation: Expectation,
    found: list[list[_Arrival]],
    extra: list[_Arrival],
    late_after: float | None,
) -> str:
    status = request.status if request.ended is not None else 0
    due = "unknown"
    if not expectation.events or status in expectation.rejected:
        due = "none"
    elif status == expectation.status:
        due = "events"
    flags = set()
    result.events["unexpected"] += len(extra)
    if extra:
        flags.add("billed_though_dropped" if due == "none" else "wrong")
        if expectation.events:
            result.wrong_fields["type"] += len(extra)
    for arrivals in found:
        flags |= _slot_flags(result, request, arrivals, due, late_after)
    if due == "none":
        flags &= {"billed_though_dropped"}
        flags.add("rejected_unbilled" if expectation.events else "dropped_right")
    elif due == "events":
        flags.add("billed_once")
    else:
        flags.add("unknown_unbilled")
    order = (
        "billed_though_dropped missing duplicated_new_id wrong duplicated_same_id late billed_once dropped_right "
        "rejected_unbilled unknown_billed unknown_unbilled"
    )
    return next(name for name in order.split() if name in flags)


def _slot_flags(
    result: Expected, request: Request, arrivals: list[_Arrival], due: str, late_after: float | None
) -> set[str]:
    flags = set()
    accepted = [each for each in arrivals if each.event.verdict == "accepted"]
    taken = [each for each in arrivals if each.event.verdict in ("accepted", "duplicate")]
    charged = {(each.event.source, each.event.id) for each in accepted}
    again = len(taken) - max(len(charged), 1) if taken else 0
    result.events["charged_again"] += max(len(charged) - 1, 0)
    result.events["delivered_again"] += again
    for place, each in enumerate(taken):
        before = [
            other
            for other in taken[:place]
            if (other.event.source, other.event.id) == (each.event.source, each.event.id)
        ]
        result.events["delivered_again_needlessly"] += any(other.answered for other in before)
    wrong = [each for each in accepted if each.wrong]
    for each in wrong:
        result.wrong_fields.update(each.wrong)
    result.events["wrong"] += bool(wrong)
    if due == "events":
        result.events["due"] += 1
        result.events["missing"] += not accepted
        refused = any(each.event.verdict == "refused" for each in arrivals)
        result.events["missing_refused"] += refused and not accepted
    if not accepted:
        return {"missing"} if due == "events" else set()
    if due == "none":
        flags.add("billed_though_dropped")
    if due == "unknown":
        flags.add("unknown_billed")
    if len(charged) > 1:
        flags.add("duplicated_new_id")
    if wrong:
        flags.add("wrong")
    if again:
        flags.add("duplicated_same_id")
    first = min(each.at for each in accepted)
    result.events["before_start"] += first < request.started
    if due == "events":
        assert request.ended is not None
        seconds = first - request.ended
        result.latencies.append(seconds)
        if late_after is not None and seconds > late_after:
            flags.add("late")
            result.events["late"] += 1
    return flags


def nearest_rank(values: list[float], percent: float) -> float:
    """Return a percentile by the nearest rank."""
    return sorted(values)[max(1, math.ceil(round(len(values) * percent, 6) / 100)) - 1]
