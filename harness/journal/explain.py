"""Looking requests up in a journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.journal.explanation import Explanation, Outcome, explain_life
from harness.journal.file import read
from harness.journal.lives import Lives
from plugin_emulator.journal import Ended, Metered


class UnknownId(LookupError):
    """No request of the journal has this id, and no event."""


def explain(journal: Path, request_or_event: str, now: float | None = None) -> Explanation:
    """Explain one request, named by its X-Kong-Request-Id or by the id of one of its events.

    ``now`` (seconds since the epoch) is when it is asked, for what is still under way in a running gateway; by
    default the time of the journal's last line. Raises UnknownId, and JournalError as
    :func:`harness.journal.file.read` does.
    """
    request = _request_of(journal, request_or_event)
    lives = Lives({request})
    for fact in read(journal):
        lives.tell(fact)
    return _explained(lives, now)[request]


def explain_last(journal: Path, now: float | None = None) -> Explanation:
    """Explain the request that ended last. Raises UnknownId when there is none, and JournalError."""
    last = None
    for fact in read(journal, b'"fact":"request"'):
        if isinstance(fact, Ended):
            last = fact.request
    if last is None:
        raise UnknownId(f"{journal}: has no request yet")
    return explain(journal, last, now)


def not_billed(journal: Path, now: float | None = None) -> Iterator[Explanation]:
    """Explain every request that is not billed, or not yet, in the order of their ends. Raises JournalError.

    Memory grows with their number, not with that of the requests that are billed.
    """
    lives = Lives(unbilled_only=True)
    for fact in read(journal):
        lives.tell(fact)
    for explanation in _explained(lives, now).values():
        if explanation.outcome is not Outcome.BILLED:
            yield explanation


def _explained(lives: Lives, now: float | None) -> dict[str, Explanation]:
    # a gateway that has stopped ages no more; one that runs is asked about at the present moment
    at = lives.now if now is None or not lives.running else max(now, lives.now)
    return {id_: explain_life(life, lives.queues, at) for id_, life in lives.requests.items()}


def _request_of(journal: Path, wanted: str) -> str:
    for fact in read(journal, wanted.encode()):
        if isinstance(fact, Ended | Metered) and fact.request == wanted:
            return wanted
        if isinstance(fact, Metered) and any(id_ == wanted for id_, _ in fact.events):
            return fact.request
    raise UnknownId(f"{journal}: has neither a request nor an event with the id {wanted!r}")
