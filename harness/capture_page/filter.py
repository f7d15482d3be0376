"""Which events are asked for, and which of an index these are, with the counts that lead to others."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.capture_page.index import VERDICTS, Contents
from harness.capture_page.search_text import Column, Numbers, Superseded

#: Answers that are kept for those who ask for the next part of them.
_KEPT = 4


@dataclass(frozen=True, slots=True)
class Filter:
    """What events must be; of several values of one kind any will do, none is no condition.

    Each of ``terms`` has to be somewhere in an event. ``verdicts`` may have "mixed": events of requests not all of
    whose entries have the same one. ``since`` (included) and ``until`` (excluded) are seconds since the epoch;
    ``request`` is the place of one.
    """

    terms: tuple[str, ...] = ()
    subjects: tuple[str | None, ...] = ()
    types: tuple[str | None, ...] = ()
    lanes: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None
    request: int | None = None

    @property
    def of_requests_only(self) -> bool:
        """Whether it takes whole requests, those without events too."""
        return not (self.terms or self.subjects or self.types or self.verdicts)

    def requests(self, contents: Contents) -> Column | None:
        """Return which requests are as asked for, by number; None: all."""
        masks = []
        if self.lanes:
            masks.append(_chosen(self.lanes, contents.lanes)[contents.lane])
        if self.since is not None:
            masks.append(contents.arrived_at >= self.since)
        if self.until is not None:
            masks.append(contents.arrived_at < self.until)
        if self.request is not None:
            masks.append(contents.place == self.request)
        return np.logical_and.reduce(masks) if masks else None


@dataclass(frozen=True, slots=True)
class Found:
    """``events`` are the numbers of those found, in order.

    ``subjects`` and ``verdicts`` count, by their codes, what there is when the condition on subjects, or verdicts, is
    left out.
    """

    events: Numbers
    subjects: Column
    verdicts: Column


class Finder:
    """Finds events in the contents of one index as it grows; what a search found before is not searched again."""

    def __init__(self) -> None:
        self._terms: OrderedDict[frozenset[str], tuple[int, Numbers]] = OrderedDict()
        self._found: OrderedDict[tuple[int, Filter], Found] = OrderedDict()
        self._lock = threading.Lock()
        self._searching = threading.Lock()

    def find(self, contents: Contents, wanted: Filter, stop: threading.Event) -> Found:
        """Return the events that are as ``wanted``. Raises Superseded when ``stop`` is set meanwhile."""
        key = (contents.requests, wanted)
        with self._lock:
            found = self._found.get(key)
        if found is None:
            found = _find(contents, wanted, self._of_terms(contents, frozenset(wanted.terms), stop))
            self._keep(self._found, key, found)
        return found

    def _of_terms(self, contents: Contents, terms: frozenset[str], stop: threading.Event) -> Numbers | None:
        if not terms:
            return None
        # The page asks twice with the same terms, for the list and the timeline: one search is enough.
        while not self._searching.acquire(timeout=0.01):
            if stop.is_set():
                raise Superseded
        try:
            with self._lock:
                searched, known = self._terms.get(terms, (0, np.empty(0, np.int32)))
            if searched < contents.events:
                known = np.concatenate([known, contents.text.holding(terms, searched, stop)])
                self._keep(self._terms, terms, (contents.events, known))
        finally:
            self._searching.release()
        # Another question may have looked at a later moment.
        return known[: np.searchsorted(known, contents.events)]

    def _keep(self, kept: OrderedDict[Any, Any], key: Any, value: Any) -> None:
        with self._lock:
            kept[key] = value
            kept.move_to_end(key)
            while len(kept) > _KEPT:
                kept.popitem(last=False)


def _find(contents: Contents, wanted: Filter, events: Numbers | None) -> Found:
    requests = wanted.requests(contents)
    if requests is not None:
        if events is None:
            events = np.flatnonzero(requests[contents.request]).astype(np.int32)
        else:
            events = events[requests[contents.request[events]]]
    subject, verdict, kind = contents.subject, contents.verdict, contents.type
    request = contents.request
    if events is not None:
        subject, verdict, kind, request = subject[events], verdict[events], kind[events], request[events]
    everything = np.ones(len(subject), bool)
    of_type = _chosen(wanted.types, contents.types)[kind] if wanted.types else everything
    of_subject = _chosen(wanted.subjects, contents.subjects)[subject] if wanted.subjects else everything
    of_verdict = everything
    if wanted.verdicts:
        of_verdict = _chosen(wanted.verdicts, VERDICTS)[verdict]
        if "mixed" in wanted.verdicts:
            of_verdict = of_verdict | (contents.mixed[request] == 1)
    taken = np.flatnonzero(of_type & of_subject & of_verdict).astype(np.int32)
    of_any_verdict = of_type & of_subject
    counts = np.bincount(verdict[of_any_verdict], minlength=len(VERDICTS))
    mixed = np.count_nonzero(contents.mixed[request[of_any_verdict]])
    return Found(
        taken if events is None else events[taken],
        np.bincount(subject[of_type & of_verdict], minlength=len(contents.subjects)),
        np.append(counts, mixed),
    )


def _chosen(wanted: Any, names: Any) -> Column:
    """Return by code whether a name is wanted."""
    return np.array([name in wanted for name in list(names)] or [False], bool)
