"""The capture behind the page: its index, which follows the file as it grows, and what is read from the file."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.capture.errors import CaptureError, CaptureFormatError
from harness.capture.reader import CaptureReader, at_places
from harness.capture_page.filter import Filter, Finder, Found
from harness.capture_page.index import VERDICTS, CaptureIndex, Contents, Totals
from harness.capture_page.search_text import Numbers


@dataclass(frozen=True, slots=True)
class State:
    """How far the index is: ``last_place`` is that of the newest request in the file, None before it was looked at.

    ``generation`` counts the files: it goes up when another one took this one's place. ``problem`` says in one line
    why the file could not be read, last time.
    """

    generation: int
    totals: Totals
    last_place: int | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Moment:
    """What can be searched at one moment."""

    generation: int
    contents: Contents
    finder: Finder

    def find(self, wanted: Filter, stop: threading.Event) -> Found:
        """Return the events that are as ``wanted``. Raises Superseded when ``stop`` is set meanwhile."""
        return self.finder.find(self.contents, wanted, stop)


@dataclass(frozen=True, slots=True)
class _Followed:
    """One file: nothing that is known of it holds for another one in its place."""

    generation: int
    file: tuple[int, int] | None
    index: CaptureIndex
    finder: Finder


class CaptureSource:
    """Follows the capture ``path``, a database; ``grow`` is called from one thread at a time, the rest from any."""

    def __init__(self, path: Path) -> None:
        self.reader = CaptureReader(path)
        self._path = path
        self._followed = _Followed(0, None, CaptureIndex(), Finder())
        self._last_place: int | None = None
        self._problem: str | None = None

    def state(self) -> State:
        """Return how far the index is; cheap."""
        followed = self._followed
        return State(followed.generation, followed.index.totals(), self._last_place, self._problem)

    def now(self) -> Moment:
        """Return what can be searched now."""
        followed = self._followed
        return Moment(followed.generation, followed.index.contents(), followed.finder)

    def grow(self, stop: threading.Event) -> None:
        """Take in what the file has beyond the index; ``stop`` ends it early. What is wrong is told in ``state``."""
        try:
            index = self._index_of_the_file()
            self._last_place = self.reader.last_place()
            if self._last_place > index.last_place:
                for row in self.reader.rows("place > ?", (index.last_place,)):
                    index.add(row)
                    if stop.is_set():
                        return
            self._problem = None
        except (CaptureError, CaptureFormatError) as error:
            self._problem = str(error)

    def _index_of_the_file(self) -> CaptureIndex:
        try:
            status = self._path.stat()
        except OSError as error:
            raise CaptureError(f"{self._path}: cannot be read: {error.strerror}") from None
        file, before = (status.st_dev, status.st_ino), self._followed
        if before.file is None:
            self._followed = replace(before, file=file)
        elif before.file != file:
            self._followed = _Followed(before.generation + 1, file, CaptureIndex(), Finder())
        return self._followed.index

    def rows(self, contents: Contents, events: Numbers) -> list[list[Any]]:
        """Return these events, each as its request's place, position in the body, number, lane, arrival, verdict,
        status, subject, type, id and time.

        Raises CaptureError and CaptureFormatError.
        """
        requests = contents.request[events]
        outlines = {}
        for row in self.reader.rows(*at_places(contents.place[np.unique(requests)].tolist())):
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
