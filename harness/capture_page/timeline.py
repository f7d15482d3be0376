"""When events arrived, and when each batch did: its tries, joined, with their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.capture_page.filter import Filter, Found
from harness.capture_page.index import NO_ANSWER, VERDICTS, Contents
from harness.capture_page.search_text import Column

#: Bars of the histogram, and batches that are drawn one by one.
BARS, MOST_BATCHES = 160, 120
#: Tries of one batch that are told one by one, the newest ones.
MOST_TRIES = 200
#: The shortest span of time that is drawn, in seconds.
_SHORTEST = 0.01


@dataclass(frozen=True, slots=True)
class Timeline:
    """Events and batches between ``start`` and ``end``, in seconds since the epoch.

    ``bars`` are counts of events by verdict and then by stretch of time. ``batches`` are those told one by one, of
    ``total``: where these are too many, some of those tried again or not answered with success. A batch is ``(lane,
    entries, tries)``, a try ``(place, n, at, status, fault)`` with None as the status of one without an answer.
    """

    start: float
    end: float
    bars: Sequence[Sequence[int]]
    batches: Sequence[tuple[str, int, Sequence[tuple[Any, ...]]]]
    total: int


def timeline(contents: Contents, wanted: Filter, found: Found) -> Timeline | None:
    """Return the timeline of what was ``found`` for ``wanted``; None when there is no request at all."""
    if not contents.requests:
        return None
    start = float(contents.arrived_at.min()) if wanted.since is None else wanted.since
    end = float(contents.arrived_at.max()) if wanted.until is None else wanted.until
    end = max(end, start + _SHORTEST)
    requests = contents.request[found.events]
    bars = _bars(contents.arrived_at[requests], contents.verdict[found.events], start, end)
    if wanted.of_requests_only:
        mask = wanted.requests(contents)
        numbers = np.arange(contents.requests) if mask is None else np.flatnonzero(mask)
    else:
        holding = np.zeros(contents.requests, bool)
        holding[requests] = True
        numbers = np.flatnonzero(holding)
    batches, total = _batches(contents, numbers)
    return Timeline(start, end, bars, batches, total)


def _bars(at: Column, verdict: Column, start: float, end: float) -> list[list[int]]:
    bar = np.clip(((at - start) * (BARS / (end - start))).astype(np.int64), 0, BARS - 1)
    counts = np.bincount(verdict.astype(np.int64) * BARS + bar, minlength=BARS * len(VERDICTS))
    shaped: list[list[int]] = counts.reshape(len(VERDICTS), BARS).tolist()
    return shaped


def _batches(contents: Contents, numbers: Column) -> tuple[list[tuple[str, int, list[tuple[Any, ...]]]], int]:
    if not len(numbers):
        return [], 0
    # Columns by batch, without sorting: there may be a million. A filter may take one try of a batch only: all of
    # them are told.
    every = int(contents.batch.max()) + 1
    wanted = np.zeros(every, bool)
    wanted[contents.batch[numbers]] = True
    tries = np.flatnonzero(wanted[contents.batch])
    total = int(np.count_nonzero(wanted))
    if total > MOST_BATCHES:
        failed = np.zeros(every, bool)
        failed[contents.batch[(contents.status < 200) | (contents.status >= 300)]] = True
        wanted &= failed | (np.bincount(contents.batch[tries], minlength=every) > 1)
        tries = tries[wanted[contents.batch[tries]]]
    _, first, number = np.unique(contents.batch[tries], return_index=True, return_inverse=True)
    chosen = np.argsort(first, kind="stable")
    if len(chosen) > MOST_BATCHES:
        chosen = chosen[np.linspace(0, len(chosen) - 1, MOST_BATCHES).astype(np.int64)]
    made = []
    for one in chosen:
        of_it = tries[number == one]
        request = int(of_it[0])
        lane, entries = contents.lanes[contents.lane[request]], int(contents.entries[request])
        made.append((lane, entries, [_try(contents, int(each)) for each in of_it[-MOST_TRIES:]]))
    return made, total


def _try(contents: Contents, request: int) -> tuple[Any, ...]:
    status = int(contents.status[request])
    return (
        int(contents.place[request]),
        int(contents.n[request]),
        float(contents.arrived_at[request]),
        None if status == NO_ANSWER else status,
        contents.faults[contents.fault[request]],
    )
