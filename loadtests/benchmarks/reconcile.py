"""What it costs to reconcile ten million requests: ours, and DuckDB on the same rows."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .made_run import make_run
from .measure import Comparison

REQUESTS = 10_000_000
#: Three times as fast as DuckDB on one core, as we are, half as fast again as on all of them; megabytes at most.
FASTEST, FAST, MEMORY = 1 / 3, 2 / 3, 600.0


def costs(requests: int = REQUESTS, rounds: int = 3) -> list[Comparison]:
    """Compare whole processes in turn, after a round of warm-up: with one thread by CPU, with more by the clock.

    The answers must be the same every time: counts, named requests, latencies. Raises RuntimeError when they are not.
    """
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        make_run(directory, requests)
        runs = [
            {"ours": _run(directory, "ours"), "one": _run(directory, "1"), "default": _run(directory, "0")}
            for _ in range(rounds + 1)
        ]
    if any(run["answers"] != runs[0]["ours"]["answers"] for each in runs for run in each.values()):
        raise RuntimeError("DuckDB's answers are not ours")
    what = f"reconciling {requests:,} requests"
    memory = max(each["ours"]["megabytes"] for each in runs)
    theirs = min(each["one"]["megabytes"] for each in runs)
    return [
        _compare(runs[1:], what, "DuckDB, one thread", "one", "cpu", "s CPU", FASTEST),
        _compare(runs[1:], what, "DuckDB, default threads", "default", "clock", "s", FAST),
        Comparison(f"{what}, memory", "DuckDB, one thread", memory, theirs, memory / theirs, 1.0, "MB"),
        Comparison(f"{what}, memory", "the limit", memory, MEMORY, memory / MEMORY, 1.0, "MB"),
    ]


def _compare(
    runs: list[dict[str, dict[str, Any]]], name: str, against: str, peer: str, figure: str, unit: str, limit: float
) -> Comparison:
    ours, theirs = [each["ours"][figure] for each in runs], [each[peer][figure] for each in runs]
    ratio = statistics.median(our / their for our, their in zip(ours, theirs, strict=True))
    return Comparison(name, against, statistics.median(ours), statistics.median(theirs), ratio, limit, unit)


def _run(directory: Path, how: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "loadtests.benchmarks.reconcile_run", str(directory), how]
    run: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return run
