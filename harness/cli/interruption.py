"""The end of a run that somebody interrupts: told at once, then cleaned up in peace, and forced on who insists."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType

#: Ctrl-C, a job that is cancelled, a terminal that is closed.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Seconds of cleaning up after which another signal ends the process without.
FORCE_AFTER = 5.0
_INTERRUPTED = 130


@contextlib.contextmanager
def orderly_end() -> Iterator[None]:
    """Take the first signal that asks for the end as Ctrl-C is taken, and none after it, so that cleaning up goes on.

    Only one that comes ``FORCE_AFTER`` seconds later ends the process at once. What was to be ignored (``nohup``)
    stays so. Once all is cleaned up after an interruption no signal is heard any more: the process is about to end,
    and one that came while Python is taking itself down would give it another exit code.
    """
    interruption = _Interruption()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interruption.take)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if interruption.begun else handler)


class _Interruption:
    def __init__(self) -> None:
        self._since: float | None = None

    @property
    def begun(self) -> bool:
        return self._since is not None

    def take(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal. Raises KeyboardInterrupt for the first one."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            _say(f"ending: what was started is stopped and removed (after {FORCE_AFTER:g} s, Ctrl-C ends this too)")
            raise KeyboardInterrupt
        if now - self._since >= FORCE_AFTER:
            _say("ended in the midst of it: the next run removes what is left")
            os._exit(_INTERRUPTED)


def _say(line: str) -> None:
    # Past Python's buffers, which the signal may have come in the midst of; and the terminal may be gone.
    with contextlib.suppress(OSError):
        os.write(2, f"{chr(10) if os.isatty(2) else ''}kong-metering: {line}\n".encode())
