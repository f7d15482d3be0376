"""Files of rows of a fixed size, only ever appended to, safe against a killed process.

A header names what the rows are and the run they belong to. Rows are handed to the operating system before ``append``
returns; one that a killed process left incomplete at the end is passed over, and cut off by the next writer.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtests.numbers import check_run

Rows = npt.NDArray[Any]

_HEADER = struct.Struct("<8s8sI44x")  # what the rows are, run, size of a row


class RowFileError(OSError):
    """A file of rows cannot be written or read. The message is one line with the file's name."""


class RowWriter:
    """Appends rows of ``dtype`` to a file whose header has ``magic`` (eight bytes) and the run."""

    def __init__(self, path: Path, magic: bytes, run: str, dtype: np.dtype[Any]) -> None:
        """Open ``path``, creating it if needed; whole rows that are in it stay.

        Raises RowFileError when it cannot be written, holds something else, or another process writes it.
        """
        self.path = path
        self._size = dtype.itemsize
        header = _HEADER.pack(magic, check_run(run).encode(), self._size)
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RowFileError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            self._open(header, run)
        except BaseException:
            os.close(self._descriptor)
            raise

    def append(self, rows: bytes) -> None:
        """Write whole rows. Raises RowFileError when they could not be written; the file then has none of them."""
        written = 0
        try:
            while written < len(rows):
                written += os.write(self._descriptor, rows[written:] if written else rows)
        except OSError as error:
            if written:
                os.ftruncate(self._descriptor, _HEADER.size + self.rows * self._size)
            raise RowFileError(f"{self.path}: cannot be written: {error.strerror}") from None
        self.rows += len(rows) // self._size

    def close(self) -> None:
        """Close the file; harmless when it is closed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self, header: bytes, run: str) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RowFileError(f"{self.path}: another process is writing this file") from None
        there = os.pread(self._descriptor, _HEADER.size, 0)
        if len(there) < _HEADER.size and header.startswith(there):
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, header)
        elif there != header:
            raise RowFileError(f"{self.path}: is not such a file of run {run}; choose another directory")
        self.rows = (os.fstat(self._descriptor).st_size - _HEADER.size) // self._size
        os.ftruncate(self._descriptor, _HEADER.size + self.rows * self._size)


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file of rows to read: the run, how many whole rows, and how many bytes of a torn one follow."""

    path: Path
    dtype: np.dtype[Any]
    run: str
    rows: int
    torn: int

    @classmethod
    def open(cls, path: Path, magic: bytes, dtype: np.dtype[Any]) -> RowFile:
        """Look at ``path``. Raises RowFileError when it cannot be read or holds something else."""
        try:
            with path.open("rb") as file:
                head = file.read(_HEADER.size)
                size = os.fstat(file.fileno()).st_size - _HEADER.size
        except OSError as error:
            raise RowFileError(f"{path}: cannot be read: {error.strerror}") from None
        if len(head) < _HEADER.size or not head.startswith(magic):
            raise RowFileError(f"{path}: is not a file of this version")
        _, run, row = _HEADER.unpack(head)
        if row != dtype.itemsize:
            raise RowFileError(f"{path}: has rows of {row} bytes; this version reads {dtype.itemsize}")
        rows, torn = divmod(size, row)
        return cls(path, dtype, run.decode("ascii", "replace"), rows, torn)

    def chunks(self, size: int) -> Iterator[tuple[int, Rows]]:
        """Yield the index of the first row, and up to ``size`` rows. Raises RowFileError."""
        for first in range(0, self.rows, size):
            yield first, self.read(first, min(size, self.rows - first))

    def read(self, first: int, count: int) -> Rows:
        """Return ``count`` rows from ``first`` on. Raises RowFileError."""
        place = _HEADER.size + first * self.dtype.itemsize
        try:
            rows: Rows = np.fromfile(self.path, self.dtype, count, offset=place)
        except OSError as error:
            raise RowFileError(f"{self.path}: cannot be read: {error.strerror}") from None
        if len(rows) < count:
            raise RowFileError(f"{self.path}: became shorter while it was read")
        return rows
