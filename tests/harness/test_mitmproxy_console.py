"""The addon in mitmproxy's terminal interface, on a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from mitmproxy_as_process import TOKEN
from test_mitmproxy_addon import event

from harness.cli.main import main
from harness.ingest.stand_in import free_port


class Terminal:
    """A program on a terminal of 200 × 40; ``screen`` is all it has written."""

    def __init__(self, *command: str, directory: Path) -> None:
        self._end, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            cwd=directory,
            env={**os.environ, "TERM": "xterm", "HOME": str(directory), "LC_ALL": "C.UTF-8"},
        )
        os.close(other)
        self.screen = ""

    def wait_for(self, words: str) -> None:
        """Read until ``words`` are written."""
        self.read_until(lambda: words in self.screen, words)

    def read_until(self, happened: Callable[[], bool], what: str, patience: float = 30.0) -> None:
        """Read what is written until something has ``happened``."""
        end = time.monotonic() + patience
        while not happened():
            assert time.monotonic() < end, f"{what!r} does not come: {self.screen!r}"
            ready, _, _ = select.select([self._end], [], [], 0.05)
            if ready:
                self.screen += os.read(self._end, 1 << 16).decode("utf-8", "replace")

    def type(self, keys: str) -> None:
        """Forget what was written, then type."""
        self.screen = ""
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


@pytest.fixture
def port() -> int:
    return free_port("127.0.0.1")


@pytest.fixture
def terminal(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with pytest.raises(SystemExit):
        main(["ingest", "--addon-path"])
    addon = capsys.readouterr().out.strip()
    program = str(Path(sys.executable).with_name("mitmproxy"))
    options = ["--mode", "reverse:http://127.0.0.1:9", "--listen-host", "127.0.0.1", "--listen-port", str(port)]
    running = Terminal(program, *options, "--set", f"confdir={tmp_path}", "-s", addon, directory=tmp_path)
    yield running
    running.stop()


def test_a_command_works_and_a_flow_is_marked_on_a_terminal(terminal: Terminal, port: int, tmp_path: Path) -> None:
    terminal.read_until((tmp_path / "ingest.capture").exists, "the capture")
    terminal.wait_for("[127.0.0.1:")
    terminal.type(":metering.fault 503 1\r")
    terminal.wait_for("requests 1 to 1 get: 503")
    for status in (503, 400):
        answer = requests.post(
            f"http://127.0.0.1:{port}/events",
            json=[event("right"), event("wrong", subject="")],
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=20,
        )
        assert answer.status_code == status
    terminal.wait_for("🔴")
    assert TOKEN not in terminal.screen
