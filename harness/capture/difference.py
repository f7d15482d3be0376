"""What two captures say differently: events added, missing, and fields changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from harness.capture.reader import CaptureReader

Path = tuple[str, ...]
#: What tells events apart when nothing else is said: by what a second delivery is known again.
DEFAULT_KEY: tuple[Path, ...] = (("id",), ("source",))
#: What differs between any two events, and says nothing when they were paired by something else than their id.
ALWAYS_NEW: tuple[Path, ...] = (("id",), ("uniqueId",), ("time",), ("meterTimeInMillis",))


class Change(msgspec.Struct, frozen=True):
    """A difference: ``added`` is only in the second capture, ``missing`` only in the first.

    ``key`` has the values of the key's fields; ``fields`` are paths ("data.model") with both values, null for none.
    """

    kind: Literal["added", "missing", "changed"]
    key: list[Any]
    event: Any = None
    fields: dict[str, tuple[Any, Any]] = {}


def differences(
    first: CaptureReader, second: CaptureReader, key: Sequence[Path], ignored: Sequence[Path]
) -> Iterator[Change]:
    """Yield the differences, in the order of ``first``, then what ``second`` has besides.

    Only accepted events count: what was sent again is the same event. Of several with one key the n-th is compared
    with the n-th; one without any field of a key of the user's is paired with none. All events of ``second`` are in
    memory. Raises as the readers do.
    """
    others: dict[str, list[Any]] = {}
    nameless: list[Any] = []
    for event in _accepted(second):
        if _is_nameless(event, key):
            nameless.append(event)
        else:
            others.setdefault(_key_text(event, key), []).append(event)
    taken: dict[str, int] = {}
    for event in _accepted(first):
        if _is_nameless(event, key):
            yield Change("missing", _key(event, key), event)
            continue
        text = _key_text(event, key)
        number = taken.get(text, 0)
        taken[text] = number + 1
        same = others.get(text, [])
        if number >= len(same):
            yield Change("missing", _key(event, key), event)
            continue
        fields = {
            ".".join(path): pair
            for path, pair in changed_members(event, same[number])
            if not any(path[: len(one)] == one for one in ignored)
        }
        if fields:
            yield Change("changed", _key(event, key), None, fields)
    for text, events in others.items():
        for event in events[taken.get(text, 0) :]:
            yield Change("added", _key(event, key), event)
    for event in nameless:
        yield Change("added", _key(event, key), event)


def lacking(first: CaptureReader, second: CaptureReader, key: Sequence[Path]) -> list[Path]:
    """Return the fields of ``key`` that no accepted event of the two has; none when there is no event at all.

    Raises as the readers do.
    """
    left, events = list(key), 0
    for reader in (first, second):
        for event in _accepted(reader):
            events += 1
            left = [path for path in left if _at(event, path) is None]
            if not left:
                return []
    return left if events else []


def _accepted(reader: CaptureReader) -> Iterator[Any]:
    for row in reader.rows("verdict IN ('accepted', 'mixed')"):
        if row.verdict not in ("accepted", "mixed"):
            continue
        for event in row.request().events():
            if event.verdict.verdict == "accepted":
                yield event.event


def _key(event: Any, key: Sequence[Path]) -> list[Any]:
    return [_at(event, path) for path in key]


def _is_nameless(event: Any, key: Sequence[Path]) -> bool:
    """Return whether an event has none of the fields that it is to be paired by."""
    return key is not DEFAULT_KEY and all(_at(event, path) is None for path in key)


def _key_text(event: Any, key: Sequence[Path]) -> str:
    return msgspec.json.encode(_key(event, key)).decode()


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def changed_members(before: Any, after: Any, path: Path = ()) -> Iterator[tuple[Path, tuple[Any, Any]]]:
    """Yield the path of each member that the two have differently, with both values; None for none."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys((*before, *after)):
            yield from changed_members(before.get(name), after.get(name), (*path, name))
    elif before != after or type(before) is not type(after):
        yield path, (before, after)
