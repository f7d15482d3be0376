"""Processes of a load are always ended, with all that they started."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.targets.target import TargetUnavailableError
from loadtests.child_process import ChildProcess

_FORKING = """
import json, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(json.dumps({"child": child.pid}), flush=True)
time.sleep(60)
"""


def python(source: str, log: Path) -> ChildProcess:
    return ChildProcess("sample", [sys.executable, "-c", source], log)


def test_a_child_that_does_not_heed_is_killed_with_its_own_children(tmp_path: Path) -> None:
    child = python(_FORKING, tmp_path / "log")
    grandchild = psutil.Process(child.start_and_read_ready()["child"])
    child.stop(seconds=0.2)
    assert not child.running
    deadline = time.monotonic() + 10
    while grandchild.is_running() and grandchild.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_that_does_not_start_says_why(tmp_path: Path) -> None:
    child = python("import sys; sys.exit('no such port')", tmp_path / "log")
    with pytest.raises(TargetUnavailableError, match=r"^the sample process did not start: no such port$"):
        child.start_and_read_ready()
    assert not child.running


def test_stopping_what_was_never_started_or_has_ended_is_harmless(tmp_path: Path) -> None:
    child = python("", tmp_path / "log")
    child.stop()
    child.start()
    assert child.wait(30)
    child.stop()
    assert child.exit_code == 0


def test_waiting_ends_when_its_time_is_over(tmp_path: Path) -> None:
    child = python("import time; time.sleep(60)", tmp_path / "log")
    child.start()
    try:
        assert child.wait(0.05) is False
    finally:
        child.kill()
