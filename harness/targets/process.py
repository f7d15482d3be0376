"""A child process that says on its first line of output where it listens."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any

from harness.targets import lifeline
from harness.targets.target import TargetUnavailableError

#: Seconds a verb may take to come up on a busy machine.
START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0
#: Seconds a child may take to finish its work when it is asked to, before it is killed.
FINISH_TIMEOUT = 10.0
_TAIL_BYTES = 2000
_FREEZE = 'kill -STOP "$1" && sleep "$2"; kill -CONT "$1"'


class VerbProcess:
    """One ``kong-metering`` verb running as a child, found ready by the JSON line it prints."""

    def __init__(self, verb: str, options: Sequence[str]) -> None:
        self._verb = verb
        self._command = [sys.executable, "-m", "harness.cli.main", verb, *options]
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[str] | None = None

    def start(self) -> Mapping[str, Any]:
        """Start the child and return its readiness line. Raises TargetUnavailableError with its last words."""
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        # A child must neither take our standard input nor outlive us: its own ends when we do.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=lifeline.environment(),
        )
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, args=(self._process, lines), daemon=True).start()
        try:
            first = lines.get(timeout=START_TIMEOUT)
        except queue.Empty:
            first = ""
        try:
            ready = json.loads(first)
        except ValueError:
            self.stop()
            raise TargetUnavailableError(f"the {self._verb} process did not start: {self._last_words()}") from None
        assert isinstance(ready, dict)
        return ready

    @property
    def running(self) -> bool:
        """Whether the child is alive."""
        return self._process is not None and self._process.poll() is None

    def why_gone(self) -> str:
        """Return what the child said last, for a message."""
        return f"the {self._verb} process ended: {self._last_words()}"

    def stop(self) -> None:
        """End the child, gently first."""
        self._end(signal.SIGTERM, STOP_TIMEOUT)

    def end(self, by: signal.Signals) -> None:
        """Send a signal and wait for the child's end; one that does not end is killed."""
        self._end(by, FINISH_TIMEOUT)

    def freeze(self, seconds: float) -> None:
        """Stop the child where it is and have it go on after ``seconds``; returns then, or when the child is gone."""
        if self._process is None or self._process.poll() is not None:
            return
        # By a process of its own: should we be killed meanwhile, the child goes on all the same, and can end.
        command = ["/bin/sh", "-c", _FREEZE, "sh", str(self._process.pid), f"{seconds:g}"]
        freezer = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - our own script
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        else:
            os.killpg(freezer.pid, signal.SIGKILL)
        freezer.wait()

    @property
    def error_bytes(self) -> int:
        """How much the child has written to standard error so far."""
        return 0 if self._errors is None else os.fstat(self._errors.fileno()).st_size

    def error_lines(self, after: int = 0) -> list[str]:
        """Return the complete lines the child has written to standard error but the first ``after`` bytes."""
        if self._errors is None:
            return []
        # Not by seeking: the child writes at the position that its copy of the descriptor shares with ours.
        data = os.pread(self._errors.fileno(), max(0, self.error_bytes - after), after)
        return data.decode("utf-8", "replace").splitlines()

    def _end(self, by: signal.Signals, seconds: float) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(by)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert process.stdin is not None
        process.stdin.close()

    def _read(self, process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
        """Hand over the first line and read the rest away, so that the child never blocks on a full pipe."""
        assert process.stdout is not None
        with process.stdout as output:
            lines.put(output.readline())
            for _ in output:
                pass

    def _last_words(self) -> str:
        if self._errors is None:
            return "no output"
        tail = self.error_lines(max(0, self.error_bytes - _TAIL_BYTES))
        lines = [line.strip() for line in tail if line.strip()]
        return lines[-1] if lines else "no output"
