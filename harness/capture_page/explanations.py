"""What is known of one event or one request, from the capture and from an emulated gateway's journal."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.capture.life import Life, life_at, lives
from harness.capture.outline import outline_of
from harness.capture.reader import at_places
from harness.capture_page.source import CaptureSource
from harness.journal.both_sides import Account, investigate
from harness.journal.explain import not_billed
from harness.journal.explanation import Explanation
from harness.journal.file import JournalError

#: Requests that are looked into for a value; lives, deliveries, findings and steps that are told of what was found.
MOST_REQUESTS, MOST_LIVES, MOST_DELIVERIES, MOST_FINDINGS, MOST_STEPS = 500, 20, 200, 100, 500
#: Characters of a body, or of an event as JSON, that are told.
MOST_TEXT = 64_000
#: Requests that the gateway does not bill, the newest of which are told.
MOST_NOT_BILLED = 2000


def explain_entry(source: CaptureSource, place: int, position: int, stop: threading.Event) -> dict[str, Any] | None:
    """Return the life of an entry; None when there is no such entry. Raises CaptureError and CaptureFormatError."""
    found = life_at(source.reader, place, position, ())
    if found is not None and found.id is not None:
        others = _requests_with(source, source.now().contents.text.beginning(found.id, stop))
        found = life_at(source.reader, place, position, frozenset(others)) or found
    return None if found is None else _told(found)


def explain_key(source: CaptureSource, key: str, stop: threading.Event) -> list[dict[str, Any]]:
    """Return the lives of the entries whose id is ``key`` or that carry it. Raises as ``explain_entry`` does."""
    places = _places(source, key, stop)
    found = lives(source.reader, key, frozenset(places)) if places else []
    return [_told(life) for life in found[:MOST_LIVES]]


def _places(source: CaptureSource, key: str, stop: threading.Event) -> list[int]:
    """Return the places of the requests with an event that may hold ``key``."""
    return _requests_with(source, source.now().contents.text.holding(key.split() or [key], 0, stop))


def _requests_with(source: CaptureSource, events: Iterable[int]) -> list[int]:
    contents = source.now().contents
    requests = np.unique(contents.request[np.asarray(events, np.int64)])[:MOST_REQUESTS]
    places: list[int] = contents.place[requests].tolist()
    return places


def _told(life: Life) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(life)
    document["conclusion"] = life.conclusion()
    document["subject"] = outline_of([life.entry if isinstance(life.entry, dict) else {}]).subjects[0]
    document["entry"] = _text(msgspec.json.format(msgspec.json.encode(life.entry), indent=2).decode())
    document["delivered"] = len(life.deliveries)
    document["deliveries"] = document["deliveries"][:MOST_DELIVERIES]
    return document


def explain_request(source: CaptureSource, place: int) -> dict[str, Any] | None:
    """Return one request as it came, and the other tries of its batch; None when there is none at ``place``.

    Raises CaptureError and CaptureFormatError.
    """
    for row in source.reader.rows(*at_places([place])):
        request = row.request()
        verdicts: dict[str, int] = {}
        findings = [("", finding) for finding in request.findings]
        for number, verdict in enumerate(request.verdicts, 1):
            verdicts[verdict.verdict] = verdicts.get(verdict.verdict, 0) + 1
            findings += [(f"event {number}", finding) for finding in verdict.findings]
        document: dict[str, Any] = msgspec.to_builtins(request)
        for name in ("body", "body_base64", "verdicts", "findings"):
            document.pop(name, None)
        return {
            **document,
            "status": request.status,
            "place": place,
            "entries": row.entries,
            "verdicts": verdicts,
            "found": len(findings),
            "findings": [[where, msgspec.to_builtins(one)] for where, one in findings[:MOST_FINDINGS]],
            "body": _text(request.body_bytes().decode("utf-8", "replace")),
            "tries": _tries(source, place),
        }
    return None


def _tries(source: CaptureSource, place: int) -> list[tuple[int, int, float, int | None]]:
    contents = source.now().contents
    found = np.flatnonzero(contents.place == place)
    if not len(found):
        return []
    same = np.flatnonzero(contents.body == contents.body[found[0]])[:MOST_DELIVERIES]
    columns = (contents.place, contents.n, contents.arrived_at, contents.status)
    rows = zip(*(column[same].tolist() for column in columns), strict=True)
    return [(at, n, arrived_at, status or None) for at, n, arrived_at, status in rows]


def _text(text: str) -> str:
    more = len(text) - MOST_TEXT
    return text if more <= 0 else f"{text[:MOST_TEXT]}\n… {more:,} characters more"


@dataclass(frozen=True, slots=True)
class NotBilled:
    """Requests that the gateway does not bill, or not yet: the newest ones, and how many there are."""

    total: int
    requests: list[dict[str, Any]]


class GatewaySide:
    """Answers from the journal of an emulated gateway, which may be writing it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._not_billed: tuple[int, NotBilled] | None = None

    def size(self) -> int:
        """Return the size of the journal in bytes, -1 while there is none: whether there is anything new."""
        try:
            return self.path.stat().st_size
        except OSError:
            return -1

    def not_yet(self) -> str | None:
        """Return the words for a journal that is not there, None when it is."""
        return f"There is no {self.path.name} yet: it is read when a gateway writes it." if self.size() < 0 else None

    def explain(self, source: CaptureSource, key: str, stop: threading.Event) -> dict[str, Any]:
        """Explain a request by its id or an event's, from both sides; what is wrong is told in ``problem``.

        Raises CaptureError and CaptureFormatError.
        """
        capture = source.reader.path if _places(source, key, stop) else None
        try:
            accounts = investigate(capture, self.path, key, time.time()).accounts
            if capture is None and any(account.events for account in accounts):
                accounts = investigate(source.reader.path, self.path, key, time.time()).accounts
        except JournalError as error:
            return {"problem": self.not_yet() or str(error)}
        known = [account for account in accounts if account.request is not None]
        if not known:
            return {"problem": f"{self.path.name} knows neither a request nor an event with this id"}
        return {"accounts": [_account(account) for account in known[:MOST_LIVES]]}

    def not_billed(self) -> NotBilled:
        """Return the requests that are not billed, by the end of the journal at most. Raises JournalError."""
        with self._lock:
            size = self.size()
            if self._not_billed is None or self._not_billed[0] != size:
                every = list(not_billed(self.path, time.time()))
                told = [_not_billed(one) for one in every[: -MOST_NOT_BILLED - 1 : -1]]
                self._not_billed = (size, NotBilled(len(every), told))
            return self._not_billed[1]


def _account(account: Account) -> dict[str, Any]:
    return {
        "request": account.request,
        "outcome": account.outcome,
        "line": account.line,
        "disagreements": account.disagreements,
        "events": [event.id for event in account.events],
        "steps": [[step.at, step.side, step.text] for step in account.steps[:MOST_STEPS]],
    }


def _not_billed(explanation: Explanation) -> dict[str, Any]:
    return {
        "request": explanation.request,
        "outcome": str(explanation.outcome),
        "cause": explanation.cause,
        "rule": explanation.rule,
    }
