"""Looking requests up in a journal."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from harness.journal.explanation import Explanation, Outcome, explain_life
from harness.journal.file import JournalReader
from harness.journal.key import keys_of
from harness.journal.lives import Lives
from harness.journal.wording import SHORT_ID, clock
from plugin_emulator.journal import Ended, Metered, Started


class UnknownId(LookupError):
    """No request of the journal has this id, and no event."""


def explain(journal: Path, request_or_event: str, now: float | None = None) -> Explanation:
    """Explain one request, named by its X-Kong-Request-Id or by the id of one of its events, or by how one begins.

    The beginning is one of 8 characters or more, which no other id has.

    ``now`` (seconds since the epoch) is when it is asked, for what is still under way in a running gateway; by
    default the time of the journal's last line. Raises UnknownId, and JournalError as
    :class:`harness.journal.file.JournalReader` does.
    """
    with JournalReader(journal) as reader:
        keys = keys_of(request_or_event)
        lives = next((found for key in keys if (found := lives_of(reader, {key}, now)).requests), None)
        if lives is None:
            raise UnknownId(f"{journal}: has neither a request nor an event with the id {keys[0]!r}{_gone(reader)}")
        if len(lives.requests) > 1:
            count = f"{len(lives.requests):,}"
            raise UnknownId(
                f"{journal}: {count} requests have an id that begins with {request_or_event!r}: give all of it"
            )
    (explanation,) = _explained(lives, now).values()
    return explanation


def explain_last(journal: Path, now: float | None = None) -> Explanation:
    """Explain the request that ended last. Raises UnknownId when there is none, and JournalError."""
    return explain(journal, last_request(journal), now)


def last_request(journal: Path) -> str:
    """Return the id of the request that ended last. Raises UnknownId when there is none, and JournalError."""
    last = None
    with JournalReader(journal) as reader:
        for fact in reader.facts(b'"fact":"request"'):
            if isinstance(fact, Ended):
                last = fact.request
    if last is None:
        raise UnknownId(f"{journal}: has no request yet")
    return last


def not_billed(journal: Path, now: float | None = None) -> Iterator[Explanation]:
    """Explain every request that is not billed, or not yet, in the order of their ends. Raises JournalError.

    Memory grows with their number, not with that of the requests that are billed.
    """
    lives = Lives(unbilled_only=True)
    with JournalReader(journal) as reader:
        for fact in reader.facts():
            lives.tell(fact)
        _look_whether_it_runs(lives, reader, now)
    for explanation in _explained(lives, now).values():
        if explanation.outcome is not Outcome.BILLED:
            yield explanation


def lives_of(reader: JournalReader, ids: Collection[str], now: float | None = None) -> Lives:
    """Return the lives of the requests that have one of ``ids``, or an event that has. Raises JournalError.

    Of one id the beginning is enough.

    With ``now``, when it is asked, a gateway whose journal nobody writes any more has ended.
    """
    requests = _requests_of(reader, ids)
    lives = Lives(requests)
    if requests:
        for fact in reader.facts(ended=requests):
            lives.tell(fact)
        _look_whether_it_runs(lives, reader, now)
    return lives


def _look_whether_it_runs(lives: Lives, reader: JournalReader, now: float | None) -> None:
    if now is not None and lives.running and reader.abandoned():
        lives.ended_without_a_word()


def moment(lives: Lives, now: float | None) -> float:
    """Return as of when ``lives`` are explained: a gateway that has stopped ages no more."""
    return lives.now if now is None or not lives.running else max(now, lives.now)


def _explained(lives: Lives, now: float | None) -> dict[str, Explanation]:
    at = moment(lives, now)
    told = lives.now if lives.running else None
    return {id_: explain_life(life, lives.queues, at, told) for id_, life in lives.requests.items()}


def _requests_of(reader: JournalReader, ids: Collection[str]) -> set[str]:
    holding = next(iter(ids)).encode(errors="replace") if len(ids) == 1 else b'"request":'
    found: set[str] = set()
    beginning = next((id_ for id_ in ids if len(ids) == 1 and len(id_) >= SHORT_ID), None)
    beginning_so: set[str] = set()
    for fact in reader.facts(holding):
        if isinstance(fact, Ended | Metered):
            named = [fact.request, *(id_ for id_, _ in fact.events)] if isinstance(fact, Metered) else [fact.request]
            if any(id_ in ids for id_ in named):
                found.add(fact.request)
            elif beginning is not None and any(id_.startswith(beginning) for id_ in named):
                beginning_so.add(fact.request)
        if len(ids) == 1 and found:
            break  # one id, one request
    return found or beginning_so


def what_is_gone(journal: Path) -> str:
    """Return what to add to "there is no such id" where older facts are gone, else "". Raises JournalError."""
    with JournalReader(journal) as reader:
        return _gone(reader)


def _gone(reader: JournalReader) -> str:
    """Return what to add to "there is no such id" where older facts are gone."""
    first = next(reader.facts(), None)
    if isinstance(first, Started) and first.continued:
        return f": what was before {clock(first.at)} is no longer in it"
    return ""
