"""The lock that a gateway has on the journal that it writes: one process at a time writes a journal.

It is advisory, on the file itself, and ends with the process, however that ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

#: A reader that asks whether anybody writes holds the lock for microseconds: that long a writer waits for it, and as
#: often it asks, in seconds.
_PATIENCE = 0.1
_EVERY = 0.005
_HELD = (errno.EWOULDBLOCK, errno.EACCES)


def lock(descriptor: int) -> bool:
    """Lock a journal that is open as ``descriptor``; return False when another process writes it.

    The lock is given up with the descriptor. On a file system without locks there is nothing to protect it with.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _HELD:
                return True
            if time.monotonic() > until:
                return False
            time.sleep(_EVERY)
        else:
            return True


def is_written(path: Path) -> bool | None:
    """Return whether a process writes the journal ``path``; None when that cannot be known.

    A copy of a journal is written by nobody.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return True if error.errno in _HELD else None
    finally:
        os.close(descriptor)
    return False
