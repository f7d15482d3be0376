"""A Docker engine and an image of the emulated gateway, for tests; without an engine they are skipped.

Run as a program it builds the image.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import base_image
import docker
import pytest

from harness.targets.containers import EMULATED_LABEL, LABEL, Engine
from harness.targets.target import TargetUnavailableError

CHECKOUT = Path(__file__).resolve().parents[1]
IMAGE = "kong-metering-gateway:test"
_NO_NETWORK = re.compile(r"NewConnectionError|ConnectTimeout|name resolution|Network is unreachable")


@functools.cache
def engine_or_reason() -> Engine | str:
    """Return the engine, or why there is none."""
    try:
        return Engine.reach()
    except TargetUnavailableError as error:
        return str(error)


def engine() -> Engine:
    """Return the engine; without one the test is skipped."""
    found = engine_or_reason()
    if isinstance(found, str):
        pytest.skip(found)
    return found


class _Build:
    """A build of the image that goes on while tests run that do not need it."""

    def __init__(self) -> None:
        self._said: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        command = [sys.executable, __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._said, stderr=self._said)

    def wait(self) -> tuple[int, str]:
        """Return the exit code and all that the build said."""
        code = self._process.wait(800)
        self._said.seek(0)
        return code, self._said.read()

    def end(self) -> None:
        """End it, whether it is done or not."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        self._process.wait()
        self._said.close()


#: Begun once in a process, by whoever calls it first.
begin_build = functools.cache(_Build)


def end_build() -> None:
    """Leave no build behind that nobody has waited for."""
    if begin_build.cache_info().currsize:
        begin_build().end()
        begin_build.cache_clear()


@functools.cache
def gateway_image() -> str:
    """Build the image of the emulated gateway as the Dockerfile says, on a base made here; return its name."""
    engine()
    code, output = begin_build().wait()
    if code != 0 and _NO_NETWORK.search(output):
        pytest.skip("the build of the image reaches no package index")
    assert code == 0, output[-3000:]
    # What this name stood for until now has none any more.
    untagged = ["docker", "image", "prune", "--force", "--filter", f"label={EMULATED_LABEL}"]
    subprocess.run(untagged, capture_output=True, check=False)
    return IMAGE


def containers_of(process: int) -> list[str]:
    """Return the names of the containers that a process of this host has made, running or not."""
    found = docker.from_env().containers.list(
        all=True, filters={"label": f"{LABEL}.process={process}"}, ignore_removed=True
    )
    return [str(container.name) for container in found]


def _build_image() -> None:
    command = ["docker", "build", "--target", "gateway", "--tag", IMAGE]
    command += ["--build-arg", f"BASE_IMAGE={base_image.base_image()}", str(CHECKOUT)]
    os.execvp(command[0], command)  # so that to end this process is to end the build


if __name__ == "__main__":
    _build_image()
