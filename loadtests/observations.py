"""The table of the different events seen, but for number, id and time: each is written once, and rows point at it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import orjson

from loadtests.numbers import check_run

FILE = "observations.jsonl"

#: More different observations than this mean that a watched field has a value of its own in each event.
MOST_OBSERVATIONS = 1_000_000
_FORMAT = "kong-metering-observations"
_VERSION = 1


class ObservationsError(ValueError):
    """The table cannot be read or has no room. The message is one line with the file's name."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What is the same of many events: envelope, lane, and ``values`` of the watched fields, None where absent."""

    lane: str
    type: Any
    subject: Any
    source: Any
    values: tuple[Any, ...]


class _Header(msgspec.Struct):
    format: str
    version: int
    run: str
    watched: tuple[str, ...]


class ObservationLog:
    """Appends observations, one JSON line each, and knows their indices again."""

    def __init__(self, directory: Path, run: str, watched: Sequence[str]) -> None:
        """Open the table in ``directory``; what is in it stays. Raises OSError and ObservationsError."""
        self.path = directory / FILE
        check_run(run)
        header = orjson.dumps({"format": _FORMAT, "version": _VERSION, "run": run, "watched": list(watched)}) + b"\n"
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            kept, lines = self._kept(header)
            os.ftruncate(self._descriptor, kept)
            if not kept:
                os.write(self._descriptor, header)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._count = len(lines)
        self._known: dict[str, dict[bytes, int]] = {}
        for index, line in enumerate(lines):
            lane, *key = orjson.loads(line)
            self.of_lane(lane)[orjson.dumps(key)] = index

    def of_lane(self, lane: str) -> dict[bytes, int]:
        """Return the indices by key of what was seen in ``lane``: JSON of type, subject, source, then the values."""
        return self._known.setdefault(lane, {})

    def add(self, lane: str, key: bytes) -> int:
        """Write an observation that is new; return its index. Raises OSError and ObservationsError."""
        if self._count >= MOST_OBSERVATIONS:
            raise ObservationsError(f"{self.path}: over {MOST_OBSERVATIONS:,} different events; watch fewer fields")
        line = orjson.dumps([lane, *orjson.loads(key)]) + b"\n"
        os.write(self._descriptor, line)
        index = self.of_lane(lane)[key] = self._count
        self._count += 1
        return index

    def close(self) -> None:
        """Close the file; harmless when it is closed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _kept(self, header: bytes) -> tuple[int, list[bytes]]:
        """Return how many bytes of the file are whole lines, and the lines after the header."""
        there = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        whole = there[: there.rfind(b"\n") + 1]
        if not whole and header.startswith(there):
            return 0, []
        if not whole.startswith(header):
            raise ObservationsError(f"{self.path}: is of another run, or of other fields; choose another directory")
        return len(whole), whole.splitlines()[1:]


@dataclass(frozen=True, slots=True)
class Observations:
    """The table of a run. ``watched`` are the paths whose values each observation has."""

    run: str
    watched: tuple[str, ...]
    items: tuple[Observation, ...]

    def __len__(self) -> int:
        return len(self.items)

    @classmethod
    def read(cls, directory: Path) -> Observations:
        """Read the table; a line that a killed process left incomplete is passed over. Raises ObservationsError."""
        path = directory / FILE
        try:
            there = path.read_bytes()
            head, *lines = there[: there.rfind(b"\n") + 1].splitlines() or [b""]
            header = msgspec.json.decode(head, type=_Header)
            if (header.format, header.version) != (_FORMAT, _VERSION):
                raise ObservationsError(f"{path}: is not a table of version {_VERSION}")
            items = []
            for line in lines:
                lane, kind, subject, source, *values = orjson.loads(line)
                items.append(Observation(lane, kind, subject, source, tuple(values)))
        except OSError as error:
            raise ObservationsError(f"{path}: cannot be read: {error.strerror}") from None
        except ObservationsError:
            raise
        except ValueError as error:
            raise ObservationsError(f"{path}: is damaged: {error}") from None
        return cls(header.run, header.watched, tuple(items))
