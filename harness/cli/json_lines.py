"""The verbs that stream JSON lines, one answer for each line; ``-`` is standard input or output.

An answer is handed on before the next line is waited for, so that a program at the other end of two pipes can ask
and be answered line by line; while there is input, answers leave in large pieces.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import msgspec

from .main import CannotContinue

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_PIECE = 1 << 16
_PLACE = re.compile(r" - at `\$?(?P<path>.*)`$", re.DOTALL)


class Decoder(Protocol[T_co]):
    """Decodes a line, as msgspec's decoders do."""

    def decode(self, line: bytes, /) -> T_co:
        """Return what the line stands for. Raises msgspec.DecodeError."""


def answer_lines(source: str, target: str, what: str, decoder: Decoder[T], answer: Callable[[T], object]) -> None:
    """Write ``answer(value)`` as a line of JSON for each line of ``source`` that is not blank, in order.

    ``what`` names a line in messages ("an exchange"). Memory does not grow with the number of lines. Raises
    CannotContinue with the number of a line that cannot be decoded; a target that is a file is then as it was.
    """
    encode = msgspec.json.Encoder().encode
    with _input(source) as given, output_file(target) as taken:
        write = taken.write
        for value in _values(given, source, what, decoder, taken.flush):
            write(encode(answer(value)))
            write(b"\n")


def read_lines(source: str, what: str, decoder: Decoder[T]) -> Iterator[T]:
    """Yield what each line of ``source`` that is not blank stands for.

    ``what`` names a line in messages. Raises CannotContinue with the number of a line that cannot be decoded.
    """
    with _input(source) as given:
        yield from _values(given, source, what, decoder, lambda: None)


def _values(
    given: BinaryIO, source: str, what: str, decoder: Decoder[T], before_waiting: Callable[[], None]
) -> Iterator[T]:
    decode = decoder.decode
    for number, line in enumerate(_lines(given, source, before_waiting), 1):
        if not line or line.isspace():
            continue
        try:
            value = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CannotContinue(f"{_name(source)}:{number}: is not {what}: {what_is_wrong(error)}") from None
        del line  # a line can be a large part of all memory in use
        yield value


def what_is_wrong(error: Exception) -> str:
    """Return a decoding error in words, the place in front as a JSON pointer."""
    text = str(error)
    place = _PLACE.search(text)
    text = (text if place is None else text[: place.start()]).replace("`", "'")
    if not text.startswith("JSON"):
        text = text[:1].lower() + text[1:]
    if place is None or not place["path"]:
        return text
    pointer = place["path"].replace("[", ".").replace("]", "").replace(".", "/")
    return f"{pointer}: {text}"


@contextmanager
def output_file(path: str) -> Iterator[BinaryIO]:
    """Yield a binary file that appears under ``path`` only when all of it was written.

    Raises CannotContinue when it cannot be written; BrokenPipeError when nobody reads standard output any more.
    """
    try:
        if path == "-":
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        elif Path(path).exists() and not Path(path).is_file():  # a device or a pipe cannot be replaced
            with Path(path).open("wb") as file:
                yield file
        else:
            with _replacing(Path(os.path.realpath(path))) as file:
                yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        name = "standard output" if path == "-" else path
        raise CannotContinue(f"{name}: cannot be written: {error.strerror or error}") from None


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with draft.open("xb") as file:
            yield file
        if target.exists():
            draft.chmod(target.stat().st_mode & 0o777)
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@contextmanager
def _input(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115  # an error of opening is told from one of use
    except OSError as error:
        raise _unreadable(path, error) from None
    with file:
        yield file


def _lines(file: BinaryIO, source: str, before_waiting: Callable[[], None]) -> Iterator[bytes]:
    """Yield the lines without their ends, calling ``before_waiting`` whenever there is no whole one left."""
    begun: list[bytes] = []
    while True:
        before_waiting()
        try:
            piece = file.read1(_PIECE)  # type: ignore[attr-defined]  # every buffered binary file has it
        except OSError as error:
            raise _unreadable(source, error) from None
        if not piece:
            break
        first, *others = piece.split(b"\n")
        begun.append(first)
        if others:
            yield _joined(begun)
            last = others.pop()
            yield from others
            begun.append(last)
    yield _joined(begun)


def _joined(parts: list[bytes]) -> bytes:
    whole = b"".join(parts)
    parts.clear()
    return whole


def _unreadable(path: str, error: OSError) -> CannotContinue:
    return CannotContinue(f"{_name(path)}: cannot be read: {error.strerror or error}")


def _name(path: str) -> str:
    return "standard input" if path == "-" else path
