"""What became of a request, told from both sides: by the gateway's journal, and by the ingest endpoint's capture."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from harness.capture.life import Delivery, Life, lives
from harness.capture.reader import CaptureReader
from harness.capture.selection import Selection
from harness.journal.explain import lives_of, moment
from harness.journal.explanation import Outcome, line_of, named, verdicts_of
from harness.journal.file import JournalReader
from harness.journal.joining import Attempt, attempts_of
from harness.journal.judgement import DISPUTED, Judged, judged, judged_by_the_endpoint, judged_without_event
from harness.journal.key import keys_of
from harness.journal.lives import EventLife, Lives, RequestLife
from harness.journal.redaction import entry_without_secrets
from harness.journal.story import Moment, story_of
from plugin_emulator.journal import Ended, Instance, Metered


class EventAccount(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event, or meter record: what became of it, and each time it was sent.

    ``entry`` is what arrived, None when the capture does not have it. ``instance`` is the metering plugin instance
    that made it, by its id, None when the journal does not have it; ``queued_at``, ``batch`` and ``left_at`` (seconds
    since the epoch) then say when it was queued and left. ``rule`` is the SPEC rule behind the ``outcome``.
    """

    id: str | None
    outcome: str
    cause: str
    rule: str | None = None
    entry: Any = None
    instance: str | None = None
    queued_at: float | None = None
    batch: int | None = None
    left_at: float | None = None
    attempts: tuple[Attempt, ...] = ()


