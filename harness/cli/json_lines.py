"""Input and output files of the verbs that stream JSON lines; ``-`` is standard input or output."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .main import CannotContinue


@contextmanager
def output_file(path: str) -> Iterator[BinaryIO]:
    """Yield a binary file that appears under ``path`` only when all of it was written.

    Raises CannotContinue when the folder does not take it.
    """
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path)
    if target.exists() and not target.is_file():  # a device or a pipe cannot be replaced
        with _opened(path, "wb") as file:
            yield file
        return
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise CannotContinue(f"{path}: cannot be written: {error.strerror}") from None
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        draft.chmod(0o644)
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@contextmanager
def input_file(path: str) -> Iterator[BinaryIO]:
    """Yield a binary file to read from. Raises CannotContinue when it cannot be opened."""
    if path == "-":
        yield sys.stdin.buffer
        return
    with _opened(path, "rb") as file:
        yield file


def input_name(path: str) -> str:
    """Return how an input is called in messages."""
    return "standard input" if path == "-" else path


@contextmanager
def _opened(path: str, mode: str) -> Iterator[BinaryIO]:
    verb = "read" if mode == "rb" else "written"
    try:
        file = open(path, mode)  # noqa: SIM115, PTH123  # the error of opening is told from errors of use
    except OSError as error:
        raise CannotContinue(f"{path}: cannot be {verb}: {error.strerror}") from None
    with file:
        yield file  # type: ignore[misc]
