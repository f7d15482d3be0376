"""The ledger: what was sent and answered, one row a request, safe against a killed load generator.

Each worker (a process that sends) has a file of its own, ``ledger-<worker>.bin``: a header, then one row of 24
bytes a request, little-endian, in the order of the requests' numbers. The file is mapped into memory, so that a row
costs no system call and is the operating system's as soon as it is written: SIGKILL loses none. Merging ledgers is
putting their files into one directory.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from loadtests.numbers import MAX_NUMBER, check_run, check_worker

#: A row as numpy reads it. ``started_at`` is written last: 0 there is a request that was never begun. ``ended_at`` 0
#: is one that never ended, ``status`` 0 one without an answer. Times are seconds since the epoch.
ROW = np.dtype([("expectation", "<u4"), ("status", "<u2"), ("_", "<u2"), ("ended_at", "<f8"), ("started_at", "<f8")])

Rows = npt.NDArray[np.void]

_MAGIC = b"KMLEDGR1"
_HEADER = struct.Struct("<8s8sII40x")  # magic, run, worker, size of a row
_BEGUN = struct.Struct("<IHxxdd")
_ENDED = struct.Struct("<Hxxd")
#: Bytes before the first row.
HEADER_SIZE = _HEADER.size
_ENDED_AT = 4
_GROWTH = 1 << 16
_NAME = re.compile(r"ledger-[0-9]+\.bin")


class LedgerError(OSError):
    """A ledger cannot be written or read. The message is one line with the file's name."""


def ledger_path(directory: Path, worker: int) -> Path:
    """Return the name of a worker's file in the directory of a run."""
    return directory / f"ledger-{worker}.bin"


class LedgerWriter:
    """Writes one worker's rows. Any number of greenlets may share one; threads and forked processes may not."""

    def __init__(self, path: Path, run: str, worker: int) -> None:
        """Open ``path``, creating it if needed; numbers go on after the rows that are in it.

        Raises ValueError for a run id or worker that is none, and LedgerError when the file cannot be written, holds
        something else, or is another process's.
        """
        self.path = path
        self.run = check_run(run)
        self.worker = check_worker(worker)
        self._next: int
        self._capacity: int
        self._map: mmap.mmap
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LedgerError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            self._open()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __len__(self) -> int:
        return self._next

    def begin(self, expectation: int, started_at: float) -> int:
        """Write that a request is about to leave; return its number.

        ``expectation`` is a position in the run's Expectations. Raises LedgerError when the file cannot grow or no
        number is left, and ValueError when the ledger is closed.
        """
        n = self._next
        if n == self._capacity:
            self._grow()
        _BEGUN.pack_into(self._map, _HEADER.size + n * ROW.itemsize, expectation, 0, 0.0, started_at)
        self._next = n + 1
        return n

    def end(self, n: int, status: int, ended_at: float) -> None:
        """Write that request ``n`` is over: the answer's status, 0 when there was none.

        Raises ValueError for a request that was never begun.
        """
        if not 0 <= n < self._next:
            raise ValueError(f"{self.path}: request {n} was never begun")
        _ENDED.pack_into(self._map, _HEADER.size + _ENDED_AT + n * ROW.itemsize, status, ended_at)

    def close(self) -> None:
        """Close the file and cut it to its rows; harmless when it is closed."""
        if self._descriptor < 0:
            return
        self._map.close()
        os.ftruncate(self._descriptor, _HEADER.size + self._next * ROW.itemsize)
        os.close(self._descriptor)
        self._descriptor = -1
        self._capacity = self._next

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerError(f"{self.path}: another process is writing this ledger") from None
        header = _HEADER.pack(_MAGIC, self.run.encode(), self.worker, ROW.itemsize)
        there = os.pread(self._descriptor, _HEADER.size, 0)
        if len(there) < _HEADER.size and header.startswith(there):
            os.pwrite(self._descriptor, header, 0)
        elif there != header:
            whose = f"run {self.run}, worker {self.worker}"
            raise LedgerError(f"{self.path}: is not the ledger of {whose}; choose another file")
        self._next = self._capacity = _begun_rows(self._descriptor)
        self._map = self._mapped()

    def _mapped(self) -> mmap.mmap:
        """Map the file with room for more rows. The room is reserved: a full disk is an error, not a signal."""
        if self._next > MAX_NUMBER:
            raise LedgerError(f"{self.path}: no number is left over {MAX_NUMBER}; use more workers")
        capacity = min(self._capacity + _GROWTH, MAX_NUMBER + 1)
        size = _HEADER.size + capacity * ROW.itemsize
        try:
            os.posix_fallocate(self._descriptor, 0, size)
            mapped = mmap.mmap(self._descriptor, size)
        except OSError as error:
            raise LedgerError(f"{self.path}: cannot grow to {size} bytes: {error.strerror}") from None
        self._capacity = capacity
        return mapped

    def _grow(self) -> None:
        if self._descriptor < 0:
            raise ValueError(f"{self.path}: is closed")
        before, self._map = self._map, self._mapped()
        before.close()


