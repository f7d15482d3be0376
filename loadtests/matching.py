"""Which expected event an observed one is, and what is wrong with it.

An observed event stands for the expected one of its type that all of its fields agree with; without one for that
which most agree with; of several for the first. So a wrong subject never makes two mistakes of one: the event is
there, and it is wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from loadtests.expectations import Expectations, ExpectedEvent
from loadtests.observations import Observation, Observations

#: What is compared with the ledger: nothing, or no status that an answer can have.
NO_STATUS, BAD_STATUS = -1, -2
_STATUSES = 1 << 16
_URI_REFERENCE = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
#: The largest table of expected shapes × observed shapes that is kept.
MOST_PAIRS = 1 << 24

Array = npt.NDArray[Any]


class MatchingError(ValueError):
    """Expectations and observations do not fit together. The message is one line."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing that is wrong with an event: ``path`` is a field's, or ``subject``, ``time``, ``lane``, ``type`` …"""

    path: str
    expected: Any
    seen: Any


class Matching:
    """The answers for all pairs of expectation and observation, in tables that numpy can look up.

    ``slots`` is the number of expected events by expectation. By answer, ``fields`` gives the paths that are wrong,
    the subject apart, and ``status_fields`` that of the status. ``needs_ledger``: something depends on the request.
    """

    def __init__(self, expectations: Expectations, observations: Observations) -> None:
        """Raises MatchingError when a field was expected but not watched, or there are too many combinations."""
        unwatched = set(expectations.watched()) - set(observations.watched)
        if unwatched:
            raise MatchingError(f"the expected field {min(unwatched)} was not watched when the events arrived")
        self._places = {path: place for place, path in enumerate(observations.watched)}
        self._expectations, self._observations = expectations, observations
        self.slots = np.array([len(item.events) for item in expectations] or [0], np.uint8)
        self.most_slots = int(self.slots.max())
        self._name_shapes()
        self._name_subjects()
        if len(self._expected) * len(self._observed) > MOST_PAIRS:
            pairs = f"{len(self._expected):,} expected × {len(self._observed):,} observed"
            raise MatchingError(f"too many combinations of fields ({pairs}); expect fewer fields that differ")
        self._answers = np.full(max(1, len(self._expected) * len(self._observed)), -1, np.int32)
        self._known: dict[tuple[int, tuple[str, ...], int, bool, str], int] = {}
        self._slot = np.zeros(0, np.int8)
        self._wrong = np.zeros(0, np.bool_)
        self._status = np.zeros(0, np.int32)
        self._timed = np.zeros(0, np.bool_)
        self.fields: list[tuple[str, ...]] = []
        self.status_fields: list[str] = []
        every = [event for item in expectations for event in item.events]
        self.needs_ledger = any(event.timed or event.status_field is not None for event in every)

    def answers(self, expectation: Array, observation: Array) -> Array:
        """Return the answer for each pair: an index into ``fields`` and for ``slot`` and ``wrong``."""
        pair = self._expected_shape.take(expectation) * len(self._observed) + self._observed_shape.take(observation)
        answers: Array = self._answers.take(pair)
        if (answers < 0).any():
            for new in np.unique(pair[answers < 0]).tolist():
                self._answers[new] = self._answer(*divmod(new, len(self._observed)))
            answers = self._answers[pair]
        return answers

    def slot(self, answers: Array) -> Array:
        """Return which of the expected events each is, -1 where none has its type."""
        slot: Array = self._slot.take(answers)
        return slot

    def wrong(self, answers: Array) -> Array:
        """Return where a field is wrong, or the type."""
        wrong: Array = self._wrong.take(answers)
        return wrong

    def status(self, answers: Array) -> Array:
        """Return the status that each event has; NO_STATUS where none is expected, BAD_STATUS for what is none."""
        status: Array = self._status.take(answers)
        return status

    def timed(self, answers: Array) -> Array:
        """Return where the time must be within the request."""
        timed: Array = self._timed.take(answers)
        return timed

    def wrong_subject(self, expectation: Array, slot: Array, observation: Array) -> Array:
        """Return where the subject is not the expected event's."""
        place = expectation * self.most_slots + np.maximum(slot, 0)
        wrong: Array = self._expected_subject.take(place) != self._observed_subject.take(observation)
        return wrong

    def mismatches(self, expectation: int, observation: int) -> tuple[Mismatch, ...]:
        """Return all that is wrong with one event, for people."""
        events, seen = self._expectations[expectation].events, self._observations.items[observation]
        slot, paths = self._compare(events, seen)
        if slot < 0:
            types = sorted({event.type for event in events})
            return (Mismatch("type", types[0] if len(types) == 1 else types, seen.type),)
        event = events[slot]
        found = [Mismatch("subject", event.subject, seen.subject)] if event.subject != seen.subject else []
        expected = dict(event.fields)
        for path in paths:
            if path == "lane":
                found.append(Mismatch(path, event.lane, seen.lane))
            elif path == "source" and event.sourced:
                found.append(Mismatch(path, "a URI reference", seen.source))
            else:
                found.append(Mismatch(path, expected[path], seen.values[self._places[path]]))
        return tuple(found)

    def expected(self, expectation: int, observation: int) -> ExpectedEvent | None:
        """Return the expected event that an observed one is, None when it is none."""
        events = self._expectations[expectation].events
        slot, _ = self._compare(events, self._observations.items[observation])
        return events[slot] if slot >= 0 else None

    def value(self, observation: int, path: str) -> Any:
        """Return the value at a watched path, None where it is absent."""
        return self._observations.items[observation].values[self._places[path]]

    def sources(self) -> Array:
        """Return a number by observation that tells events' sources apart (EVT-3)."""
        known: dict[bytes, int] = {}
        return np.array(
            [known.setdefault(orjson.dumps(item.source), len(known)) for item in self._observations.items] or [0],
            np.int32,
        )

    def _name_shapes(self) -> None:
        """Number what differs but for subjects: few shapes, however many subjects there are."""
        expected: dict[bytes, int] = {}
        observed: dict[bytes, int] = {}
        self._expected: list[tuple[ExpectedEvent, ...]] = []
        self._observed: list[Observation] = []
        places = []
        for item in self._expectations:
            key = orjson.dumps([replace(event, subject="") for event in item.events])
            if key not in expected:
                expected[key] = len(self._expected)
                self._expected.append(item.events)
            places.append(expected[key])
        self._expected_shape = np.array(places or [0], np.int64)
        places = []
        for seen in self._observations.items:
            key = orjson.dumps([seen.type, seen.lane, seen.values, _is_source(seen.source)])
            if key not in observed:
                observed[key] = len(self._observed)
                self._observed.append(seen)
            places.append(observed[key])
        self._observed_shape = np.array(places or [0], np.int64)

    def _name_subjects(self) -> None:
        known: dict[str, int] = {}
        table = np.full((max(1, len(self._expectations)), max(1, self.most_slots)), -1, np.int32)
        for place, item in enumerate(self._expectations):
            for slot, event in enumerate(item.events):
                table[place, slot] = known.setdefault(event.subject, len(known))
        self._expected_subject = table.ravel()
        subjects = [item.subject for item in self._observations.items]
        found = [known.get(subject, -2) if isinstance(subject, str) else -2 for subject in subjects]
        self._observed_subject = np.array(found or [-2], np.int32)

    def _answer(self, expected: int, observed: int) -> int:
        events, seen = self._expected[expected], self._observed[observed]
        slot, paths = self._compare(events, seen)
        status, timed, status_field = NO_STATUS, False, ""
        if slot >= 0:
            timed, status_field = events[slot].timed, events[slot].status_field or ""
        if status_field:
            value = seen.values[self._places[status_field]]
            number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _STATUSES
            status = value if number else BAD_STATUS
        answer = (slot, paths, status, timed, status_field)
        if answer not in self._known:
            self._known[answer] = len(self.fields)
            self.fields.append(paths)
            self.status_fields.append(status_field)
            self._slot = np.append(self._slot, np.int8(slot))
            self._wrong = np.append(self._wrong, bool(paths))
            self._status = np.append(self._status, np.int32(status))
            self._timed = np.append(self._timed, timed)
        return self._known[answer]

    def _compare(self, events: tuple[ExpectedEvent, ...], seen: Observation) -> tuple[int, tuple[str, ...]]:
        """Return the expected event that ``seen`` is, -1 for none, and the paths that are wrong."""
        best: tuple[int, tuple[str, ...]] = (-1, ("type",))
        most = (False, -1)
        for slot, event in enumerate(events):
            if event.type != seen.type:
                continue
            paths: tuple[str, ...] = ("lane",) if event.lane not in (None, seen.lane) else ()
            values = seen.values
            paths += ("source",) if event.sourced and not _is_source(seen.source) else ()
            paths += tuple(path for path, value in event.fields if not _same(value, values[self._places[path]]))
            # What agrees counts, not what disagrees: the events of one request may have different numbers of fields.
            agreeing = (not paths, 1 + len(event.fields) - len(paths))
            if agreeing > most:
                best, most = (slot, paths), agreeing
        return best


def _is_source(source: Any) -> bool:
    """Return whether a source is a URI reference that is not empty (EVT-5)."""
    return isinstance(source, str) and _URI_REFERENCE.fullmatch(source) is not None


def _same(expected: Any, seen: Any) -> bool:
    """Return whether two JSON values are equal; true is not 1."""
    return bool(expected == seen) and isinstance(expected, bool) == isinstance(seen, bool)
