"""The benchmark's made-up run: what is planted is there, and DuckDB says the same of it as we do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from loadtests.benchmarks.made_run import LATE_AFTER, make_run
from loadtests.reconciliation import reconcile


def test_duckdb_gives_the_same_answers(tmp_path: Path) -> None:
    """An SQL engine, another program altogether, agrees on counts, named requests and latencies."""
    make_run(tmp_path, 300_000)
    answers = []
    for how in ("ours", "1"):
        command = [sys.executable, "-m", "loadtests.benchmarks.reconcile_run", str(tmp_path), how]
        answers.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["answers"])
    assert answers[0] == answers[1]
    assert {"missing", "duplicated_new_id", "duplicated_same_id", "late"} <= set(answers[0]["classes"])
    result = reconcile(tmp_path, LATE_AFTER)
    assert result.requests == 300_000
    assert len(result.strangers) == result.strangers.unrecorded == 0
