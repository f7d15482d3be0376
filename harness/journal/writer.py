"""Writes a journal: appends, and with a limit begins a new generation when its half is used up."""

from __future__ import annotations

import asyncio
import mmap
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

from harness.journal.file import BEGINNING, JournalError, encode_line, generation_before
from harness.journal.lock import is_written, lock
from plugin_emulator.journal import Configured, Fact, Lost, Sending, Started, Stopped, Tried, UnderWay

#: Seconds that a fact may wait in memory, and the bytes that may wait there with it.
FLUSH_EVERY = 0.05
MAX_WAITING = 1 << 16

#: The least limit, in bytes: two generations, of each of which what waits in memory is a small part.
LEAST_LIMIT = 1_000_000

#: What a generation begins with.
_BEGINNINGS = (Started, Configured)
#: What part of it may be taken up by the batches under way.
_CARRIED = 1 / 4


class JournalWriter:
    """Appends facts to ``path``; what is told is in the file within 0.05 s. Use it as a context manager.

    One process at a time writes a journal; others may read it.

    With a ``limit`` (bytes) the file is renamed to FILE.1 before it grows beyond half of that, the FILE.1 before it
    is given up, and a new FILE begins with gateway, configuration and the batches under way: the two together stay
    within the limit.

    Memory stays below :data:`MAX_WAITING` bytes and a line. When the file cannot be written any more (a full disk)
    what follows is let go and ``complain`` is told why, once: metering goes on. Raises JournalError when it cannot be
    opened, another process writes it, or it is something else than a journal.
    """

    def __init__(
        self, path: Path, complain: Callable[[str], None] = lambda line: None, limit: int | None = None
    ) -> None:
        self._path = path
        self._complain = complain
        self._half = None if limit is None else limit // 2
        self._stopped = False
        self._warned = False
        self._waiting = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._latest: dict[type[Fact], Fact] = {}
        self._written: dict[type[Fact], Fact] = {}
        self._under_way: dict[tuple[str, int], UnderWay] = {}
        self._under_way_written: dict[tuple[str, int], UnderWay] = {}
        self._begun = 0
        try:
            self._file, self._size = _open(path, limited=limit is not None)
            if self._half is not None and self._size > self._half:
                self._begin_generation()
        except OSError as error:
            raise JournalError(f"{path}: cannot be written: {error.strerror or error}") from None

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.flush()
        self._file.close()

    def write(self, fact: Fact) -> None:
        """Append a fact. Call it on a running event loop."""
        waiting = self._waiting
        encode_line(fact, waiting)
        if isinstance(fact, _BEGINNINGS):
            self._latest = {**self._latest, type(fact): fact}
        if self._half is not None:
            self._follow(fact)
        if len(waiting) >= MAX_WAITING:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_EVERY, self.flush)

    def flush(self) -> None:
        """Put into the file what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, bytearray()
        if self._stopped or not waiting:
            return
        try:
            full = self._half is not None and self._size + len(waiting) > self._half
            if full and self._size > self._begun:
                self._begin_generation()
            self._append(waiting)
        except (OSError, JournalError) as error:
            self._stopped = True
            why = error.strerror or error if isinstance(error, OSError) else "another process has begun to write it"
            self._complain(f"{self._path}: cannot be written any more: {why}")
        self._written = self._latest
        self._under_way_written = self._under_way.copy()

    def _follow(self, fact: Fact) -> None:
        """Keep what a new generation has to tell of the batches under way."""
        match fact:
            case Sending():
                batch = UnderWay(fact.at, fact.instance, fact.batch, fact.at, len(fact.events))
                self._under_way[fact.instance, fact.batch] = batch
            case Tried() if fact.ok:
                self._under_way.pop((fact.instance, fact.batch), None)
            case Tried():
                known = self._under_way.get((fact.instance, fact.batch))
                if known is not None:
                    tries = (*known.tries[:1], fact)
                    self._under_way[fact.instance, fact.batch] = msgspec.structs.replace(known, tries=tries)
            case Lost(batch=int(number)):
                self._under_way.pop((fact.instance, number), None)
            case Started() | Stopped():
                self._under_way.clear()

    def _append(self, lines: bytearray) -> None:
        while lines:
            written = self._file.write(lines) or 0
            self._size += written
            del lines[:written]

    def _begin_generation(self) -> None:
        """Rename the file, and begin another one with what a reader has to know. Raises OSError."""
        place, older = self._path.resolve(), generation_before(self._path)
        given_up = _held(older)
        try:
            place.replace(older)
        except FileNotFoundError:
            pass  # somebody has removed it
        finally:
            # To give back the blocks of a large file takes a while: whoever closes it last waits for that.
            if given_up is not None:
                threading.Thread(target=os.close, args=(given_up,)).start()
        # The older generation stays locked until the new one is: a second writer looks at both.
        before, (self._file, self._size) = self._file, _open(self._path, limited=True, ours=True)
        before.close()
        self._append(self._first_lines())
        self._begun = self._size
        if self._half is not None and self._begun + MAX_WAITING > self._half and not self._warned:
            self._warned = True
            self._complain(
                f"{self._path}: the configuration alone takes {self._begun:,} bytes of a journal that may have "
                f"{2 * self._half:,}: little else is kept; choose a larger --journal-limit"
            )

    def _first_lines(self) -> bytearray:
        now = time.time()
        lines = bytearray()
        for kind in _BEGINNINGS:
            fact = self._written.get(kind)
            if isinstance(fact, Started):
                encode_line(Started(now, fact.gateway, fact.version, continued=True), lines)
            elif fact is not None:
                encode_line(msgspec.structs.replace(fact, at=now), lines)
        most = len(lines) + (self._half or 0) * _CARRIED
        for batch in self._under_way_written.values():
            if len(lines) > most:
                break  # thousands at once: those of a concurrency_limit -1, which wait for nothing
            encode_line(msgspec.structs.replace(batch, at=now), lines)
        return lines


def _open(path: Path, *, limited: bool, ours: bool = False) -> tuple[BinaryIO, int]:
    """Open a journal to append to it, and lock it; return it with its size. Raises JournalError and OSError.

    With ``ours`` this process has the lock of the older generation.
    """
    while True:
        file: BinaryIO = path.open("ab", buffering=0)
        try:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            if limited and not regular:
                raise JournalError(f"{path}: is no ordinary file, which a journal with a limit must be")
            if not regular:
                return file, 0
            if not lock(file.fileno()) or (not ours and is_written(generation_before(path))):
                raise JournalError(f"{path}: another process is writing this journal; choose another file")
            if _is_at(path, file):
                return file, _whole_lines(path)
        except BaseException:
            file.close()
            raise
        file.close()  # a new generation began meanwhile


def _is_at(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _whole_lines(path: Path) -> int:
    """Cut off the last line when it has no end, as a killed gateway or a full disk leaves it; return the size.

    Raises JournalError when the file is no journal: what it is would be spoilt.
    """
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return 0
        beginning = file.read(len(BEGINNING))
        if beginning != BEGINNING[: len(beginning)]:
            raise JournalError(f"{path}: is not a journal; choose another file")
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as mapped:
            whole = mapped.rfind(b"\n") + 1
        if whole < size:
            file.truncate(whole)
        return whole


def _held(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return None
