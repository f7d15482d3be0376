"""A gateway's facts as lines, as they are told: in words for people, as JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable

from harness.journal.explanation import Outcome, explain_life, verdicts_of
from harness.journal.file import encode
from harness.journal.lives import Lives, RequestLife
from harness.journal.wording import clock, endpoint_trouble, instance_name, printable, short_id
from plugin_emulator.journal import Ended, Fact, Lost, Metered, NotBuilt, Observer, Sending, Tried

#: Requests that are remembered: enough for those under way.
_KEEP = 2000
#: Events that a line on a loss names.
_NAMED = 3


def json_lines(fact: Fact) -> None:
    """Print a fact as a line of JSON."""
    sys.stdout.write(encode(fact).decode() + "\n")
    sys.stdout.flush()


def plain_lines(write: Callable[[str], None]) -> Observer:
    """Return an observer that writes a line for each request that is metered or is not, each try and each loss."""
    lives = Lives(keep=_KEEP)

    def observe(fact: Fact) -> None:
        life = lives.tell(fact)
        text = _in_words(fact, life, lives)
        if text is not None:
            write(printable(f"{clock(fact.at)}  {text}"))

    return observe


def _in_words(fact: Fact, life: RequestLife | None, lives: Lives) -> str | None:
    match fact:
        case Ended() | Metered() | NotBuilt():
            return _of_request(life, lives) if life is not None and _decided(life) else None
        case Sending():
            return f"{_batch(fact, lives)} of {len(fact.events):,} event(s) leaves"
        case Tried():
            return f"{_batch(fact, lives)}, try {fact.number}: {_result(fact, lives)}"
        case Lost():
            which = ", ".join(fact.events[:_NAMED]) + (" …" if len(fact.events) > _NAMED else "")
            return f"lost {len(fact.events):,} event(s): {fact.reason} [{fact.rule}]: {which}"
    return None


def _decided(life: RequestLife) -> bool:
    """Return whether every plugin that meters in the log phase has had its turn."""
    if life.ended is None:
        return False
    missing = set(life.ended.instances) - life.told_by
    return not any("log" in life.instances[id_].phases for id_ in missing if id_ in life.instances)


def _of_request(life: RequestLife, lives: Lives) -> str:
    assert life.ended is not None
    request = f"{short_id(life.id)}  {life.ended.method} {life.ended.path} {life.ended.status}"
    if not life.events:
        return f"{request}  {explain_life(life, lives.queues, lives.now).line}"
    made = ", ".join(f"{event.type} {event.id}" for event in life.events)
    whom = next((each.subject.value for each in life.metered if each.events), None)
    without = [each.line for each in verdicts_of(life, lives.queues, lives.now) if each.outcome is Outcome.NOT_BILLED]
    return "  ".join([f"{request}  subject {whom!r}  {made}{_how_it_leaves(life, lives)}", *without])


def _how_it_leaves(life: RequestLife, lives: Lives) -> str:
    """Return what a request's first event waits for, where it does not leave at once."""
    instance = life.instances.get(life.events[0].instance)
    queue = instance.settings.get("queue") if instance is not None else None
    if queue is None or queue["max_batch_size"] == 1:
        return ""
    full, delay = queue["max_batch_size"], queue["max_coalescing_delay"]
    waiting = lives.queue(life.events[0].instance).waiting
    there = f"{waiting:,} {'is' if waiting == 1 else 'are'} there"
    return f"  waits for max_batch_size {full:,} ({there}) or max_coalescing_delay {delay:g} s"


def _batch(fact: Sending | Tried, lives: Lives) -> str:
    instance = lives.instances.get(fact.instance)
    return f"{instance_name(instance) if instance is not None else fact.instance}: batch {fact.batch}"


def _result(tried: Tried, lives: Lives) -> str:
    if tried.ok:
        return f"answered {tried.status}, delivered"
    batch = lives.queue(tried.instance).under_way.get(tried.batch)
    instance = batch.tried_by(tried) if batch is not None else None
    return endpoint_trouble(tried, instance or lives.instances.get(tried.instance))
