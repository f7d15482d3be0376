"""The capture behind the page: its index, which follows the file as it grows, and what is read from the file."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.capture.errors import CaptureError, CaptureFormatError
from harness.capture.reader import CaptureReader, at_places
from harness.capture_page.filter import Finder
from harness.capture_page.index import VERDICTS, CaptureIndex, Contents
from harness.capture_page.search_text import Numbers


@dataclass(frozen=True, slots=True)
class State:
    """How far the index is: ``last_place`` is that of the newest request in the file, None before it was looked at.

    ``generation`` counts the files: it goes up when another one took this one's place. ``problem`` says in one line
    why the file could not be read, last time.
    """

    generation: int
    contents: Contents
    read: int
    last_place: int | None
    problem: str | None


class CaptureSource:
    """Follows the capture ``path``, a database; ``grow`` is called from one thread at a time, the rest from any."""

    def __init__(self, path: Path) -> None:
        self._reader = CaptureReader(path)
        self._path = path
        self._generation = 0
        self._index = CaptureIndex()
        self._file: tuple[int, int] | None = None
        self._last_place: int | None = None
        self._problem: str | None = None
        self.finder = Finder()

    @property
    def reader(self) -> CaptureReader:
        """Reads the file."""
        return self._reader

    def state(self) -> State:
        """Return how far the index is."""
        index = self._index
        return State(self._generation, index.contents(), index.last_place, self._last_place, self._problem)

    def grow(self, stop: threading.Event) -> None:
        """Take in what the file has beyond the index; ``stop`` ends it early. What is wrong is told in ``state``."""
        try:
            self._begin_anew_with_another_file()
            self._last_place = self._reader.last_place()
            if self._last_place > self._index.last_place:
                for row in self._reader.rows("place > ?", (self._index.last_place,)):
                    self._index.add(row)
                    if stop.is_set():
                        return
            self._problem = None
        except (CaptureError, CaptureFormatError) as error:
            self._problem = str(error)

    def _begin_anew_with_another_file(self) -> None:
        try:
            status = self._path.stat()
        except OSError as error:
            raise CaptureError(f"{self._path}: cannot be read: {error.strerror}") from None
        file = (status.st_dev, status.st_ino)
        if self._file not in (None, file):
            self._index, self.finder, self._generation = CaptureIndex(), Finder(), self._generation + 1
        self._file = file

    def rows(self, contents: Contents, events: Numbers) -> list[list[Any]]:
        """Return these events, each as its request's place, position in the body, number, lane, arrival, verdict,
        status, subject, type, id and time.

        Raises CaptureError and CaptureFormatError.
        """
        requests = contents.request[events]
        outlines = {}
        for row in self._reader.rows(*at_places(contents.place[np.unique(requests)].tolist())):
            outlines[row.place] = row.outline()
        made: list[list[Any]] = []
        for event, request in zip(events.tolist(), requests.tolist(), strict=True):
            place, position = int(contents.place[request]), event - int(contents.first[request])
            outline = outlines.get(place)
            made.append(
                [
                    place,
                    position,
                    int(contents.n[request]),
                    contents.lanes[contents.lane[request]],
                    float(contents.arrived_at[request]),
                    VERDICTS[contents.verdict[event]],
                    int(contents.status[request]) or None,
                    contents.subjects[contents.subject[event]],
                    contents.types[contents.type[event]],
                    _at(outline.ids, position) if outline is not None else None,
                    _at(outline.times, position) if outline is not None else None,
                ]
            )
        return made


def _at(column: Sequence[Any], position: int) -> Any:
    return column[position] if position < len(column) else None
