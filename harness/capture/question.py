"""A capture asked in SQL: its requests, its events as a table, and functions that look into bodies."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harness.capture.content import Decompressor, body_of
from harness.capture.database import open_to_read, told
from harness.capture.older_version import in_this_version
from harness.capture.reader import CaptureReader
from harness.capture.selection import Selection

_EVENTS = """
CREATE TEMP TABLE events (request INTEGER, position INTEGER, verdict TEXT, id TEXT, subject TEXT, type TEXT, time);
"""
_ASKS_EVENTS = re.compile(r"\bevents?\b", re.IGNORECASE)
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})


class QuestionError(ValueError):
    """The SQL cannot be run. The message is one line."""


@contextmanager
def asked(path: Path, sql: str) -> Iterator[sqlite3.Cursor]:
    """Yield the cursor of the SELECT ``sql`` over the capture ``path``; nothing can be changed by it.

    Tables: ``requests`` as in the file, and ``events`` (request, position, verdict, id, subject, type, time), made
    for the time of the question when it names them. Functions: ``body(request)``, the body as text, and
    ``event(request, position)``, one event as JSON. Raises QuestionError, CaptureError and CaptureFormatError.
    """
    with _database(path) as connection:
        contents = _Bodies(connection)
        if _ASKS_EVENTS.search(sql):
            _fill(connection, path)
        connection.create_function("body", 1, contents.body)
        connection.create_function("event", 2, contents.event)
        connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY)
        try:
            yield connection.execute(sql)
        except (sqlite3.Error, sqlite3.Warning) as error:
            words = "a question only reads: " if "not authorized" in str(error) else ""
            raise QuestionError(f"{words}{' '.join(str(error).split())}") from None


@contextmanager
def _database(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection to the capture, or to a copy in this version's format that is gone afterwards."""
    with in_this_version(path) as readable:
        connection = open_to_read(readable)
        try:
            yield connection
        finally:
            connection.close()


def _fill(connection: sqlite3.Connection, path: Path) -> None:
    connection.executescript(_EVENTS)
    rows = (
        (entry.request, entry.position, entry.verdict, entry.id, entry.subject, entry.type, entry.time)
        for entry in Selection().entries(CaptureReader(path))
    )
    try:
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO temp.events VALUES (?,?,?,?,?,?,?)", rows)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise told(path, error, "read") from None


class _Bodies:
    """Looks into contents; keeps the last one, for a question that goes from event to event."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._decompressor = Decompressor(self._dictionary)
        self._last: tuple[int, list[msgspec.Raw]] | None = None

    def body(self, request: int) -> str | bytes | None:
        """Return the body of the request at a place: text, or bytes when it is none."""
        plain = self._plain(request)
        if plain is None:
            return None
        try:
            return plain.decode()
        except UnicodeDecodeError:
            return plain

    def event(self, request: int, position: int) -> str | None:
        """Return one event as JSON, None when there is none."""
        if self._last is None or self._last[0] != request:
            self._last = (request, _raw(self._plain(request) or b""))
        events = self._last[1]
        return bytes(events[position]).decode() if 0 <= position < len(events) else None

    def _plain(self, request: int) -> bytes | None:
        found = self._connection.execute(
            "SELECT dictionary, content FROM requests WHERE place=?", (request,)
        ).fetchone()
        return None if found is None else body_of(self._decompressor.decompress(*found))

    def _dictionary(self, number: int) -> bytes:
        found = self._connection.execute("SELECT content FROM dictionaries WHERE number=?", (number,)).fetchone()
        return bytes(found[0])


def _raw(body: bytes) -> list[msgspec.Raw]:
    try:
        if body.lstrip()[:1] == b"[":
            return msgspec.json.decode(body, type=list[msgspec.Raw])
        return [msgspec.json.decode(body, type=msgspec.Raw)]
    except msgspec.DecodeError:
        return []
