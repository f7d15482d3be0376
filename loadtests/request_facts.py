"""What the ledger says of the requests of some arrivals: status, beginning and end, by number."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtests.ledger import HEADER_SIZE, ROW, Ledger, LedgerError, WorkerLedger

Array = npt.NDArray[Any]

_DOUBLES, _SHORTS = ROW.itemsize // 8, ROW.itemsize // 2
_STARTED = ROW.fields["started_at"][1] // 8  # type: ignore[index]
_ENDED = ROW.fields["ended_at"][1] // 8  # type: ignore[index]
_STATUS = ROW.fields["status"][1] // 2  # type: ignore[index]
#: After so many requests the pages that were looked at are let go.
_KEPT = 1 << 20


class RequestFacts:
    """Looks requests up in the ledgers of a run, which are mapped and not read: arrivals come nearly in the order of
    their requests, so that few pages are needed at a time."""

    def __init__(self, ledger: Ledger) -> None:
        """Map the ledgers. Raises LedgerError when one cannot be read."""
        self._files = {of.worker: _File(of) for of in ledger.workers if of.rows}
        self._looked_at = 0

    def of(self, worker: Array, n: Array) -> tuple[Array, Array, Array]:
        """Return status, beginning and end of requests that are in the ledger."""
        self._looked_at += len(n)
        if self._looked_at > _KEPT:
            self._looked_at = 0
            for file in self._files.values():
                file.let_go()
        if len(self._files) == 1:
            (file,) = self._files.values()
            return file.of(n)
        status, started, ended = np.empty(len(n), np.uint16), np.empty(len(n)), np.empty(len(n))
        for number in np.flatnonzero(np.bincount(worker)).tolist():
            place = np.flatnonzero(worker == number)
            status[place], started[place], ended[place] = self._files[number].of(n.take(place))
        return status, started, ended


class _File:
    def __init__(self, of: WorkerLedger) -> None:
        try:
            with of.path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        except (OSError, ValueError) as error:
            raise LedgerError(f"{of.path}: cannot be read: {error}") from None
        # Columns of numbers: taking whole rows, which numpy copies as anything, takes twice as long.
        self._doubles = np.frombuffer(self._map, "<f8", of.rows * _DOUBLES, HEADER_SIZE)
        self._shorts = np.frombuffer(self._map, "<u2", of.rows * _SHORTS, HEADER_SIZE)

    def of(self, n: Array) -> tuple[Array, Array, Array]:
        row = n.astype(np.int64)
        first = row * _DOUBLES
        status = self._shorts.take(row * _SHORTS + _STATUS)
        return status, self._doubles.take(first + _STARTED), self._doubles.take(first + _ENDED)

    def let_go(self) -> None:
        """Give the pages back; they are the operating system's, and come back when they are asked for."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
