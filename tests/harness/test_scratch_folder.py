"""Scratch folders are gone with their process; those of a process that was killed are removed by the next one."""

from __future__ import annotations

import gc
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from docker_engine import CHECKOUT

from harness.targets import scratch_folder
from harness.targets.scratch_folder import ScratchFolder, sweep

_OWNER = """
import sys
from harness.targets.scratch_folder import ScratchFolder
folder = ScratchFolder()
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(scratch_folder.tempfile, "tempdir", str(tmp_path))
    return tmp_path


def owner(place: Path) -> tuple[subprocess.Popen[str], Path]:
    """Start a process that has a scratch folder and goes on until its input ends."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "TMPDIR": str(place)}
    process = subprocess.Popen([sys.executable, "-c", _OWNER], env=environment, stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_folder_is_its_owners_alone_and_gone_when_closed_or_forgotten(place: Path) -> None:
    with ScratchFolder() as folder:
        (folder / "kept").write_text("x")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    forgotten = ScratchFolder()
    closed = ScratchFolder()
    closed.close()
    closed.close()
    del forgotten
    gc.collect()
    assert list(place.iterdir()) == []


def test_a_process_that_ends_by_itself_leaves_no_folder(place: Path) -> None:
    process, folder = owner(place)
    assert folder.is_dir()
    process.communicate()
    assert not folder.exists()


def test_folders_of_the_living_stay_and_those_of_the_killed_are_removed(place: Path) -> None:
    alive, kept = owner(place)
    killed, left = owner(place)
    try:
        with ScratchFolder() as own:
            assert sweep(place) == []
            killed.kill()
            killed.communicate()
            assert sweep(place) == [left]
            assert kept.is_dir() and own.is_dir()
    finally:
        alive.communicate()


def test_the_next_process_with_a_folder_removes_what_is_left(place: Path) -> None:
    killed, left = owner(place)
    killed.kill()
    killed.communicate()
    following, _ = owner(place)
    assert not left.exists()
    following.communicate()


def test_what_only_has_such_a_name_stays(place: Path) -> None:
    (place / "kong-metering-notes").mkdir()
    (place / "kong-metering-file").write_text("x")
    elsewhere = place / "elsewhere"
    elsewhere.write_text("x")
    (place / "kong-metering-link").mkdir()
    (place / "kong-metering-link" / ".owned").symlink_to(elsewhere)
    assert sweep(place) == []
    assert sorted(each.name for each in place.iterdir()) == [
        "elsewhere",
        "kong-metering-file",
        "kong-metering-link",
        "kong-metering-notes",
    ]


def test_a_folder_that_another_process_removes_meanwhile_is_no_trouble(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, left = owner(place)
    killed.kill()
    killed.communicate()
    real = scratch_folder.fcntl.flock

    def late(lock: int, how: int) -> None:
        shutil.rmtree(left)
        real(lock, how)

    monkeypatch.setattr(scratch_folder.fcntl, "flock", late)
    assert sweep(place) == []
