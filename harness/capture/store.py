"""The capture file: every request the ingest endpoint received, safe against a killed process.

A request is committed before it is answered, so an event answered with success is in the file even if the process is
killed with SIGKILL right after. The file is an SQLite database (``harness.capture.database``); captures of format
version 1, JSON lines, can be read.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import zstandard

from harness.capture.content import (
    LARGE_LEVEL,
    Compressor,
    Decompressor,
    body_of,
    plain_content,
    request_of,
    verdicts_of,
)
from harness.capture.database import is_database, open_to_write, told
from harness.capture.errors import CaptureError, CaptureFormatError
from harness.capture.json_lines import is_json_lines
from harness.capture.outline import Outline, outline_of, outline_of_body
from harness.capture.reader import CaptureReader
from harness.capture.record import CapturedRequest, Relayed
from harness.capture.verdict import Verdict

__all__ = ["CaptureError", "CaptureFormatError", "CaptureReader", "CaptureWriter"]

#: Bytes that a limit must leave room for.
LEAST_LIMIT = 65_536
#: Outlines longer than this are compressed, too: those of batches. Shorter ones can be searched where they are.
LONGEST_TEXT = 1024

_INSERT = "INSERT INTO requests VALUES (NULL,?,?,?,?,?,?,?,?,?,?)"
_INSERT_RELAYED = "INSERT INTO relayed VALUES (?,?,?,?,?,?)"
_COLUMNS = "lane, n, arrived_at, status, fault, entries, verdict, dictionary, content"
_SELECT = f"SELECT {_COLUMNS} FROM requests WHERE place=?"  # noqa: S608 - ours
_TAKEN_IN = """
SELECT verdict, dictionary, content FROM requests
WHERE lane=? AND verdict IN ('accepted', 'duplicate', 'mixed') ORDER BY place DESC
"""
_encode = msgspec.json.Encoder().encode


class CaptureWriter:
    """Appends requests to a capture file. One process at a time has a file open for writing; others may read it."""

    def __init__(self, path: Path, limit: int | None = None) -> None:
        """Open ``path``, creating it if needed; what is in it stays. ``limit`` is the largest size in bytes.

        Raises CaptureError when the file cannot be written or another process writes it, and CaptureFormatError when
        it holds something else, or a capture of a version that is only read.
        """
        self.path = path
        self._lock = _locked(path)
        status = os.fstat(self._lock)
        self._file = (status.st_dev, status.st_ino)
        try:
            self._connection = open_to_write(path)
            try:
                self._limit = self._limited(limit)
                self._compressor = Compressor(*self._newest_dictionary())
            except sqlite3.Error as error:
                self._connection.close()
                raise told(path, error, "read") from None
        except BaseException:
            os.close(self._lock)
            raise
        self._decompressor = Decompressor(self._dictionary)
        self._outlines = zstandard.ZstdCompressor(level=LARGE_LEVEL)

    def append(self, request: CapturedRequest, entries: Sequence[Any] | None = None) -> int:
        """Commit ``request``; return its place.

        ``entries`` are those of its body, parsed, when they are at hand (see ``outline_of``). Raises CaptureError
        when it could not be written whole: the file then has no part of it. So it is when the file is no longer at
        its path, where nobody would find the request.
        """
        self._check_place()
        if entries is not None and len(entries) == len(request.verdicts):
            outline = outline_of(entries)
        else:
            outline = outline_of_body(request.body_bytes(), len(request.verdicts))
        verdict, verdicts = _one_or_all(request.verdicts)
        plain = plain_content(request, verdicts)
        dictionary, content = self._compressor.compress(plain)
        row = (
            request.lane,
            request.n,
            request.arrived_at,
            request.status,
            request.fault,
            len(request.verdicts),
            verdict,
            self._stored(outline),
            dictionary,
            content,
        )
        try:
            place = self._inserted(row, request.relayed)
            self._learn(plain)
        except sqlite3.Error as error:
            raise self._failure(error) from None
        return place

    def line(self, place: int) -> bytes:
        """Return the request written at ``place`` as JSON. Raises CaptureError."""
        try:
            *columns, dictionary, content = self._connection.execute(_SELECT, (place,)).fetchone()
            return _encode(request_of(tuple(columns), self._decompressor.decompress(dictionary, content)))
        except (sqlite3.Error, zstandard.ZstdError) as error:
            raise CaptureError(f"{self.path}: cannot be read: {error}") from None

    def taken_in(self, lane: str) -> Iterator[tuple[bytes, list[str] | None]]:
        """Yield the bodies of a lane's requests with accepted or duplicate entries, the newest first.

        With a body come its entries' verdicts; None: all of them were taken in. Raises CaptureError and
        CaptureFormatError.
        """
        try:
            for verdict, dictionary, content in self._connection.execute(_TAKEN_IN, (lane,)):
                plain = self._decompressor.decompress(dictionary, content)
                yield body_of(plain), verdicts_of(plain) if verdict == "mixed" else None
        except sqlite3.Error as error:
            raise told(self.path, error, "read") from None
        except (zstandard.ZstdError, msgspec.DecodeError, TypeError) as error:
            raise CaptureFormatError(f"{self.path}: is damaged and cannot be read: {error}") from None

    def close(self) -> None:
        """Close the file; harmless when it is closed."""
        if self._lock >= 0:
            self._connection.close()
            # Not earlier: closing any descriptor of the file gives up the locks that SQLite has on it.
            os.close(self._lock)
            self._lock = -1

    def discard(self) -> None:
        """Close the file and remove it."""
        self.close()
        for tail in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                self.path.with_name(self.path.name + tail).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_place(self) -> None:
        """Raise CaptureError unless the path still leads to the file that is written; some 2 µs."""
        try:
            there = os.stat(self.path)  # noqa: PTH116 - Path's own takes twice as long
        except OSError as error:
            gone = error.errno in (errno.ENOENT, errno.ENOTDIR)
            what = "was removed while it was written" if gone else f"cannot be reached: {error.strerror}"
        else:
            if (there.st_dev, there.st_ino) == self._file:
                return
            what = "was replaced by another file while it was written"
        raise CaptureError(f"{self.path}: {what}; put it back, or start again")

    def _inserted(self, row: tuple[Any, ...], relayed: Relayed | None) -> int:
        """Commit a row, and what is searched of its relay, together; return its place."""
        place: int | None
        if relayed is None:
            place = self._connection.execute(_INSERT, row).lastrowid
        else:
            self._connection.execute("BEGIN")
            try:
                place = self._connection.execute(_INSERT, row).lastrowid
                columns = (place, relayed.host, relayed.seconds, relayed.status, relayed.size, relayed.failure)
                self._connection.execute(_INSERT_RELAYED, columns)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite may have ended it
                    self._connection.execute("ROLLBACK")
                raise
        assert place is not None
        return place

    def _stored(self, outline: Outline) -> str | bytes:
        text = _encode(outline)
        return text.decode() if len(text) <= LONGEST_TEXT else self._outlines.compress(text)

    def _learn(self, plain: bytes) -> None:
        dictionary = self._compressor.learn(plain)
        if dictionary is not None:
            row = self._connection.execute("INSERT INTO dictionaries VALUES (NULL,?)", (dictionary,))
            assert row.lastrowid is not None
            self._compressor.use(row.lastrowid, dictionary)

    def _newest_dictionary(self) -> tuple[int, bytes] | tuple[()]:
        newest = "SELECT number, content FROM dictionaries ORDER BY number DESC LIMIT 1"
        found: tuple[int, bytes] | None = self._connection.execute(newest).fetchone()
        return () if found is None else found

    def _dictionary(self, number: int) -> bytes:
        found = self._connection.execute("SELECT content FROM dictionaries WHERE number=?", (number,)).fetchone()
        return bytes(found[0])

    def _limited(self, limit: int | None) -> int | None:
        if limit is None:
            return None
        (size,) = self._connection.execute("PRAGMA page_size").fetchone()
        pages = max(1, limit // size)
        self._connection.execute(f"PRAGMA max_page_count={pages}")
        return int(pages * size)

    def _failure(self, error: sqlite3.Error) -> CaptureError:
        if self._limit is not None and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return CaptureError(f"{self.path}: has reached its limit of {self._limit:,} bytes")
        return CaptureError(f"{self.path}: cannot be written: {error}")


def _one_or_all(verdicts: tuple[Verdict, ...]) -> tuple[str | None, tuple[Verdict, ...] | None]:
    """Return the outcome that all ``verdicts`` have without a finding, or "mixed" and all of them."""
    if not verdicts:
        return None, None
    first = verdicts[0]
    if not first.findings and verdicts.count(first) == len(verdicts):
        return first.verdict, None
    return "mixed", verdicts


def _locked(path: Path) -> int:
    """Return a descriptor of ``path``, created if needed, that keeps other writers away. Raises as a writer does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise CaptureError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise CaptureError(f"{path}: cannot be written: a capture needs a regular file")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise CaptureError(f"{path}: another process is writing this capture") from None
            # A file system without locks: nothing to protect it with.
        beginning = os.pread(descriptor, 4096, 0)
        if is_json_lines(beginning):
            raise CaptureFormatError(
                f"{path}: is a capture of format version 1, which is only read; choose another file, or make a new "
                f"one of it with: kong-metering capture convert {path} NEW"
            )
        if beginning and not is_database(beginning):
            raise CaptureFormatError(f"{path}: is not a capture file; choose another file")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
