"""A child process that says on its first line of output where it listens."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any

from harness.targets.target import TargetUnavailableError

#: Seconds a verb may take to come up on a busy machine.
START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0
_TAIL_BYTES = 2000


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
        # A child must not take standard input, nor outlive an interrupted run: it is in our process group.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors, text=True
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
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

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
        self._errors.flush()
        self._errors.seek(0, 2)
        self._errors.seek(max(0, self._errors.tell() - _TAIL_BYTES))
        lines = [line.strip() for line in self._errors.read().splitlines() if line.strip()]
        return lines[-1] if lines else "no output"
