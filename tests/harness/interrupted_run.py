"""A run in the foreground of a terminal of its own, for tests that interrupt it as a person would."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker_engine import CHECKOUT

CTRL_C = b"\x03"

#: A scenario that is under way until it is interrupted: what it waits for never comes.
WAITING = """\
id: never-so
title: An expectation that cannot be met
rules: [EVT-1]
plugin: {name: metering-and-billing, config: {subject: {look_up_value_in: header, field: x-tenant-id}}}
ingest: [{hang: true}]
traffic: [{id: one, path: /anything, headers: {x-tenant-id: acme}}]
expect: {within: 60, events: [{of: one, type: kong.api_request, subject: acme}]}
"""


@pytest.fixture
def attended() -> Iterator[None]:
    """Has what a test starts hear Ctrl-C and a closed terminal, even if the tests are under ``nohup``."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    ignored = {number: handler for number, handler in before.items() if handler is signal.SIG_IGN}
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in ignored.items():
        signal.signal(number, handler)


class RunOnATerminal:
    """``kong-metering`` with a pseudo-terminal for input, output and errors, whose foreground it is."""

    def __init__(self, *words: str, cwd: Path, **environ: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness.cli.main", *words],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), **environ},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self._said: list[bytes] = []
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def said(self) -> str:
        """All that it has written so far."""
        return b"".join(self._said).decode("utf-8", "replace")

    def press(self, keys: bytes) -> None:
        """Type on its terminal."""
        os.write(self._master, keys)

    def close(self) -> None:
        """Close its terminal, as the window's cross does."""
        self._closing.set()
        self._reader.join()

    def end(self) -> None:
        """Leave nothing of it behind, whatever the test found."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # nobody has the terminal open any more
            while not self._closing.is_set():
                # Never in the midst of a read when it is closed: the terminal would stay open for as long.
                if select.select([self._master], [], [], 0.02)[0]:
                    self._said.append(os.read(self._master, 4096))
        self._closing.wait()
        os.close(self._master)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come about in time"
        time.sleep(0.02)
