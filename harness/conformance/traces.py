"""Judges a trace of virtual time. Times are exact: they must agree to a millionth of a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.conformance.matching import Difference
from harness.conformance.outcome import Failure
from harness.conformance.scenario import Scenario

TOLERANCE = 1e-6

_LISTS = {"tries": ("t", "entries", "status"), "delivered": ("id", "t"), "lost": ("id", "t", "reason")}


def judge_trace(scenario: Scenario, trace: Mapping[str, Any]) -> list[Failure]:
    """Return what in ``trace`` is not as the scenario expects; see ``kong-metering simulate`` for its form."""
    differences: list[Difference] = []
    for name, fields in _LISTS.items():
        if name in scenario.expect:
            differences.extend(_list_differences(name, fields, scenario.expect[name], trace.get(name, [])))
    differences.extend(
        Difference(name, str(scenario.expect[name]), str(trace.get(name)))
        for name in ("peak_entries", "ended_at")
        if name in scenario.expect and not _same(scenario.expect[name], trace.get(name))
    )
    return [Failure(scenario.rules, "the queue did otherwise", differences)] if differences else []


def timeline(trace: Mapping[str, Any]) -> list[str]:
    """Return one line per try and loss, in order of time."""
    lines = [
        (entry["t"], f"{entry['t']:.6f} s  try {_names(entry['entries'])} → {entry.get('status') or 'no answer'}")
        for entry in trace.get("tries", ())
    ]
    lost = trace.get("lost", ())
    lines += [(entry["t"], f"{entry['t']:.6f} s  lost {entry['id']}: {entry['reason']}") for entry in lost]
    return [text for _, text in sorted(lines, key=lambda line: line[0])]


def _names(entries: Sequence[str]) -> str:
    return " ".join(entries) if len(entries) <= 8 else f"{' '.join(entries[:3])} … {entries[-1]} ({len(entries)})"


def _list_differences(
    name: str, fields: Sequence[str], expected: Sequence[Mapping[str, Any]], received: Sequence[Mapping[str, Any]]
) -> Iterator[Difference]:
    if len(expected) != len(received):
        yield Difference(f"number of {name}", str(len(expected)), str(len(received)))
    for index, (wanted, got) in enumerate(zip(expected, received, strict=False)):
        for field in fields:
            if field in wanted and not _same(wanted[field], got.get(field)):
                yield Difference(f"{name}[{index}].{field}", str(wanted[field]), str(got.get(field)))


def _same(expected: Any, received: Any) -> bool:
    if isinstance(expected, float) or isinstance(received, float):
        return isinstance(received, (int, float)) and abs(expected - received) <= TOLERANCE
    return bool(expected == received)