@dataclass(frozen=True, slots=True)
class WorkerLedger:
    """The rows of one worker's file: ``rows`` of them, numbered 0 to ``rows`` − 1."""

    path: Path
    worker: int
    rows: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """What all workers of a run sent, in the order of the workers' indices. ``chunks`` reads the rows."""

    run: str
    workers: tuple[WorkerLedger, ...]

    def __len__(self) -> int:
        return sum(worker.rows for worker in self.workers)

    @classmethod
    def read(cls, directory: Path) -> Ledger:
        """Find the ledgers in ``directory``.

        Raises LedgerError when there is none, one cannot be read, or they are not of one run with different workers.
        """
        if not directory.is_dir():
            raise LedgerError(f"{directory}: is not a directory")
        runs: dict[str, Path] = {}
        workers: dict[int, WorkerLedger] = {}
        for path in sorted(directory.iterdir()):
            if _NAME.fullmatch(path.name) and (found := _read_head(path)) is not None:
                run, ledger = found
                if ledger.worker in workers:
                    raise LedgerError(f"{path}: is of worker {ledger.worker}, as {workers[ledger.worker].path} is")
                runs.setdefault(run, path)
                workers[ledger.worker] = ledger
        if not runs:
            raise LedgerError(f"{directory}: holds no ledger (ledger-<worker>.bin)")
        if len(runs) > 1:
            (one, first), (other, second) = list(runs.items())[:2]
            raise LedgerError(f"{second}: is of run {other}, but {first} of run {one}; reconcile one run at a time")
        return cls(next(iter(runs)), tuple(workers[worker] for worker in sorted(workers)))

    def span(self) -> tuple[float, float]:
        """Return when the first request began and the last one ended, 0 for none. Raises LedgerError."""
        chunks = [(float(rows["started_at"].min()), float(rows["ended_at"].max())) for _, _, rows in self.chunks()]
        return min((began for began, _ in chunks), default=0.0), max((ended for _, ended in chunks), default=0.0)

    def row(self, place: int) -> tuple[int, int, Any]:
        """Return worker, number and row of the request at ``place``, counted over all workers. Raises LedgerError."""
        for worker in self.workers:
            if place < worker.rows:
                rows: Any = np.fromfile(worker.path, ROW, 1, offset=_HEADER.size + place * ROW.itemsize)
                return worker.worker, place, rows[0]
            place -= worker.rows
        raise IndexError(place)

    def chunks(self, size: int = 1 << 18) -> Iterator[tuple[int, int, Rows]]:
        """Yield worker, number of the first row, and up to ``size`` rows (dtype ROW). Raises LedgerError."""
        for worker in self.workers:
            try:
                with worker.path.open("rb") as file:
                    file.seek(_HEADER.size)
                    for first in range(0, worker.rows, size):
                        count = min(size, worker.rows - first)
                        rows: Any = np.fromfile(file, ROW, count)
                        if len(rows) < count:
                            raise LedgerError(f"{worker.path}: became shorter while it was read")
                        yield worker.worker, first, rows
            except OSError as error:
                if isinstance(error, LedgerError):
                    raise
                raise LedgerError(f"{worker.path}: cannot be read: {error.strerror}") from None


def _read_head(path: Path) -> tuple[str, WorkerLedger] | None:
    """Return run and extent of a ledger; None when its writer was killed before the first row."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size and _MAGIC.startswith(head[: len(_MAGIC)]):
                return None
            if len(head) < _HEADER.size or head[: len(_MAGIC)] != _MAGIC:
                raise LedgerError(f"{path}: is not a ledger of this version")
            _, run, worker, size = _HEADER.unpack(head)
            if size != ROW.itemsize:
                raise LedgerError(f"{path}: has rows of {size} bytes; this version reads {ROW.itemsize}")
            return run.decode("ascii", "replace"), WorkerLedger(path, worker, _begun_rows(file.fileno()))
    except OSError as error:
        if isinstance(error, LedgerError):
            raise
        raise LedgerError(f"{path}: cannot be read: {error.strerror}") from None


def _begun_rows(descriptor: int) -> int:
    """Return how many rows were begun. They are a prefix of the file; what follows is reserved room, or torn."""
    low, high = 0, (os.fstat(descriptor).st_size - _HEADER.size) // ROW.itemsize
    while low < high:
        middle = (low + high) // 2
        place = _HEADER.size + middle * ROW.itemsize + ROW.fields["started_at"][1]  # type: ignore[index]
        if os.pread(descriptor, 8, place) != bytes(8):
            low = middle + 1
        else:
            high = middle
    return max(low, 0)
