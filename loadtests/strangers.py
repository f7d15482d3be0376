"""The first events that reached the ingest endpoint and are not the run's. How many there are, the deliveries say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

from harness.capture.record import CapturedRequest

FILE = "strangers.jsonl"
MOST_STRANGERS = 100
_LONGEST = 200


class StrangerLog:
    """Keeps the first MOST_STRANGERS events that have no number of the run."""

    def __init__(self, directory: Path) -> None:
        """Open the file in ``directory``; what is in it stays. Raises OSError."""
        self._descriptor = os.open(directory / FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._left = MOST_STRANGERS - len(read_strangers(directory))

    def add(self, record: CapturedRequest, place: int, event: Any, number: Any) -> None:
        """Write the event at ``place`` of an ingest request, unless there are enough. Raises OSError."""
        if self._left <= 0:
            return
        self._left -= 1
        members = event if isinstance(event, dict) else {}
        stranger = {
            "lane": record.lane,
            "request": record.n,
            "place": place,
            "arrived_at": record.arrived_at,
            "number": _short(number),
            **{name: _short(members.get(name)) for name in ("type", "subject", "source", "id")},
        }
        os.write(self._descriptor, orjson.dumps(stranger) + b"\n")

    def close(self) -> None:
        """Close the file; harmless when it is closed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_strangers(directory: Path) -> tuple[dict[str, Any], ...]:
    """Return the strangers kept in ``directory``; none when there is no file."""
    try:
        there = (directory / FILE).read_bytes()
    except FileNotFoundError:
        return ()
    return tuple(orjson.loads(line) for line in there[: there.rfind(b"\n") + 1].splitlines())


def _short(value: Any) -> Any:
    """Return ``value``; what could be long, shortened as text."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
