"""The steps of a request's life, in the order in which they happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.journal.lives import BatchLife, Change, EventLife, RequestLife
from harness.journal.wording import endpoint_of, instance_name, scope_of, seconds, subject_place
from plugin_emulator.journal import Ended, Instance, Metered, Tried

#: The status of a request whose client did not wait for the answer.
_CLIENT_GONE = 499


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened ``at`` a time, in seconds since the epoch."""

    at: float
    text: str


def steps_of(life: RequestLife) -> list[Step]:
    """Return everything that is known of a request."""
    steps = [] if life.ended is None else [*_of_the_gateway(life.ended)]
    for metered in life.metered:
        steps += _of_an_instance(metered, life)
    steps += [Step(each.at, f"no event could be built: {each.problem}") for each in life.not_built]
    batches: dict[int, BatchLife] = {}
    for event in life.events:
        steps += _of_an_event(event)
        if event.batch is not None:
            batches[id(event.batch)] = event.batch
    for batch in batches.values():
        steps += _of_a_batch(batch, life)
    steps += [Step(each.at, _of_a_change(each)) for each in life.changes]
    return sorted(steps, key=lambda step: step.at)


def _of_the_gateway(ended: Ended) -> Iterator[Step]:
    yield Step(ended.started_at, f"{ended.method} {ended.path}")
    if ended.route is None:
        near = "" if ended.near_route is None else f"; {ended.near_route}"
        yield Step(ended.started_at, f"no Route matched{near}")
    else:
        service = f" of Service {ended.service.name or ended.service.id!r}" if ended.service else ""
        yield Step(ended.started_at, f"Route {ended.route.name or ended.route.id!r}{service}")
    if ended.consumer is not None:
        kind = "anonymous Consumer" if ended.anonymous else "Consumer"
        yield Step(ended.started_at, f"{kind} {ended.consumer.name!r}")
    else:
        why = "" if ended.unauthenticated is None else f": {ended.unauthenticated}"
        yield Step(ended.started_at, f"no Consumer{why}")
    upstream = "by the gateway itself" if ended.upstream_status is None else f"upstream {ended.upstream_status}"
    gone = ended.status == _CLIENT_GONE
    answer = (
        f"the client went away before the answer ({ended.status})"
        if gone
        else f"answered {ended.status} ({upstream})"
    )
    yield Step(ended.at, answer)
    for passed_over in ended.passed_over:
        yield Step(ended.at, f"{passed_over.plugin}: {passed_over.reason} [{passed_over.rule}]")


def _of_an_instance(metered: Metered, life: RequestLife) -> Iterator[Step]:
    instance, subject = life.instances.get(metered.instance), metered.subject
    if instance is not None:
        others = [f"{each.instance_name or each.id} ({scope_of(each)})" for each in less_specific(instance, life)]
        place = f", in the place of {' and '.join(others)}, which fit too [FLT-2]" if others else ""
        yield Step(metered.at, f"{instance_name(instance)} ({scope_of(instance)}) has its turn{place}")
    value = "none" if subject.value is None else repr(subject.value)
    yield Step(metered.at, f"subject, from {subject_place(subject)}: {value}")
    for each in metered.attributes:
        found = "none" if each.value is None else repr(each.value)
        yield Step(metered.at, f"attribute {each.name}, from {each.source} {each.field!r}: {found}")
    if metered.rule is not None:
        yield Step(metered.at, f"no event: {metered.reason} [{metered.rule}]")


def _of_a_change(change: Change) -> str:
    name = instance_name(change.before)
    if change.after is None:
        return f"configuration changed: {name} is removed"
    if change.after.enabled != change.before.enabled:
        return f"configuration changed: {name} is switched {'on' if change.after.enabled else 'off'}"
    before, after = _flat(change.before.settings), _flat(change.after.settings)
    names = dict.fromkeys((*after, *before))
    new = [f"{each} is {after.get(each)!r} now" for each in names if before.get(each) != after.get(each)]
    return f"configuration changed: {name}{': ' if new else ''}{', '.join(new)}"


def _flat(settings: dict[str, Any], within: str = "") -> dict[str, Any]:
    """Return settings by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{within}{name}.") if isinstance(value, dict) else {f"{within}{name}": value}
    return flat


def less_specific(instance: Instance | None, life: RequestLife) -> list[Instance]:
    """Return the instances of the same plugin that gave way to ``instance``."""
    if instance is None or life.ended is None:
        return []
    others = [life.instances[id_] for id_ in life.ended.less_specific if id_ in life.instances]
    return [each for each in others if each.plugin == instance.plugin]


def _of_an_event(event: EventLife) -> Iterator[Step]:
    yield Step(event.queued_at, f"event {event.id} ({event.type}) is queued")
    if event.lost is not None:
        yield Step(event.lost.at, f"event {event.id} is lost: {event.lost.reason} [{event.lost.rule}]")


def _of_a_batch(batch: BatchLife, life: RequestLife) -> Iterator[Step]:
    waited = batch.formed_at - min(event.queued_at for event in life.events if event.batch is batch)
    size = "1 event" if batch.size == 1 else f"{batch.size:,} events"
    where = endpoint_of(batch.instance_at(batch.formed_at) or life.instances.get(batch.instance))
    yield Step(
        batch.formed_at, f"batch {batch.number} of {size} leaves for {where}, after {seconds(waited)} in the queue"
    )
    if batch.first is not None and batch.first is not batch.latest[0]:
        yield _of_a_try(batch.first, batch)
        missing = batch.latest[0].number - batch.first.number - 1
        if missing:
            yield Step(batch.latest[0].at - batch.latest[0].took, f"{missing:,} more tries")
    yield from (_of_a_try(tried, batch) for tried in batch.latest)


def _of_a_try(tried: Tried, batch: BatchLife) -> Step:
    first, now = endpoint_of(batch.instance_at(batch.formed_at)), endpoint_of(batch.tried_by(tried))
    to = f" to {now}" if now != first else ""
    result = f"answered {tried.status}: delivered" if tried.ok else tried.problem
    return Step(tried.at, f"try {tried.number}{to}: {result} (took {seconds(tried.took)})")
