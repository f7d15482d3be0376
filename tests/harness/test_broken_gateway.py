"""A gateway broken by hand is caught through target ``url``, and each of its five defects by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
GATEWAY = Path(__file__).with_name("broken_gateway.py")
#: What each defect breaks: the rule, and words of the failure that tell what is wrong.
DEFECTS = {
    "unknown-for-nobody": ("DRP-1", "unknown"),
    "query-in-the-path": ("EVT-7", "/anything/a?secret=1&b=2"),
    "new-ids-on-a-retry": ("RET-4", "the bytes of delivery 1"),
    "subject-in-lower-case": ("SUB-2", "lower-case"),
    "billed-twice": ("EVT-7", "an event too many"),
}
SCENARIOS = {
    "unknown-for-nobody": "tutorial-meter-by-tenant-header",
    "query-in-the-path": "evt-7-path-without-query",
    "new-ids-on-a-retry": "ret-4-same-bytes-on-the-wire",
    "subject-in-lower-case": "sub-2-header-name-without-case",
    "billed-twice": "evt-7-path-without-query",
}


Reports = Mapping[str, Future[tuple[int, dict[str, Any]]]]


@contextmanager
def gateway(defect: str) -> Iterator[tuple[str, str]]:
    """Run the gateway with one defect, or none; give the URLs of its proxy and its Admin API."""
    command = [sys.executable, str(GATEWAY), defect]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            proxy, admin = json.loads(process.stdout.readline())
            yield proxy, admin
        finally:
            process.kill()


def report(defect: str, scenarios: set[str], directory: Path) -> tuple[int, dict[str, Any]]:
    """Run scenarios against the gateway; return exit code and report."""
    with gateway(defect) as (proxy, admin):
        options = ["--target", "url", "--proxy-url", proxy, "--admin-url", admin, "--subject-form", "username"]
        options += [word for scenario in sorted(scenarios) for word in ("--scenario", scenario)]
        done = subprocess.run(
            [sys.executable, "-m", "harness.cli.main", "conformance", *options, "--json", "-"],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reports]:
    """Exit code and report by defect, "" for none: runs that mostly wait, two at a time, the longest one first."""
    with ThreadPoolExecutor(2) as runs:
        wanted = {"": set(SCENARIOS.values()), **{defect: {SCENARIOS[defect]} for defect in DEFECTS}}
        yield {
            defect: runs.submit(report, defect, scenarios, tmp_path_factory.mktemp("run"))
            for defect, scenarios in wanted.items()
        }


def test_the_gateway_passes_without_a_defect(reports: Reports) -> None:
    code, found = reports[""].result()
    assert {one["id"]: one["verdict"] for one in found["scenarios"]} == dict.fromkeys(set(SCENARIOS.values()), "pass")
    assert code == 0


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_each_defect_is_caught_by_the_name_of_its_rule(defect: str, reports: Reports) -> None:
    code, found = reports[defect].result()
    rule, words = DEFECTS[defect]
    (scenario,) = found["scenarios"]
    assert (code, scenario["verdict"]) == (1, "fail")
    assert rule in {name for failure in scenario["failures"] for name in failure["rules"]}
    assert words in json.dumps(scenario["failures"])


def test_the_gateway_is_written_without_the_emulator() -> None:
    assert "plugin_emulator" not in GATEWAY.read_text(encoding="utf-8")
