"""Processes of a load: each with its own log file, in a process group of its own, and always ended."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from harness.targets import lifeline
from harness.targets.target import TargetUnavailableError

#: Seconds a child may take to come up on a busy machine, and to end when asked to.
START_TIMEOUT = 60.0
STOP_TIMEOUT = 20.0
_TAIL_BYTES = 4000
_POLL = 0.05


class ChildProcess:
    """One program, with what it says in ``log``. Ending it ends what it has started, too."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._command = list(command)
        self._log = log
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it says goes into the log. Raises TargetUnavailableError."""
        with self._open_log() as log:
            self._process = self._popen(stdout=log, stderr=log)

    def start_and_read_ready(self) -> Mapping[str, Any]:
        """Start it and return the JSON object that is its first line of output; the log gets its standard error.

        Raises TargetUnavailableError with its last words.
        """
        with self._open_log() as log:
            self._process = self._popen(stdout=subprocess.PIPE, stderr=log)
        lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=_pass_first_line, args=(self._process, lines), daemon=True).start()
        try:
            ready = json.loads(lines.get(timeout=START_TIMEOUT))
            assert isinstance(ready, dict)
        except (queue.Empty, ValueError, AssertionError):
            self.kill()
            raise TargetUnavailableError(f"the {self.name} process did not start: {self.last_words()}") from None
        return ready

    @property
    def running(self) -> bool:
        """Whether it is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code; None while it is alive, or was never started."""
        return None if self._process is None else self._process.poll()

    def stop(self, seconds: float = STOP_TIMEOUT) -> None:
        """Ask it to end (SIGTERM) and wait; kill what is left of its group after ``seconds``."""
        if self._process is None:
            return
        if self.running:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """End it, and all it has started, at once."""
        if self._process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def wait(self, seconds: float) -> bool:
        """Return whether it has ended, after ``seconds`` at the latest."""
        end = time.monotonic() + seconds
        while self.running:
            if time.monotonic() >= end:
                return False
            time.sleep(_POLL)
        return True

    def last_words(self) -> str:
        """Return the last line of its log, for a message."""
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, self._log.stat().st_size - _TAIL_BYTES))
                lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines()]
        except OSError:
            lines = []
        return next((line for line in reversed(lines) if line), "no output")

    def _open_log(self) -> IO[bytes]:
        try:
            return self._log.open("ab")
        except OSError as error:
            raise TargetUnavailableError(f"{self._log}: cannot be written: {error.strerror}") from None

    def _popen(self, stdout: Any, stderr: Any) -> subprocess.Popen[bytes]:
        # A group of its own: Ctrl-C is for us to hear, and a program that forks is ended as a whole. Its standard
        # input ends with us, and those that hold on to it end too.
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            env=lifeline.environment(self._environ),
            start_new_session=True,
        )


def _pass_first_line(process: subprocess.Popen[bytes], lines: queue.Queue[bytes]) -> None:
    """Hand over the first line and read the rest away, so that the child never blocks on a full pipe."""
    assert process.stdout is not None
    with process.stdout as output:
        lines.put(output.readline())
        for _ in output:
            pass