class Account(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request, or one entry that only the capture has: then ``request`` and ``ended`` are None.

    ``line`` is the cause in one line with the rule. ``ended`` and ``metered`` are what the gateway told of Route,
    Service, Consumer, subject and attributes, ``instances`` are the plugin instances named there. ``steps`` is all of
    it in words, in its order; ``disagreements`` are the sentences on where the two sides differ. ``also`` are the
    lines of the other metering plugins, where there are several: ``line`` is about the one that decides.
    """

    line: str
    outcome: str
    cause: str
    rule: str | None = None
    request: str | None = None
    ended: Ended | None = None
    metered: tuple[Metered, ...] = ()
    instances: tuple[Instance, ...] = ()
    events: tuple[EventAccount, ...] = ()
    disagreements: tuple[str, ...] = ()
    steps: tuple[Moment, ...] = ()
    also: tuple[str, ...] = ()


class Investigation(msgspec.Struct, frozen=True):
    """All that is known of ``key``: an account for each request, and for each entry of which no request is known.

    Without accounts nothing is known of it. Encodes to JSON with msgspec.
    """

    key: str
    accounts: tuple[Account, ...]


def investigate(capture: Path | None, journal: Path | None, key: str, now: float | None = None) -> Investigation:
    """Tell what became of what ``key`` names, from both sides or from the one that there is.

    ``key`` is the id of a request (X-Kong-Request-Id) or of an event, as pasted, or a value that captured events
    carry. ``now`` (seconds since the epoch) is when it is asked, by default the time of the journal's last line.
    Raises JournalError, CaptureError and CaptureFormatError for files that cannot be read.
    """
    keys = keys_of(key)
    found = (_investigated(capture, journal, each, now) for each in keys)
    return next((each for each in found if each.accounts), Investigation(keys[0], ()))


def _investigated(capture: Path | None, journal: Path | None, key: str, now: float | None) -> Investigation:
    reader = None if capture is None else CaptureReader(capture)
    told, arrived = Lives(()), list[Life]()
    if journal is not None:
        with JournalReader(journal) as opened:
            told = lives_of(opened, {key}, now)
            if reader is not None and not _events(told):
                arrived = lives(reader, key)
                if arrived and not told.requests:
                    told = lives_of(opened, {key, *(life.id for life in arrived if life.id is not None)}, now)
        if reader is not None:
            known = {life.id for life in arrived}
            arrived += _arrived(reader, [event.id for event in _events(told) if event.id not in known])
    elif reader is not None:
        arrived = lives(reader, key)
    return Investigation(key, tuple(_accounts(told, arrived, moment(told, now), reader is not None, journal)))


def _events(told: Lives) -> list[EventLife]:
    return [event for life in told.requests.values() for event in life.events]


def _arrived(reader: CaptureReader, ids: list[str]) -> list[Life]:
    """Return the lives of the entries with these ids."""
    if not ids:
        return []
    there = dict.fromkeys(entry.id for entry in Selection(ids=ids).entries(reader) if entry.id is not None)
    return [life for id_ in there for life in lives(reader, id_)]


def _accounts(told: Lives, arrived: list[Life], at: float, captured: bool, journal: Path | None) -> Iterable[Account]:
    of_event: dict[str, list[Life]] = {}
    for life in arrived:
        if life.id is not None:
            of_event.setdefault(life.id, []).append(life)
    ours = {event.id for event in _events(told)}
    strangers = [life for life in arrived if life.id not in ours]
    for request in told.requests.values():
        # an event that carries the id of a request that made none
        carried = strangers if not request.events else []
        yield _of_a_request(request, told, of_event, carried, at, captured=captured)
    if not told.requests or _events(told):
        for life in strangers:
            yield _of_an_entry(life, journal is not None)


def _of_a_request(
    request: RequestLife,
    told: Lives,
    arrived: dict[str, list[Life]],
    carried: list[Life],
    at: float,
    *,
    captured: bool,
) -> Account:
    attempts: dict[str, tuple[Attempt, ...]] = {}
    results: list[Judged] = []
    verdicts = verdicts_of(request, told.queues, at, told.now if told.running else None)
    for verdict in verdicts:
        if verdict.event is None:
            results.append(judged_without_event(verdict, len(carried)))
            continue
        event = verdict.event
        tries = [] if event.batch is None else event.batch.every or []
        deliveries = _deliveries(arrived.get(event.id, []))
        sent = attempts_of(tries, deliveries, captured=captured, untold=_untold(event))
        attempts[event.id] = sent
        results.append(judged(verdict, request, sent, captured=captured))
    of_plugins: dict[str, tuple[Judged, str]] = {}
    several = len({verdict.plugin for verdict in verdicts}) > 1
    for result, verdict in sorted(zip(results, verdicts, strict=True), key=lambda pair: pair[0].weight):
        cause = named(verdict.plugin, result.cause) if several else result.cause
        of_plugins.setdefault(verdict.plugin, (result, cause))
    (decisive, cause), *others = of_plugins.values()
    events = [_event(each, request, arrived, attempts) for each in results if each.event is not None]
    events += [_entry(life) for life in carried]
    sentences = (one.disagreement for event in events for one in event.attempts if one.disagreement is not None)
    return Account(
        line_of(decisive.outcome, cause, decisive.rule),
        decisive.outcome,
        cause,
        decisive.rule,
        request.id,
        request.ended,
        tuple(request.metered),
        tuple(instance for id_, instance in request.instances.items() if id_ in request.told_by),
        tuple(events),
        tuple(dict.fromkeys(sentences)),
        story_of(request, {event.id or "": event.attempts for event in events}),
        tuple(line_of(other.outcome, its_cause, other.rule) for other, its_cause in others),
    )


def _untold(event: EventLife) -> tuple[float, float] | None:
    """Return between which times a try of an event may have begun of which the journal has no line; None: none."""
    lost, batch = event.lost, event.batch
    since = event.queued_at if batch is None else batch.latest[-1].at if batch.latest else batch.formed_at
    if lost is None:
        return None if event.settled else (since, math.inf)
    if lost.rule == "LIF-1":  # when it was killed is not known
        return since, math.inf
    return (since, lost.at) if lost.rule == "LIF-2" and batch is not None else None


def _event(
    result: Judged, request: RequestLife, arrived: dict[str, list[Life]], attempts: dict[str, tuple[Attempt, ...]]
) -> EventAccount:
    event = result.event
    assert event is not None
    entries = arrived.get(event.id, [])
    metered = next(each for each in request.metered if each.instance == event.instance)
    batch = event.batch
    return EventAccount(
        event.id,
        result.outcome,
        result.cause,
        result.rule,
        entry_without_secrets(entries[0].entry, metered) if entries else None,
        event.instance,
        event.queued_at,
        None if batch is None else batch.number,
        None if batch is None else batch.formed_at,
        attempts[event.id],
    )


def _deliveries(entries: list[Life]) -> list[Delivery]:
    return sorted((one for life in entries for one in life.deliveries), key=lambda one: one.request)


def _entry(life: Life) -> EventAccount:
    result = judged_by_the_endpoint(life)
    attempts = attempts_of((), life.deliveries)
    return EventAccount(life.id, result.outcome, result.cause, result.rule, life.entry, attempts=attempts)


def _of_an_entry(life: Life, journal: bool) -> Account:
    entry = _entry(life)
    unknown = ("the journal knows nothing of it: another gateway, or another journal?",) if journal else ()
    return Account(
        line_of(entry.outcome, entry.cause, entry.rule),
        entry.outcome,
        entry.cause,
        entry.rule,
        events=(entry,),
        disagreements=unknown,
        steps=story_of(None, {entry.id or "": entry.attempts}),
    )


__all__ = ["DISPUTED", "Account", "Attempt", "EventAccount", "Investigation", "Moment", "Outcome", "investigate"]
