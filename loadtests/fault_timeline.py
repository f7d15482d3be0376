"""What goes wrong during a load, and when: as written on the command line, and in words.

==============================  ===========================  =====================================================
``--ingest-down``               ``20s@5s``                   from second 5, for 20 s: connections are reset
``--ingest-down``               ``20s@5s:503``               the same, with answers of 503
``--ingest-slow``               ``2s@5s+10s``                from second 5, for 10 s: answers take 2 s longer
``--ingest-hang``               ``10s@5s``                   from second 5, for 10 s: no answers
``--ingest-429``                ``10s@5s``, ``10s@5s:2``     too many requests, with ``Retry-After: 2``
``--ingest-reset-after-accept`` ``10s@5s``                   events are accepted, the answers are lost
``--gateway-restart``           ``graceful@10s``             in second 10; also ``fast`` and ``kill``
==============================  ===========================  =====================================================

Lengths of time are written as everywhere on the command line: ``500ms``, ``2s``, ``1m``; a plain number is seconds.
Seconds count from the first request. What is written becomes entries of a plan (``ingest_faults``, ``restarts``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.cli.durations import seconds
from harness.plugin_config.sizing.quantities import duration_text

Step = int | Mapping[str, Any]

#: How a gateway may be restarted.
RESTARTS = ("graceful", "fast", "kill")


def down(text: str) -> dict[str, Any]:
    """Return the entry of ``LENGTH@START`` or ``LENGTH@START:STATUS``. Raises ValueError."""
    window, colon, status = text.partition(":")
    step: Step = {"reset": "before"} if not colon else _failure(status)
    return _entry(window, step, "20s@5s or 20s@5s:503")


def slow(text: str) -> dict[str, Any]:
    """Return the entry of ``DELAY@START+LENGTH``. Raises ValueError."""
    delay, at, window = text.partition("@")
    start, plus, length = window.partition("+")
    if not at or not plus:
        raise ValueError(f"{text!r}: write e.g. 2s@5s+10s: by how much, from when, for how long")
    return {"at": seconds(start), "for": _above_zero(length), "fault": {"delay": _above_zero(delay)}}


def hang(text: str) -> dict[str, Any]:
    """Return the entry of ``LENGTH@START``. Raises ValueError."""
    return _entry(text, {"hang": True}, "10s@5s")


def too_many(text: str) -> dict[str, Any]:
    """Return the entry of ``LENGTH@START`` or ``LENGTH@START:RETRY_AFTER``. Raises ValueError."""
    window, colon, retry_after = text.partition(":")
    step: dict[str, Any] = {"status": 429}
    if colon:
        if not (retry_after.isascii() and retry_after.isdigit()):
            raise ValueError(f"{retry_after!r} is no Retry-After: write whole seconds, e.g. 10s@5s:2")
        step["retry_after"] = int(retry_after)
    return _entry(window, step, "10s@5s or 10s@5s:2")


def reset_after_accept(text: str) -> dict[str, Any]:
    """Return the entry of ``LENGTH@START``. Raises ValueError."""
    return _entry(text, {"drop_answer": True}, "10s@5s")


def restart(text: str) -> dict[str, Any]:
    """Return the entry of ``HOW@START``. Raises ValueError."""
    how, at, start = text.partition("@")
    if not at or how not in RESTARTS:
        raise ValueError(f"{text!r}: write e.g. graceful@10s, fast@10s or kill@10s")
    return {"at": seconds(start), "how": how}


#: Option of the command line -> what makes an entry of ``ingest_faults`` of its value.
INGEST_FAULTS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "ingest_down": down,
    "ingest_slow": slow,
    "ingest_hang": hang,
    "ingest_429": too_many,
    "ingest_reset_after_accept": reset_after_accept,
}


def in_words(step: Step) -> str:
    """Return what a step of a fault script does, for tables and plots."""
    if not isinstance(step, Mapping):
        return f"answers {step}"
    said = []
    if step.get("delay"):
        said.append(f"slower by {duration_text(float(step['delay']))}")
    if step.get("status") is not None:
        said.append(f"answers {step['status']}")
    if step.get("hang") not in (None, False):
        said.append("no answer")
    if step.get("reset") is not None:
        said.append("connections reset")
    if step.get("drop_answer"):
        said.append("answers lost after acceptance")
    return ", ".join(said) or "as usual"


def _entry(window: str, step: Step, example: str) -> dict[str, Any]:
    length, at, start = window.partition("@")
    if not at:
        raise ValueError(f"{window!r}: write e.g. {example}: for how long, from when")
    return {"at": seconds(start), "for": _above_zero(length), "fault": step}


def _above_zero(text: str) -> float:
    length = seconds(text)
    if length == 0:
        raise ValueError(f"{text!r} must be longer than zero")
    return length


def _failure(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 300 <= int(text) <= 599):
        raise ValueError(f"{text!r} is no status of a failure: write one from 300 to 599, e.g. 20s@5s:503")
    return int(text)
