"""The end of a child whose parent is gone, however that ended: a pipe tells, whose other end nobody holds any more.

A parent starts the child with its standard input from a pipe and with ``environment()``; the child calls
``hold_on()`` early. Not by the kernel's parent-death signal: that is Linux's alone, and is sent when the parent's
*thread* ends.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping

#: Set for a child that is to end when its standard input does.
VARIABLE = "KONG_METERING_LIFELINE"
#: Seconds that a child has to end by itself, once it is told to.
_GRACE = 5.0
_CHUNK = 4096

#: Starts a thread of the operating system's (``_thread.start_new_thread``).
StartThread = Callable[[Callable[[], None], tuple[()]], object]


def environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a child that holds on to its parent (default: this process's own)."""
    return {**(os.environ if environ is None else environ), VARIABLE: "stdin"}


def end_process() -> None:
    """Have this process end as by SIGTERM, or be killed if it does not."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


def end_group() -> None:
    """Kill this process and, where it leads a process group, all that is in the group."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def hold_on(end: Callable[[], None] = end_process, start: StartThread = _thread.start_new_thread) -> None:
    """Call ``end``, in a thread of its own, once the parent is gone; does nothing where no parent asked for it.

    What this process starts does not hold on to anybody unless it is asked to in its turn.
    """
    if os.environ.pop(VARIABLE, None) is None:
        return
    descriptor = sys.__stdin__.fileno() if sys.__stdin__ is not None else 0

    def watch() -> None:
        try:
            while os.read(descriptor, _CHUNK):
                pass
        except OSError:
            pass  # it cannot be read any more, which is as much of an end
        end()

    start(watch, ())
