"""Children end with their parent, however that ends: nothing goes on that nobody watches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from docker_engine import CHECKOUT
from interrupted_run import WAITING, until

Start = Callable[..., subprocess.Popen[str]]


def verbs_of(process: subprocess.Popen[str]) -> dict[str, psutil.Process]:
    """Return a process's descendants by what they run: a verb, or locust."""
    found: dict[str, psutil.Process] = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        for name in ("gateway", "ingest", "locust", "loadtests.ingest_process"):
            if name in words_of(child):
                found[name] = child
    return found


def words_of(process: psutil.Process) -> list[str]:
    """Return a process's command line, nothing once it is gone."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a verb in a folder of its own, in a session of its own; what is left of it is killed."""
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "tmp").mkdir()

    def start(*words: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "TMPDIR": str(tmp_path / "tmp")}
        command = [sys.executable, "-m", "harness.cli.main", *words]
        started.append(
            subprocess.Popen(
                command, cwd=tmp_path, env=environment, stdout=-1, stderr=-1, text=True, start_new_session=True
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_a_killed_run_takes_gateway_and_ingest_endpoint_with_it_and_the_next_one_removes_its_folders(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "waiting.yaml").write_text(WAITING)
    run = start("conformance", "waiting.yaml", "--workers", "1")
    until(lambda: {"gateway", "ingest"} <= verbs_of(run).keys())
    children = verbs_of(run).values()
    left = list((tmp_path / "tmp").iterdir())
    assert left
    run.kill()
    run.communicate()
    until(lambda: all(map(gone, children)), 20)
    following = start("conformance", "--scenario", "sub-2-header-name-without-case")
    out, err = following.communicate(timeout=100)
    assert following.returncode == 0, out + err
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_killed_load_takes_locust_gateway_and_ingest_endpoint_with_it(start: Start) -> None:
    run = start("load", "--rps", "5", "--duration", "60s", "--users", "2", "--processes", "2")
    until(lambda: {"gateway", "locust", "loadtests.ingest_process"} <= verbs_of(run).keys())
    forked: list[psutil.Process] = []

    def both_send() -> bool:
        forked[:] = psutil.Process(run.pid).children(recursive=True)
        return sum("locust" in words_of(child) for child in forked) >= 3

    until(both_send)
    run.kill()
    run.communicate()
    until(lambda: all(map(gone, forked)), 20)


def test_a_verb_that_is_told_to_end_and_does_not_is_killed(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "from harness.targets import lifeline; lifeline._GRACE = 0.1; lifeline.hold_on()\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "KONG_METERING_LIFELINE": "stdin"}
    process = subprocess.Popen([sys.executable, "-c", stubborn], env=environment, stdin=-1, stdout=-1, text=True)
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.close()
    assert process.wait(30) == -signal.SIGKILL
    process.stdout.close()


def test_only_a_child_that_is_asked_to_holds_on_to_its_parent_and_its_own_children_do_not() -> None:
    hold_on = "import os, time; from harness.targets import lifeline; lifeline.hold_on()"
    asks = f"{hold_on}; print(os.environ.get(lifeline.VARIABLE))"
    plain = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    for environment in (plain, {**plain, "KONG_METERING_LIFELINE": "stdin"}):
        process = subprocess.Popen([sys.executable, "-c", asks], env=environment, stdin=-1, stdout=-1, text=True)
        assert process.stdout is not None and process.stdout.read() == "None\n"
        assert process.wait(30) == 0
        process.communicate()
    done = subprocess.run(
        [sys.executable, "-c", f"{hold_on}; time.sleep(0.3)"], env=plain, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 0
