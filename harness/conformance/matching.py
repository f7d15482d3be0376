"""Compares a received event, of whatever form, with an expected one, field by field."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from harness.conformance.arrival_form import USAGE_EVENTS, ArrivalForm
from harness.conformance.check_catalogue import Check

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}
_CHECKS: Mapping[str, Check] = {
    "equals": Check.FIELD_EQUAL,
    "one_of": Check.FIELD_EQUAL,
    "not": Check.FIELD_NOT,
    "present": Check.FIELD_PRESENT,
    "absent": Check.FIELD_ABSENT,
    "matches": Check.FIELD_MATCHES,
    "type": Check.FIELD_TYPE,
    "at_least": Check.FIELD_BOUNDS,
    "at_most": Check.FIELD_BOUNDS,
    "same_as": Check.FIELD_SAME,
}


class _Absent:
    """The value of a field that is not there."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that is not as expected; both sides in words, for people.

    ``check`` is what found it (None: nothing was judged, two observations were compared).
    """

    field: str
    expected: str
    received: str
    check: Check | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What matchers may refer to beside the value itself.

    ``form`` is that of the events. ``window`` is the request's start and end in seconds since the epoch,
    ``clock_tolerance`` how far (in seconds) the gateway's clock may be from ours, ``named`` the received events by
    the name ``same_as`` calls them.
    """

    form: ArrivalForm = USAGE_EVENTS
    window: tuple[float, float] | None = None
    clock_tolerance: float = 0.0
    named: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def in_words(value: Any) -> str:
    """Return a value as a report shows it."""
    if value is ABSENT:
        return "absent"
    return repr(value) if isinstance(value, str) else str(value)


def member(event: Mapping[str, Any], path: str) -> Any:
    """Return the event's member at ``path`` (``subject`` or ``data.request_uri``), or ABSENT."""
    value: Any = event
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return ABSENT
        value = value[part]
    return value


def event_differences(
    expected: Mapping[str, Any], event: Mapping[str, Any], setting: Setting
) -> Iterator[Difference]:
    """Yield each field of ``event`` that is not as ``expected`` says."""
    for name in setting.form.members:
        if name in expected:
            yield from value_differences(name, expected[name], member(event, name), setting)
    fields = setting.form.fields
    data = expected.get(fields, {})
    for name, wanted in data.items():
        yield from value_differences(f"{fields}.{name}", wanted, member(event, f"{fields}.{name}"), setting)
    received = event.get(fields)
    if expected.get("only") and isinstance(received, Mapping):
        for name, value in received.items():
            if name not in data:
                yield Difference(f"{fields}.{name}", "absent", in_words(value), Check.EVENT_ONLY)


def value_differences(
    name: str, expected: Any, received: Any, setting: Setting | None = None, check: Check | None = None
) -> Iterator[Difference]:
    """Yield a difference for each matcher of ``expected`` that ``received`` fails; a plain value means equality.

    ``check`` is what is judged; without it, a field of an event, by the kind of matcher.
    """
    setting = setting or Setting()
    if not isinstance(expected, Mapping):
        if not equal(expected, received):
            yield Difference(name, in_words(expected), in_words(received), check or Check.FIELD_EQUAL)
        return
    for matcher, wanted in expected.items():
        complaint = _complaint(matcher, wanted, received, setting)
        if complaint is not None:
            yield Difference(name, complaint, in_words(received), check or _check(matcher, wanted))


def _check(matcher: str, wanted: Any) -> Check:
    if matcher == "between":
        return Check.FIELD_BOUNDS if _numbers(wanted) else Check.FIELD_TIME
    return _CHECKS[matcher]


def equal(expected: Any, received: Any) -> bool:
    """Return whether two JSON values are the same value of the same type: 200 is not ``"200"``, 1 is not true."""
    if isinstance(expected, bool) or isinstance(received, bool):
        return expected is received
    if isinstance(expected, (int, float)) and isinstance(received, (int, float)):
        return float(expected) == float(received)
    return type(expected) is type(received) and bool(expected == received)


def _complaint(matcher: str, wanted: Any, received: Any, setting: Setting) -> str | None:
    """Return in words what was expected, or None when ``received`` satisfies the matcher."""
    if matcher == "absent":
        return None if received is ABSENT else "absent"
    if matcher == "unique":  # a matter of all events together: see checks
        return None
    if received is ABSENT:
        return f"{matcher} {in_words(wanted)}" if matcher != "present" else "present"
    good: bool
    words = in_words(wanted)
    if matcher == "present":
        good, words = True, "present"
    elif matcher == "equals":
        good = equal(wanted, received)
    elif matcher == "not":
        good, words = not equal(wanted, received), f"anything but {words}"
    elif matcher == "one_of":
        good = any(equal(one, received) for one in wanted)
        words = f"one of {', '.join(map(in_words, wanted))}"
    elif matcher == "matches":
        good, words = isinstance(received, str) and re.fullmatch(wanted, received) is not None, f"like /{wanted}/"
    elif matcher == "type":
        plain_bool = isinstance(received, bool) and wanted != "boolean"
        good, words = isinstance(received, _TYPES[wanted]) and not plain_bool, f"of type {wanted}"
    elif matcher in ("at_least", "at_most"):
        good = _number(received) and (received >= wanted if matcher == "at_least" else received <= wanted)
        words = f"{matcher.replace('_', ' ')} {words}"
    elif matcher == "between":
        good, words = _between(wanted, received, setting)
    else:  # same_as
        name, _, path = str(wanted).partition(".")
        other = member(setting.named[name], path) if name in setting.named else ABSENT
        good, words = other is not ABSENT and equal(other, received), f"{in_words(other)}, as {wanted}"
    return None if good else words


def _between(bounds: Sequence[Any], received: Any, setting: Setting) -> tuple[bool, str]:
    if _numbers(bounds):
        low, high = bounds
        return _number(received) and low <= received <= high, f"between {low} and {high}"
    if setting.window is None:
        return False, "a time within its request, which was never sent"
    start, end = setting.window
    words = f"a time between {_clock(start)} and {_clock(end)}"
    try:
        at, resolution = setting.form.read_time(received)
    except ValueError:
        return False, words
    slack = resolution + setting.clock_tolerance
    return start - slack <= at <= end + slack, words


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds")


def _numbers(bounds: Sequence[Any]) -> bool:
    return all(isinstance(bound, (int, float)) for bound in bounds)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def assign(costs: Sequence[Sequence[int]]) -> list[int | None]:
    """Return for each row the column it is paired with, or None when there are fewer columns than rows.

    As many rows as possible get a column of cost 0 (augmenting paths); the rest take the cheapest column left.
    """
    columns = len(costs[0]) if costs else 0
    owner: list[int | None] = [None] * columns

    def place(row: int, seen: set[int]) -> bool:
        for column in range(columns):
            if costs[row][column] == 0 and column not in seen:
                seen.add(column)
                holder = owner[column]
                if holder is None or place(holder, seen):
                    owner[column] = row
                    return True
        return False

    for row in range(len(costs)):
        place(row, set())
    chosen: list[int | None] = [None] * len(costs)
    for column, holder in enumerate(owner):
        if holder is not None:
            chosen[holder] = column
    free = [column for column in range(columns) if owner[column] is None]
    for row in [row for row, column in enumerate(chosen) if column is None]:
        if not free:
            break
        cheapest = min(free, key=lambda column: costs[row][column])
        free.remove(cheapest)
        chosen[row] = cheapest
    return chosen
