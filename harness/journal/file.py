"""A journal as a file: one fact a line, as JSON, only ever appended to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from plugin_emulator.journal import JOURNAL_VERSION, Fact, Started

#: Seconds that a fact may wait in memory, and the bytes that may wait there with it.
FLUSH_EVERY = 0.05
MAX_WAITING = 1 << 16

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Fact)


class JournalError(Exception):
    """A journal that cannot be written, or read; in one line with the file's name."""


class JournalWriter:
    """Appends facts to ``path``; what is told is in the file within 0.05 s. Use it as a context manager.

    Memory stays below :data:`MAX_WAITING` bytes and a line. When the file cannot be written any more (a full disk)
    what follows is let go and ``failed`` is told why: metering goes on. Raises JournalError when it cannot be opened.
    """

    def __init__(self, path: Path, failed: Callable[[str], None] = lambda reason: None) -> None:
        self._failed: Callable[[str], None] | None = failed
        self._path = path
        self._waiting = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        try:
            self._file = path.open("ab", buffering=0)
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
        self._waiting += encode(fact)
        self._waiting += b"\n"
        if len(self._waiting) >= MAX_WAITING:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_EVERY, self.flush)

    def flush(self) -> None:
        """Put into the file what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, bytearray()
        try:
            while waiting and self._failed is not None:
                del waiting[: self._file.write(waiting) or 0]
        except OSError as error:
            if self._failed is not None:
                self._failed(f"{self._path}: cannot be written any more: {error.strerror or error}")
            self._failed = None


def encode(fact: Fact) -> bytes:
    """Return a fact as a line of a journal, without its end."""
    try:
        return _encoder.encode(fact)
    except UnicodeEncodeError:  # a lone surrogate, as JSON can write it in the name of an entity
        return _encoder.encode(_as_text(msgspec.to_builtins(fact)))


def _as_text(value: Any) -> Any:
    """Return ``value`` with what UTF-8 cannot express replaced in its strings."""
    if isinstance(value, dict):
        return {_as_text(name): _as_text(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_text(part) for part in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def read(path: Path, holding: bytes = b"") -> Iterator[Fact]:
    """Yield the facts of a journal in order; with ``holding`` only those whose line has these bytes.

    A last line without its end is being written, or was when the gateway was killed: it is left out. Raises
    JournalError for a file that cannot be read or that is no journal, with the line's number.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n") or holding not in line:
                    continue
                try:
                    fact = _decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise JournalError(f"{path}:{number}: is no line of a journal: {error}") from None
                if isinstance(fact, Started) and fact.version > JOURNAL_VERSION:
                    raise JournalError(
                        f"{path}:{number}: is of version {fact.version}, this program reads up to "
                        f"{JOURNAL_VERSION}: use a newer kong-metering"
                    )
                yield fact
    except OSError as error:
        raise JournalError(f"{path}: cannot be read: {error.strerror or error}") from None
