"""Folders for what a process needs while it lives; those of a process that was killed are removed by the next one."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from types import TracebackType

PREFIX = "kong-metering-"
#: A file in each folder, locked by its owner for as long as that lives: the system lets go of it with the process.
_LOCK = ".owned"


class ScratchFolder:
    """A folder for this process's user alone: gone with ``close``, at the end of ``with``, else with the process."""

    def __init__(self) -> None:
        _sweep_once(tempfile.gettempdir())
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Locked before it has the name by which it is looked for.
        unnamed = self.path / f"{_LOCK}.new"
        lock = os.open(unnamed, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        unnamed.rename(self.path / _LOCK)
        self._end = weakref.finalize(self, _remove, self.path, lock)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove it; harmless when it is gone."""
        self._end()


def sweep(directory: Path) -> list[Path]:
    """Remove the folders in ``directory`` whose owner is gone; return them. Whatever else is there stays."""
    removed: list[Path] = []
    for folder in sorted(directory.glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError):  # another user's, or another process removes it right now
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
                removed.append(folder)
            finally:
                os.close(lock)
    return removed


def _remove(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


@functools.cache
def _sweep_once(directory: str) -> None:
    sweep(Path(directory))
