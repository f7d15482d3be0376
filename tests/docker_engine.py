"""A Docker engine and an image of the emulated gateway, for tests; without an engine they are skipped."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

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


@functools.cache
def gateway_image() -> str:
    """Build the image of the emulated gateway as the Dockerfile says, on a base made here; return its name."""
    engine()
    command = ["docker", "build", "--target", "gateway", "--tag", IMAGE]
    command += ["--build-arg", f"BASE_IMAGE={base_image.base_image()}", str(CHECKOUT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    output = done.stdout + done.stderr
    if done.returncode != 0 and _NO_NETWORK.search(output):
        pytest.skip("the build of the image reaches no package index")
    assert done.returncode == 0, output[-3000:]
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
