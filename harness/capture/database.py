"""The capture as an SQLite database: its schema, and how it is opened to be written or read.

In write-ahead mode what is committed has been handed to the operating system, so a killed process loses nothing of
it, and readers do not disturb the writer. docs/capture.md describes the schema for those who read it by other means.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from harness.capture.errors import CaptureError, CaptureFormatError

VERSION = 2
#: "KMCP" in the header of the file: what tells a capture from other SQLite databases.
APPLICATION = 0x4B4D4350
_MAGIC = b"SQLite format 3\x00"
_PATIENCE = 10.0  # seconds to wait for a lock that another process holds

SCHEMA = """
CREATE TABLE requests (
    place INTEGER PRIMARY KEY,
    lane TEXT NOT NULL,
    n INTEGER NOT NULL,
    arrived_at REAL NOT NULL,
    status INTEGER,
    fault TEXT,
    entries INTEGER NOT NULL,
    verdict TEXT,
    outline NOT NULL,
    dictionary INTEGER,
    content BLOB NOT NULL
);
CREATE TABLE dictionaries (number INTEGER PRIMARY KEY, content BLOB NOT NULL);
"""
#: Made when a capture is opened to be written: what is captured of a relay, to be searched without its contents.
RELAYED = """
CREATE TABLE IF NOT EXISTS relayed (
    request INTEGER PRIMARY KEY,
    host TEXT NOT NULL,
    seconds REAL NOT NULL,
    status INTEGER,
    size INTEGER NOT NULL,
    failure TEXT
)
"""


def is_database(beginning: bytes) -> bool:
    """Return whether a file that begins so is an SQLite database."""
    return beginning.startswith(_MAGIC)


def open_to_write(path: Path) -> sqlite3.Connection:
    """Return a connection to the capture ``path``, an empty file or a capture of this version.

    Raises CaptureError and CaptureFormatError.
    """
    connection = _connect(path, "rw")
    try:
        if _tables(connection) == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {SCHEMA}"
                f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION}; COMMIT;"
            )
        check_version(connection, path)
        connection.execute("PRAGMA journal_mode=WAL")
        # Nothing waits for the disk: what is committed survives the process, however it ends, but not a power cut.
        connection.execute("PRAGMA synchronous=OFF")
        # 1 MB of log: what is still in the processor's caches when it is folded into the file costs less.
        connection.execute("PRAGMA wal_autocheckpoint=250")
        connection.execute(RELAYED)
    except sqlite3.Error as error:
        connection.close()
        raise told(path, error, "written") from None
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """Return a connection that can only read the capture ``path``; another process may be writing it.

    Raises CaptureError and CaptureFormatError.
    """
    connection = _connect(path, "ro")
    try:
        try:
            check_version(connection, path)
        except sqlite3.OperationalError:
            # Where nothing may be written, the memory that readers share with a writer cannot be had either.
            if _has_log(path) or os.access(path.parent, os.W_OK):
                raise
            connection.close()
            connection = _connect(path, "ro", "&immutable=1")
            check_version(connection, path)
        connection.execute("PRAGMA temp_store=MEMORY")
    except sqlite3.Error as error:
        connection.close()
        raise told(path, error, "read") from None
    except BaseException:
        connection.close()
        raise
    return connection


def has_relayed(connection: sqlite3.Connection) -> bool:
    """Return whether the capture has requests that were passed on to a real endpoint."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name='relayed'").fetchone() is None:
        return False
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM relayed)").fetchone()[0])


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raise CaptureFormatError unless the database is a capture of this version."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION and _tables(connection):
        raise CaptureFormatError(f"{path}: is an SQLite database, but no capture; choose another file")
    if application == APPLICATION and version != VERSION:
        raise CaptureFormatError(
            f"{path}: is a capture of format version {version}, this is version {VERSION}; use a newer kong-metering"
        )


def told(path: Path, error: sqlite3.Error, what: str) -> CaptureError | CaptureFormatError:
    """Return SQLite's ``error`` in one line; ``what`` could not be done ("read")."""
    damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.OperationalError | sqlite3.ProgrammingError
    )
    if damaged:
        return CaptureFormatError(f"{path}: is damaged and cannot be {what}: {error}")
    return CaptureError(f"{path}: cannot be {what}: {error}")


def _connect(path: Path, mode: str, more: str = "") -> sqlite3.Connection:
    try:
        return sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode={mode}{more}",
            uri=True,
            isolation_level=None,
            timeout=_PATIENCE,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise told(path, error, "opened") from None


def _tables(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _has_log(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.with_name(path.name + "-wal").stat().st_size > 0
    return False
