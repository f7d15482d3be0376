"""A capture of an older version for those who need a database: a copy in this version's format, gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.capture.database import is_database
from harness.capture.reader import CaptureReader
from harness.capture.store import CaptureWriter


@contextmanager
def in_this_version(path: Path) -> Iterator[Path]:
    """Yield ``path`` when it is a database, else a copy that is one.

    Raises CaptureError when the file cannot be read and CaptureFormatError when it is no capture.
    """
    if _is_database(path):
        yield path
        return
    with TemporaryDirectory() as directory:
        copy = Path(directory) / "capture"
        with CaptureWriter(copy) as writer:
            for request in CaptureReader(path).requests():
                writer.append(request)
        yield copy


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_database(file.read(100))
    except OSError:
        return False
