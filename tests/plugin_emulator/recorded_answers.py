"""Answers of a real Kong as figures, and where ours differ from them: by header, or by place in the JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FIXTURES = Path(__file__).parents[2] / "fixtures"
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
#: What a figure in angle brackets stands for: values of the moment, of which only the form can be the same.
_FORMS: Mapping[str, Callable[[Any], bool]] = {
    "<any>": lambda value: True,
    "<number>": lambda value: str(value).isdecimal(),
    "<seconds>": lambda value: isinstance(value, int) and 1_700_000_000 < value < 3_000_000_000,
    "<uuid>": lambda value: re.fullmatch(_UUID, str(value)) is not None,
    "<key>": lambda value: re.fullmatch("[A-Za-z0-9]{32}", str(value)) is not None,
    "<date>": lambda value: re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", str(value)) is not None,
}
#: Lists that are in the order of a hash table: each item's counterpart is the one most like it.
_UNORDERED = ("errors", "flattened_errors")
_ROWS = re.compile(f"{_UUID}|<uuid>")
Headers = list[tuple[str, str]]


def header_differences(figures: Headers, actual: Headers) -> set[str]:
    """Return ``header NAME`` for each header that differs, ``order of headers`` when only their order does."""
    found = set()
    wanted, given = dict(figures), dict(actual)
    for name in wanted.keys() | given.keys():
        if name not in wanted or name not in given or not _same(wanted[name], given[name]):
            found.add(f"header {name}")
    common = [name for name, _ in figures if name in given]
    return found if common == [name for name, _ in actual if name in wanted] else {*found, "order of headers"}


def body_differences(figures: Any, actual: Any, at: str = "") -> set[str]:
    """Return the JSON pointers of all that differs; ``*`` stands for the id of an entity among others of its kind."""
    if isinstance(figures, dict) and set(figures) == {"yaml"} and isinstance(actual, str):
        return body_differences(figures["yaml"], yaml.safe_load(actual), at)
    if isinstance(figures, dict) and isinstance(actual, dict):
        if figures and all(_ROWS.fullmatch(key) for key in figures):
            return _unordered(list(figures.values()), list(actual.values()), f"{at}/*")
        found = {f"{at}/{_escaped(name)}" for name in figures.keys() ^ actual.keys()}
        for name in figures.keys() & actual.keys():
            found |= body_differences(figures[name], actual[name], f"{at}/{_escaped(name)}")
        return found
    if isinstance(figures, list) and isinstance(actual, list):
        if at.rpartition("/")[2] in _UNORDERED:
            return _unordered(figures, actual, f"{at}/*")
        found = {f"{at}/{index}" for index in range(min(len(figures), len(actual)), max(len(figures), len(actual)))}
        for index, (one, other) in enumerate(zip(figures, actual, strict=False)):
            found |= body_differences(one, other, f"{at}/{index}")
        return found
    return set() if _same(figures, actual) else {at or "/"}


def _unordered(figures: list[Any], actual: list[Any], at: str) -> set[str]:
    found = {at} if len(figures) != len(actual) else set()
    left = list(actual)
    for figure in figures:
        if left:
            nearest = min(left, key=lambda other: len(body_differences(figure, other)))
            found |= body_differences(figure, nearest, at)
            left.remove(nearest)
    return found


def _same(figure: Any, value: Any) -> bool:
    if isinstance(figure, str) and figure in _FORMS:
        return _FORMS[figure](value)
    return bool(figure == value) and isinstance(figure, bool) == isinstance(value, bool)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


@dataclass(frozen=True)
class Difference:
    """A place in which some answers differ, as they may, and why.

    ``at`` is ``status``, ``header NAME``, ``order of headers`` or a JSON pointer, in which ``*`` is any one step and
    ``**`` any number of them. ``calls`` are names of calls, None for all.
    """

    at: str
    calls: tuple[str, ...] | None
    reason: str

    def covers(self, place: str) -> bool:
        pattern = re.escape(self.at).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
        return re.fullmatch(pattern, place) is not None

    def concerns(self, call: str) -> bool:
        return self.calls is None or call in self.calls


def read_differences(path: Path) -> list[Difference]:
    """Read a list of differences; an entry with several places stands for one of each."""
    return [
        Difference(at, None if entry["calls"] == "all" else tuple(entry["calls"]), entry["reason"])
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))
        for at in entry["at"]
    ]


def unlisted(found: Iterable[str], listed: Iterable[Difference], call: str) -> list[str]:
    """Return the places that differ though no entry says so for this call."""
    entries = [entry for entry in listed if entry.concerns(call)]
    return sorted(place for place in found if not any(entry.covers(place) for entry in entries))


def not_needed(found: Iterable[str], listed: Iterable[Difference], call: str) -> list[str]:
    """Return the entries for this call that nothing differs in."""
    places = list(found)
    entries = (entry for entry in listed if entry.concerns(call))
    return [entry.at for entry in entries if not any(entry.covers(place) for place in places)]


def table(path: Path) -> Iterator[str]:
    """Yield the lines of a Markdown table of a list of differences."""
    yield "| What differs | In | Why |"
    yield "|---|---|---|"
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        calls = entry["calls"]
        told = "every answer" if calls == "all" else entry.get("in") or ", ".join(f"`{name}`" for name in calls)
        yield f"| {', '.join(f'`{at}`' for at in entry['at'])} | {told} | {entry['reason']} |"


def recorded(path: Path, key: str) -> list[dict[str, Any]]:
    """Return the cases in a file of figures."""
    cases: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))[key]
    return cases
