"""Child processes of a benchmark: started, measured and ended by id."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psutil


class Child:
    """A running child process. ``ready`` is the first line it printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.ready = process.stdout.readline().strip()
        self._ps = psutil.Process(process.pid)

    def cpu_seconds(self) -> float:
        """User and system CPU time so far, in seconds."""
        if platform.system() == "Linux":  # clock_getcpuclockid(3): to the nanosecond, where /proc counts in 10 ms
            return time.clock_gettime((~self.process.pid << 3) | 2)
        times = self._ps.cpu_times()
        return float(times.user + times.system)

    def resident_bytes(self) -> int:
        """Memory of the process that is in RAM now, in bytes."""
        return int(self._ps.memory_info().rss)


@contextmanager
def child(module: str, *arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[Child]:
    """Run ``python -m module arguments`` until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=None if environ is None else dict(environ),
    )
    try:
        running = Child(process)
        if not running.ready:
            raise RuntimeError(f"{module} did not start (exit code {process.wait(10)})")
        yield running
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
