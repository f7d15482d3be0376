"""A journal as a file: one fact a line, as JSON, only ever appended to.

A journal with a limit is two files: FILE, and in FILE.1 the generation before it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import msgspec

from harness.journal.lock import is_written
from plugin_emulator.journal import JOURNAL_VERSION, Fact, Started

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Fact)

#: How the line of a request that has ended begins, and of how many requests it is looked for by their ids.
_ENDED = b'{"fact":"request"'
_FEW = 20


#: How a journal begins, and an SQLite database, which a capture is.
BEGINNING = b'{"fact":"'
_CAPTURE = b"SQLite format 3\0"


class JournalError(Exception):
    """A journal that cannot be written, or read; in one line with the file's name."""


def encode(fact: Fact) -> bytes:
    """Return a fact as a line of a journal, without its end."""
    try:
        return _encoder.encode(fact)
    except UnicodeEncodeError:  # a lone surrogate, as JSON can write it in the name of an entity
        return _encoder.encode(_as_text(msgspec.to_builtins(fact)))


def encode_line(fact: Fact, lines: bytearray) -> None:
    """Append a fact to ``lines`` as a line of a journal, with its end."""
    size = len(lines)
    try:
        _encoder.encode_into(fact, lines, -1)
    except UnicodeEncodeError:
        lines[size:] = encode(fact)
    lines += b"\n"


def _as_text(value: Any) -> Any:
    """Return ``value`` with what UTF-8 cannot express replaced in its strings."""
    if isinstance(value, dict):
        return {_as_text(name): _as_text(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_text(part) for part in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def generation_before(path: Path) -> Path:
    """Return the file that has the older generation of the journal ``path``, whether there is one or not."""
    place = path.resolve()
    return place.with_name(f"{place.name}.1")


class JournalReader:
    """A journal, with its older generation where there is one, held open; use it as a context manager.

    A gateway may be writing it, and begin a new generation, meanwhile: whatever is read once can be read again.
    Raises JournalError when it cannot be read, or begins like something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = is_written(path)
        try:
            self._files = _opened(path)
            for each, file in self._files:
                try:
                    _look_at(each, file.read(2 * len(_CAPTURE)))
                except JournalError:
                    self._close()
                    raise
        except OSError as error:
            raise JournalError(f"{path}: cannot be read: {error.strerror or error}") from None

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        for _, file in self._files:
            file.close()

    def abandoned(self) -> bool:
        """Return whether nobody has written it since it was opened."""
        return self._written is False and is_written(self._path) is False

    def facts(self, holding: bytes = b"", ended: Collection[str] = ()) -> Iterator[Fact]:
        """Yield the facts in order; with ``holding`` only those whose line has these bytes.

        With ``ended``, ids of requests, most of the facts on the end of another request may be left out, which are
        half of a journal; the last one never is.

        A last line without its end is being written, or was when the gateway was killed: it is left out. Raises
        JournalError for what is no journal, with the line's number.
        """
        names = [request.encode(errors="replace") for request in ended] if len(ended) <= _FEW else []
        for path, file in self._files:
            try:
                file.seek(0)
                yield from _facts(path, file, holding, names)
            except OSError as error:
                raise JournalError(f"{path}: cannot be read: {error.strerror or error}") from None


def read(path: Path, holding: bytes = b"") -> Iterator[Fact]:
    """Yield the facts of a journal as :meth:`JournalReader.facts` does. Raises JournalError."""
    with JournalReader(path) as reader:
        yield from reader.facts(holding)


def _opened(path: Path) -> list[tuple[Path, BinaryIO]]:
    """Open the generations of a journal, the older one first."""
    while True:
        files: list[tuple[Path, BinaryIO]] = []
        missing: FileNotFoundError | None = None
        for each in (path, generation_before(path)):
            try:
                files.insert(0, (each, each.open("rb")))
            except FileNotFoundError as error:
                missing = missing or (error if each is path else None)
        if not files and missing is not None:
            raise missing
        if len({os.fstat(file.fileno()).st_ino for _, file in files}) == len(files):
            return files
        for _, file in files:  # a new generation began between the two: both are the same file
            file.close()


def _look_at(path: Path, beginning: bytes) -> None:
    """Raise JournalError for a file that begins like something else than a journal."""
    if beginning.startswith(_CAPTURE):
        raise JournalError(f"{path}: is not a journal but a capture, or another database: give it with --capture")
    start = b"".join(beginning.split())[: len(BEGINNING)]
    if start != BEGINNING[: len(start)]:
        raise JournalError(f"{path}: is not a journal; give what kong-metering gateway --journal wrote")


def _facts(path: Path, file: BinaryIO, holding: bytes, ended: list[bytes]) -> Iterator[Fact]:
    number, left_out = 0, b""
    for number, line in enumerate(file, 1):
        if not line.endswith(b"\n") or holding not in line:
            continue
        if ended and line.startswith(_ENDED) and not any(request in line for request in ended):
            left_out = line
            continue
        left_out = b""
        yield _fact(path, number, line)
    if left_out:
        yield _fact(path, number, left_out)


def _fact(path: Path, number: int, line: bytes) -> Fact:
    try:
        fact: Fact = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JournalError(f"{path}:{number}: is no line of a journal: {error}") from None
    if isinstance(fact, Started) and fact.version > JOURNAL_VERSION:
        raise JournalError(
            f"{path}:{number}: is of version {fact.version}, this program reads up to "
            f"{JOURNAL_VERSION}: use a newer kong-metering"
        )
    return fact
