"""A program on a pseudo-terminal whose screen can be read as a person reads it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pyte

COLUMNS, LINES = 200, 40


class Terminal:
    """A program on a terminal of COLUMNS × LINES. ``written`` is every byte that it has written so far.

    What is written while nobody is ``looking`` is read, which is quick, and does not get onto the screen.
    """

    def __init__(self, *command: str, directory: Path, **environ: str) -> None:
        self._end, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            cwd=directory,
            env={**os.environ, "TERM": "xterm", "HOME": str(directory), "LC_ALL": "C.UTF-8", **environ},
        )
        os.close(other)
        self.written = b""
        self.looking = True
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> list[str]:
        """What stands on the screen, without blank lines and blanks at their ends."""
        return [line.rstrip() for line in self._screen.display if line.strip()]

    def wait_for(self, *words: str) -> list[str]:
        """Read until all ``words`` stand on the screen; return its lines."""
        self.wait_until(lambda: all(any(one in line for line in self.lines) for one in words), repr(words))
        return self.lines

    def wait_until(self, happened: Callable[[], object], what: str, patience: float = 60.0) -> None:
        """Read what is written until something has ``happened``."""
        end = time.monotonic() + patience
        while not happened():
            assert time.monotonic() < end, "\n".join([f"{what} does not come:", *self.lines])
            ready, _, _ = select.select([self._end], [], [], 0.05)
            if ready:
                part = os.read(self._end, 1 << 16)
                self.written += part
                if self.looking:
                    self._stream.feed(part)

    def type(self, keys: str) -> None:
        """Type on the terminal."""
        os.write(self._end, keys.encode())

    def stop(self) -> None:
        """End the program."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._end)
