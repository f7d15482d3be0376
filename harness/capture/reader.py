"""Reads captures of every format version, one request at a time; a process may be writing the file meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from harness.capture.content import Decompressor, request_of
from harness.capture.database import has_relayed, is_database, open_to_read, told
from harness.capture.errors import CaptureError, CaptureFormatError
from harness.capture.json_lines import JsonLines, is_json_lines
from harness.capture.outline import Outline, outline_of_body
from harness.capture.record import CapturedEvent, CapturedRequest, Relayed

_COLUMNS = "place, lane, n, arrived_at, status, fault, entries, verdict, outline, dictionary"
_RELAYED = "SELECT host, seconds, status, size, failure FROM relayed WHERE request=?"
_CONTENT = "SELECT content FROM requests WHERE place=?"
#: What decoding a content or an outline fails with when its bytes are not what was written.
_DAMAGE = (zstandard.ZstdError, msgspec.DecodeError, TypeError)
_outlines = msgspec.json.Decoder(Outline)


@dataclass(slots=True)
class Row:
    """A request as far as its columns tell; ``request`` reads the rest, ``relayed`` how it fared at a real endpoint.

    ``place`` counts the requests of the file from 1. ``verdict`` is that of all its entries, "mixed", or None when it
    has none.
    """

    place: int
    lane: str
    n: int
    arrived_at: float
    status: int | None
    fault: str | None
    entries: int
    verdict: str | None
    outline: Callable[[], Outline]
    request: Callable[[], CapturedRequest]
    relayed: Callable[[], Relayed | None]


class CaptureReader:
    """Reads a capture file.

    ``torn`` counts the incomplete lines passed over so far in a file of version 1: each is what a killed process left
    behind, a request that had not been answered. Version 2 has none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = 0

    def requests(self) -> Iterator[CapturedRequest]:
        """Yield every request, in the order in which they were decided.

        Raises CaptureError when the file cannot be read and CaptureFormatError when it is none.
        """
        for row in self.rows():
            yield row.request()

    def events(self) -> Iterator[CapturedEvent]:
        """Yield every event of every request. Raises as ``requests`` does."""
        for request in self.requests():
            yield from request.events()

    def rows(self, condition: str = "1", values: Sequence[Any] = ()) -> Iterator[Row]:
        """Yield the requests' columns, in the order in which they were decided. Raises as ``requests`` does.

        ``condition`` may leave out requests, in SQL on the columns of ``requests`` with ``values`` for its
        parameters; a file of version 1 yields all.
        """
        self.torn = 0
        try:
            beginning = self._beginning_or_told()
            if is_database(beginning):
                yield from self._stored(condition, values)
            elif is_json_lines(beginning):
                yield from self._lines()
            elif beginning:
                raise CaptureFormatError(f"{self.path}: is not a capture file; choose another file")
        except sqlite3.Error as error:
            raise told(self.path, error, "read") from None
        except CaptureError:
            raise
        except OSError as error:
            raise CaptureError(f"{self.path}: cannot be read: {error.strerror}") from None

    def last_place(self) -> int:
        """Return the place of the newest request, 0 when there is none. Raises as ``requests`` does.

        Cheap in a file of version 2.
        """
        if not is_database(self._beginning_or_told()):
            return max((row.place for row in self.rows()), default=0)
        try:
            with closing(open_to_read(self.path)) as connection:
                return int(connection.execute("SELECT coalesce(max(place), 0) FROM requests").fetchone()[0])
        except sqlite3.Error as error:
            raise told(self.path, error, "read") from None

    def _beginning_or_told(self) -> bytes:
        try:
            return self._beginning()
        except OSError as error:
            raise CaptureError(f"{self.path}: cannot be read: {error.strerror}") from None

    def _beginning(self) -> bytes:
        with self.path.open("rb") as file:
            return file.read(4096)

    def _stored(self, condition: str, values: Sequence[Any]) -> Iterator[Row]:
        with closing(open_to_read(self.path)) as connection:
            contents = _Contents(self.path, connection)
            statement = f"SELECT {_COLUMNS} FROM requests WHERE {condition} ORDER BY place"  # noqa: S608 - ours
            for row in connection.execute(statement, values):
                yield contents.row(row)

    def _lines(self) -> Iterator[Row]:
        lines = JsonLines(self.path)
        for place, request in enumerate(lines.requests(), 1):
            self.torn = lines.torn
            yield row_of(place, request)
        self.torn = lines.torn


def at_places(places: Iterable[int]) -> tuple[str, list[Any]]:
    """Return the condition that takes the requests at ``places``, with its values."""
    return "place IN (SELECT value FROM json_each(?))", [msgspec.json.encode(list(places)).decode()]


def row_of(place: int, request: CapturedRequest) -> Row:
    """Return the columns of a request that is at hand."""
    outcomes = {verdict.verdict for verdict in request.verdicts}
    plain = len(outcomes) == 1 and not any(verdict.findings for verdict in request.verdicts)
    return Row(
        place,
        request.lane,
        request.n,
        request.arrived_at,
        request.status,
        request.fault,
        len(request.verdicts),
        (next(iter(outcomes)) if plain else "mixed") if outcomes else None,
        lambda: outline_of_body(request.body_bytes(), len(request.verdicts)),
        lambda: request,
        lambda: request.relayed,
    )


class _Contents:
    """Decodes what the rows of one connection refer to."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._decompressor = Decompressor(self._dictionary)
        self._outlines = zstandard.ZstdDecompressor()
        self._has_relayed = has_relayed(connection)

    def row(self, columns: tuple[Any, ...]) -> Row:
        place, lane, n, arrived_at, status, fault, entries, verdict, stored, dictionary = columns

        def outline() -> Outline:
            try:
                return _outlines.decode(stored if isinstance(stored, str) else self._outlines.decompress(stored))
            except _DAMAGE as error:
                raise self._damaged(error) from None

        def request() -> CapturedRequest:
            try:
                (content,) = self._connection.execute(_CONTENT, (place,)).fetchone()
                plain = self._decompressor.decompress(dictionary, content)
                return request_of((lane, n, arrived_at, status, fault, entries, verdict), plain)
            except sqlite3.Error as error:
                raise told(self._path, error, "read") from None
            except _DAMAGE as error:
                raise self._damaged(error) from None

        def relayed() -> Relayed | None:
            if not self._has_relayed:
                return None
            try:
                found = self._connection.execute(_RELAYED, (place,)).fetchone()
            except sqlite3.Error as error:
                raise told(self._path, error, "read") from None
            return None if found is None else Relayed(*found)

        return Row(place, lane, n, arrived_at, status, fault, entries, verdict, outline, request, relayed)

    def _damaged(self, error: Exception) -> CaptureFormatError:
        return CaptureFormatError(f"{self._path}: is damaged and cannot be read: {error}")

    def _dictionary(self, number: int) -> bytes:
        found = self._connection.execute("SELECT content FROM dictionaries WHERE number=?", (number,)).fetchone()
        return bytes(found[0])
