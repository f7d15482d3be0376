"""Judges a trace of virtual time. Times are exact: they must agree to a billionth of a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.conformance.check_catalogue import Check
from harness.conformance.matching import Difference, value_differences
from harness.conformance.outcome import Failure
from harness.conformance.scenario import Scenario

TOLERANCE = 1e-9

#: What is compared of each entry of a list, and by which check; the list's own is about how many there are, too.
_LISTS: Mapping[str, tuple[Check, Mapping[str, Check]]] = {
    "tries": (
        Check.TRACE_TRIES,
        {"t": Check.TRACE_TIMES, "entries": Check.TRACE_TRIES, "status": Check.TRACE_TRIES},
    ),
    "delivered": (Check.TRACE_DELIVERED, {"id": Check.TRACE_DELIVERED, "t": Check.TRACE_DELIVERED}),
    "lost": (
        Check.TRACE_LOST,
        {"id": Check.TRACE_LOST, "t": Check.TRACE_LOST, "reason": Check.TRACE_LOST},
    ),
    "held_up": (
        Check.TRACE_HELD_UP,
        {"id": Check.TRACE_HELD_UP, "t": Check.TRACE_HELD_UP, "until": Check.TRACE_HELD_UP},
    ),
}
_NUMBERS: Mapping[str, Check] = {"peak_entries": Check.TRACE_PEAK, "ended_at": Check.TRACE_END}


def judge_trace(scenario: Scenario, trace: Mapping[str, Any]) -> list[Failure]:
    """Return what in ``trace`` is not as the scenario expects; see ``kong-metering simulate`` for its form."""
    differences: list[Difference] = []
    for name in _LISTS:
        if name in scenario.expect:
            differences.extend(_list_differences(name, scenario.expect[name], trace.get(name, [])))
    differences.extend(
        Difference(name, str(scenario.expect[name]), str(trace.get(name)), check)
        for name, check in _NUMBERS.items()
        if name in scenario.expect and not _same(scenario.expect[name], trace.get(name))
    )
    if "waits" in scenario.expect:
        differences.extend(_wait_differences(scenario.expect["waits"], trace.get("tries", ())))
    return [Failure(scenario.rules, "the queue did otherwise", differences)] if differences else []


def timeline(trace: Mapping[str, Any]) -> list[str]:
    """Return one line per try and loss, in order of time."""
    lines = [
        (entry["t"], f"{entry['t']:.6f} s  try {_names(entry['entries'])} → {entry.get('status') or 'no answer'}")
        for entry in trace.get("tries", ())
    ]
    lost = trace.get("lost", ())
    lines += [(entry["t"], f"{entry['t']:.6f} s  lost {entry['id']}: {entry['reason']}") for entry in lost]
    held_up = trace.get("held_up", ())
    lines += [(one["t"], f"{one['t']:.6f} s  {one['id']} held up until {one['until']:.6f} s") for one in held_up]
    return [text for _, text in sorted(lines, key=lambda line: line[0])]


def _names(entries: Sequence[str]) -> str:
    return " ".join(entries) if len(entries) <= 8 else f"{' '.join(entries[:3])} … {entries[-1]} ({len(entries)})"


def _list_differences(
    name: str, expected: Sequence[Mapping[str, Any]], received: Sequence[Mapping[str, Any]]
) -> Iterator[Difference]:
    of_all, fields = _LISTS[name]
    if len(expected) != len(received):
        yield Difference(f"number of {name}", str(len(expected)), str(len(received)), of_all)
    for index, (wanted, got) in enumerate(zip(expected, received, strict=False)):
        for field, check in fields.items():
            if field in wanted and not _same(wanted[field], got.get(field)):
                yield Difference(f"{name}[{index}].{field}", str(wanted[field]), str(got.get(field)), check)


def _wait_differences(
    expected: Sequence[Mapping[str, Any]], tries: Sequence[Mapping[str, Any]]
) -> Iterator[Difference]:
    """Judge how long batches waited before each retry, over all batches: what chance decides has bounds."""
    waits = _waits(tries)
    if len(waits) != len(expected):
        words = ("retries of a batch at most", str(len(expected)), str(len(waits)))
        yield Difference(*words, Check.TRACE_WAITS)
    for index, (wanted, seen) in enumerate(zip(expected, waits, strict=False)):
        figures = {"shortest": min(seen), "mean": sum(seen) / len(seen), "longest": max(seen)}
        for name, bounds in wanted.items():
            what = f"{name} of {len(seen)} waits before retry {index + 1}"
            yield from value_differences(what, bounds, figures[name], check=Check.TRACE_WAITS)


def _waits(tries: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Return the waits before the first retry of each batch, before the second …, in seconds."""
    ended: dict[tuple[str, ...], list[float]] = {}
    waits: list[list[float]] = []
    for one in tries:
        batch, begun = tuple(one["entries"]), float(one["t"])
        ends = ended.setdefault(batch, [])
        if ends:
            while len(waits) < len(ends):
                waits.append([])
            waits[len(ends) - 1].append(begun - ends[-1])
        ends.append(begun + float(one.get("duration") or 0.0))
    return waits


def _same(expected: Any, received: Any) -> bool:
    if isinstance(expected, float) or isinstance(received, float):
        return isinstance(received, (int, float)) and abs(expected - received) <= TOLERANCE
    return bool(expected == received)
