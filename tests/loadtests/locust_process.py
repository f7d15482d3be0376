"""Locust as a process of its own: it changes the standard library (gevent), so that no test may import it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from loadtests.assignment import VARIABLE

ROOT = Path(__file__).parents[2]
LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"
_PATIENCE = 60.0


def command(*options: str) -> list[str]:
    """Return the command line of locust with the load test's file."""
    return [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *options]


def environ(assignment: Path | None) -> Mapping[str, str]:
    """Return the environment of a locust that is given ``assignment``, or none."""
    variables = {name: value for name, value in os.environ.items() if name != VARIABLE}
    return variables if assignment is None else {**variables, VARIABLE: str(assignment)}


def run_locust(*options: str, directory: Path, assignment: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run locust without its web interface in ``directory`` until it ends."""
    return subprocess.run(
        command("--headless", "--only-summary", *options),
        cwd=directory,
        env=environ(assignment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )


@contextmanager
def locust(*options: str, directory: Path, assignment: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run locust in ``directory``; it is ended with the block, if it has not ended by then."""
    with (directory / "locust.log").open("ab") as log:
        process = subprocess.Popen(
            command(*options),
            cwd=directory,
            env=environ(assignment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
