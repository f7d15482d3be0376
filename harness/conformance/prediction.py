"""What another gateway made of the same traffic, field by field: shown beside a verdict, never a part of it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

from harness.conformance.matching import Difference
from harness.conformance.observation import Observation, accepted_events

#: Every event has its own, whoever makes it.
_OF_EACH = frozenset({"id", "time"})
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: Durations are never the same twice.
_DURATION = re.compile(r"(?:_ms|_latency|latency|_seconds|duration)$")
#: A response tells its latencies in headers, whose digits count.
_SIZE = re.compile(r"_size_bytes$")
_SIZE_TOLERANCE = 8
_ABSENT = "nothing"


def prediction_differences(seen: Observation, predicted: Observation) -> list[Difference]:
    """Return what was seen that was not predicted, and the reverse; ``expected`` is what was predicted.

    Answers are compared by status, events by all their fields, those of one lane and type in the order of their
    time. What differs of necessity is compared by its form (ids and times, durations, ids of generated entities);
    sizes may be some bytes apart.
    """
    if (seen.refused is None) is not (predicted.refused is None):
        words = {True: "taken", False: "refused"}
        return [Difference("configuration", words[predicted.refused is None], words[seen.refused is None])]
    return [*_answers(seen, predicted), *_events(seen, predicted)]


def _answers(seen: Observation, predicted: Observation) -> Iterator[Difference]:
    for number, (theirs, ours) in enumerate(zip_longest(predicted.answers, seen.answers), 1):
        statuses = [None if one is None else one.status for one in (theirs, ours)]
        if statuses[0] != statuses[1]:
            step = (ours or theirs).step
            yield Difference(f"answer {number} ({step}).status", _words(statuses[0]), _words(statuses[1]))


def _events(seen: Observation, predicted: Observation) -> Iterator[Difference]:
    ours, theirs = _grouped(seen), _grouped(predicted)
    for key in sorted(ours.keys() | theirs.keys()):
        lane, kind = key
        name = kind if lane == "main" else f"{kind} [{lane}]"
        if len(ours[key]) != len(theirs[key]):
            yield Difference(f"number of {name}", str(len(theirs[key])), str(len(ours[key])))
        for number, (their, our) in enumerate(zip(theirs[key], ours[key], strict=False), 1):
            yield from _fields(f"{name} {number}", their, our)


def _grouped(seen: Observation) -> defaultdict[tuple[str, str], list[Mapping[str, Any]]]:
    groups: defaultdict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for arrived in accepted_events(seen.deliveries):
        groups[arrived.delivery.lane, str(arrived.event.get("type"))].append(arrived.event)
    for events in groups.values():
        events.sort(key=lambda event: str(event.get("time")))
    return groups


def _fields(name: str, their: Mapping[str, Any], our: Mapping[str, Any]) -> Iterator[Difference]:
    theirs, ours = dict(_flat(their)), dict(_flat(our))
    for field in _in_order([*theirs, *ours]):
        before, after = theirs.get(field, _ABSENT), ours.get(field, _ABSENT)
        if field in theirs and field in ours and _alike(field, before, after):
            continue
        yield Difference(f"{name}: {field}", _words(before), _words(after))


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{place}.{key}" if place else str(key))
    else:
        yield place, value


def _alike(field: str, before: Any, after: Any) -> bool:
    if _SIZE.search(field) and type(before) is type(after) is int:
        return abs(before - after) <= _SIZE_TOLERANCE
    return bool(_comparable(field, before) == _comparable(field, after))


def _comparable(field: str, value: Any) -> Any:
    """Return ``value`` itself, or its type alone where no two gateways agree; 1 and True stay apart."""
    if field in _OF_EACH or _DURATION.search(field):
        return type(value)
    if isinstance(value, str) and _UUID.fullmatch(value):
        return _UUID
    return type(value), value


def _in_order(names: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(names)


def _words(value: Any) -> str:
    if value is None:
        return "null"
    return value if isinstance(value, str) else repr(value)
