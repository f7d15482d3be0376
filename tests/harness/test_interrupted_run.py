"""A run that is interrupted says so at once, is not disturbed in its cleaning up, and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker_engine
import psutil
import pytest
from docker_engine import containers_of
from interrupted_run import CTRL_C, WAITING, RunOnATerminal, attended, until

__all__ = ["attended"]
pytestmark = pytest.mark.usefixtures("attended")

Begin = Callable[..., RunOnATerminal]

#: A scenario that the emulator passes, and in which a mutant has the suite wait.
ANY_CASE = (
    WAITING.replace("x-tenant-id}}}", "X-Tenant-Id}}}")
    .replace("ingest: [{hang: true}]\n", "")
    .replace("EVT-1", "SUB-2")
)

ENDING = "kong-metering: ending: what was started is stopped and removed"


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Begins a run on a terminal that waits for what never comes; its temporary folder is one of its own."""
    (tmp_path / "waiting.yaml").write_text(WAITING)
    (tmp_path / "tmp").mkdir()
    runs: list[RunOnATerminal] = []

    def begin(*words: str) -> RunOnATerminal:
        given = words or ("conformance", "waiting.yaml", "--workers", "1")
        runs.append(RunOnATerminal(*given, cwd=tmp_path, TMPDIR=str(tmp_path / "tmp")))
        return runs[-1]

    yield begin
    for run in runs:
        run.end()


def children(run: RunOnATerminal) -> list[psutil.Process]:
    return list(psutil.Process(run.process.pid).children(recursive=True))


def has_ended(process: psutil.Process) -> bool:
    """Return whether it is gone, or all but gone: whoever inherited it has not yet asked how it ended."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def under_way(run: RunOnATerminal) -> list[psutil.Process]:
    """Wait until gateway and ingest endpoint are up; return them."""
    until(lambda: sum(bool(child.net_connections("tcp")) for child in children(run)) >= 2)
    return children(run)


def test_ctrl_c_again_and_again_neither_breaks_the_cleaning_up_nor_shows_where_it_was(
    begin: Begin, tmp_path: Path
) -> None:
    run = begin()
    started = under_way(run)
    run.press(CTRL_C)
    until(lambda: ENDING in run.said, 5)
    for _ in range(3):
        if run.process.poll() is None:
            run.press(CTRL_C)
            time.sleep(0.05)
    assert run.process.wait(60) == 130
    assert "Traceback" not in run.said and run.said.count(ENDING) == 1
    assert not any(child.is_running() for child in started)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_run_whose_terminal_is_closed_ends_with_all_that_it_started(begin: Begin, tmp_path: Path) -> None:
    run = begin()
    started = under_way(run)
    run.close()
    run.process.wait(60)
    until(lambda: not any(child.is_running() for child in started), 10)
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("scenario", "said"),
    [("waiting.yaml", "the emulator as it is"), ("found-by-case.yaml", "the emulator as it is: 1 scenarios pass")],
)
def test_a_self_check_is_ended_in_peace_too_whatever_it_tries(
    begin: Begin, tmp_path: Path, scenario: str, said: str
) -> None:
    """The emulator as it is, which waits with the first scenario, and a mutant, which waits with the second."""
    (tmp_path / "found-by-case.yaml").write_text(ANY_CASE)
    run = begin("conformance", "--self-check", "--mutant", "subject-header-with-case", scenario)
    until(lambda: said in run.said)
    started = under_way(run)
    for _ in range(3):
        run.press(CTRL_C)
        time.sleep(0.05)
    assert run.process.wait(60) == 130
    assert "Traceback" not in run.said and run.said.count(ENDING) == 1
    assert "subject-header-with-case" not in run.said
    until(lambda: all(map(has_ended, started)), 10)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_load_is_ended_in_peace_too(begin: Begin, tmp_path: Path) -> None:
    run = begin("load", "--rps", "5", "--duration", "60s", "--users", "1")
    until(lambda: any("locust" in child.cmdline() for child in children(run)))
    started = children(run)
    for _ in range(3):
        run.press(CTRL_C)
        time.sleep(0.05)
    assert run.process.wait(60) == 130
    assert "Traceback" not in run.said and run.said.count(ENDING) == 1
    assert not any(child.is_running() for child in started)
    assert list((tmp_path / "tmp").iterdir()) == []


_CLEANING_UP = """
import sys, time
from harness.cli import interruption
interruption.FORCE_AFTER = float(sys.argv[1])
try:
    with interruption.orderly_end():
        try:
            print("under way", flush=True)
            time.sleep(60)
        finally:
            print("cleaning up", flush=True)
            sys.stdin.readline()
            print("cleaned up", flush=True)
except KeyboardInterrupt:
    pass
"""


def cleaning_up(force_after: float, number: signal.Signals) -> subprocess.Popen[str]:
    """Return a process that has got a signal, and cleans up until it gets a line."""
    command = [sys.executable, "-c", _CLEANING_UP, str(force_after)]
    process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True, cwd=docker_engine.CHECKOUT)
    assert process.stdout is not None and process.stdout.readline() == "under way\n"
    process.send_signal(number)
    assert process.stdout.readline() == "cleaning up\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whatever_asks_for_the_end_is_heard_once(number: signal.Signals) -> None:
    process = cleaning_up(60, number)
    for again in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(again)
    out, err = process.communicate("go on\n", timeout=30)
    assert (process.returncode, out) == (0, "cleaned up\n")
    assert err == f"{ENDING} (after 60 s, Ctrl-C ends this too)\n"


def test_who_insists_after_a_while_has_the_end_at_once() -> None:
    process = cleaning_up(0, signal.SIGINT)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "kong-metering: ended in the midst of it: the next run removes what is left"


def test_a_signal_that_was_to_be_ignored_still_is() -> None:
    """As ``nohup`` has it."""
    ignoring = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{_CLEANING_UP}"
    command = [sys.executable, "-c", ignoring, "60"]
    process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True, cwd=docker_engine.CHECKOUT)
    assert process.stdout is not None and process.stdout.readline() == "under way\n"
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate("go on\n", timeout=30)
    assert out == "cleaning up\ncleaned up\n"
    assert err.count(ENDING) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_again_and_again_leaves_no_container(begin: Begin) -> None:
    image = docker_engine.gateway_image()
    run = begin("conformance", "waiting.yaml", "--target", "docker", "--image", image, "--workers", "2")
    until(lambda: bool(containers_of(run.process.pid)))
    run.press(CTRL_C)
    until(lambda: ENDING in run.said, 5)
    for _ in range(2):
        if run.process.poll() is None:
            time.sleep(0.3)
            run.press(CTRL_C)
    assert run.process.wait(60) == 130
    assert "Traceback" not in run.said
    assert containers_of(run.process.pid) == []
