"""The capture file: every request the ingest endpoint received, one JSON line each, safe against a killed process.

A line is handed to the operating system in one write before the request is answered, so an event answered with
success is in the file even if the process is killed with SIGKILL right after. (It is not forced to the disk: a
power cut can lose the last lines.) The file is only ever appended to. The first line of each opening is a header
with the format's version.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec

from harness.capture.record import CapturedEvent, CapturedRequest

FORMAT = "kong-metering-capture"
VERSION = 1

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(CapturedRequest)


class CaptureError(OSError):
    """The capture file cannot be opened or written. The message is one line with the file's name."""


class CaptureFormatError(ValueError):
    """The file is not a capture this version can read. The message is one line with the file's name."""


class CaptureWriter:
    """Appends requests to a capture file. One process at a time has a file open for writing."""

    def __init__(self, path: Path) -> None:
        """Open ``path``, creating it if needed; what is in it stays.

        Raises CaptureError when the file cannot be written or another process writes it, and CaptureFormatError when
        it holds something else.
        """
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CaptureError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            self._lock()
            self._torn = self._left_torn()
            header = {"format": FORMAT, "version": VERSION, "opened_at": time.time()}
            self._write(_encoder.encode(header))
        except BaseException:
            os.close(self._descriptor)
            raise

    def append(self, request: CapturedRequest) -> tuple[int, int]:
        """Write ``request``; return offset and length of its line in bytes.

        Raises CaptureError when it could not be written whole; the file then has no part of it, or a torn
        line that readers pass over.
        """
        return self._write(_encoder.encode(request))

    def line(self, offset: int, length: int) -> bytes:
        """Return a line written before, as JSON, without its end of line. Raises CaptureError."""
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise CaptureError(f"{self.path}: cannot be read: {error.strerror}") from None

    def close(self) -> None:
        """Close the file; harmless when it is closed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise CaptureError(f"{self.path}: another process is writing this capture") from None
            # A device or a file system without locks: nothing to protect, or nothing to protect it with.

    def _left_torn(self) -> bool:
        """Return whether the last line was cut off by the end of its writer. Raises CaptureFormatError."""
        with contextlib.suppress(OSError):  # a pipe or device has no past
            size = os.lseek(self._descriptor, 0, os.SEEK_END)
            if size:
                beginning = os.pread(self._descriptor, 4096, 0)
                _check_header(self.path, beginning)
                if b"\n" not in beginning and not _is_header(beginning):
                    os.ftruncate(self._descriptor, 0)  # a header cut off; there was nothing after it
                    return False
                return os.pread(self._descriptor, 1, size - 1) != b"\n"
        return False

    def _write(self, document: bytes) -> tuple[int, int]:
        if self._descriptor < 0:
            raise CaptureError(f"{self.path}: is closed")
        data = (b"\n" if self._torn else b"") + document + b"\n"
        start, written = -1, 0
        try:
            with contextlib.suppress(OSError):
                start = os.lseek(self._descriptor, 0, os.SEEK_END)
            while written < len(data):
                written += os.write(self._descriptor, data[written:] if written else data)
        except OSError as error:
            if written:
                self._take_back(start)
            raise CaptureError(f"{self.path}: cannot be written: {error.strerror}") from None
        offset = start + (1 if self._torn else 0)
        self._torn = False
        return offset, len(document)

    def _take_back(self, start: int) -> None:
        """Cut off the part of a line that was written; if even that fails, the next line starts afresh."""
        try:
            os.ftruncate(self._descriptor, start)
        except OSError:
            self._torn = True


class CaptureReader:
    """Reads a capture file line by line, in memory for one line only.

    ``torn`` counts the incomplete lines passed over so far: each is what a killed process left behind, a request
    that had not been answered.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = 0

    def requests(self) -> Iterator[CapturedRequest]:
        """Yield every request, in the order in which they were decided.

        Raises CaptureError when the file cannot be read and CaptureFormatError when it is none.
        """
        self.torn = 0
        try:
            with self.path.open("rb") as file:
                _check_header(self.path, file.peek(4096)[:4096])
                yield from self._lines(file)
        except OSError as error:
            raise CaptureError(f"{self.path}: cannot be read: {error.strerror}") from None

    def events(self) -> Iterator[CapturedEvent]:
        """Yield every event of every request. Raises as ``requests`` does."""
        for request in self.requests():
            yield from request.events()

    def _lines(self, file: BinaryIO) -> Iterator[CapturedRequest]:
        for line in file:
            try:
                yield _decoder.decode(line)
            except msgspec.ValidationError as error:
                if not _is_header(line):
                    raise CaptureFormatError(
                        f"{self.path}: has a line that is no captured request: {error}"
                    ) from None
            except msgspec.DecodeError:
                self.torn += 1


def _check_header(path: Path, beginning: bytes) -> None:
    first, end, _ = beginning.partition(b"\n")
    if not beginning or _is_header(first):
        return
    # A header that was cut off by the end of its writer is a capture without a request.
    start = _encoder.encode({"format": FORMAT, "version": VERSION})[:-1]
    if not end and (start.startswith(first) or first.startswith(start)):
        return
    raise CaptureFormatError(f"{path}: is not a capture file of format version {VERSION}; choose another file")


def _is_header(line: bytes) -> bool:
    try:
        header: Any = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return False
    return isinstance(header, dict) and header.get("format") == FORMAT and header.get("version") == VERSION
