"""``kong-metering conformance`` as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from harness.report.json_report import SCHEMA_FILE
from harness.resources import scenarios

#: A scenario about SUB-2 and DRP, and about no condition.
TENANT_HEADER = str(scenarios() / "tutorials" / "003-meter-by-tenant-header.yaml")
WRONG = """\
id: wrong-expectation
title: An expectation that no queue can meet
rules: [BAT-5]
simulate: {queue: {}, arrivals: [{t: 0, id: e1, bytes: 1}], ingest: [{status: 202, duration: 0}]}
expect: {ended_at: 3}
"""


def conformance(
    *options: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli.main", "conformance", *options]
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    own = {
        name: value for name, value in os.environ.items() if name not in ("GITHUB_STEP_SUMMARY", "SOURCE_DATE_EPOCH")
    }
    whole = {**own, "PYTHONPATH": path, "PYTEST_ADDOPTS": "--no-such-option", **(environment or {})}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=100, env=whole, check=False)


def test_the_virtual_time_rules_pass_and_the_reports_are_written(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --also-not-an-option\n")
    done = conformance("--rules", "RET-3,CAP-5", "--json", "-", "--junit", "unit.xml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads(SCHEMA_FILE.read_text()))
    assert document == json.loads((tmp_path / "reports/conformance.json").read_text())
    for name in ("unit.xml", "reports/junit.xml"):
        assert ElementTree.parse(tmp_path / name).getroot().tag == "testsuites"
    assert "Rules × verdicts" in done.stderr
    assert "\x1b[" not in done.stderr


def test_every_report_can_be_had_at_once_with_the_date_asked_for(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(WRONG)
    (tmp_path / "made-by.yaml").write_text("{organization: Example, project: some gateway}")
    summary = tmp_path / "summary.md"
    summary.write_text("what an earlier step wrote\n")
    options = ["--html", "page.html", "--markdown", "page.md", "--step-summary", "--implementation", "made-by.yaml"]
    environment = {"GITHUB_STEP_SUMMARY": str(summary), "SOURCE_DATE_EPOCH": "86400"}
    done = conformance("wrong.yaml", *options, cwd=tmp_path, environment=environment)
    assert done.returncode == 1, done.stderr
    page, markdown = (tmp_path / "page.html").read_text(), (tmp_path / "page.md").read_text()
    assert page == (tmp_path / "reports/report.html").read_text()
    assert summary.read_text() == f"what an earlier step wrote\n{markdown}"
    assert "<code>ended&#95;at</code>" in markdown
    assert "wrong-expectation" in page
    document = json.loads((tmp_path / "reports/conformance.json").read_text())
    assert (document["date"], document["implementation"]["project"]) == ("1970-01-02T00:00:00+00:00", "some gateway")
    for text in (page, markdown, (tmp_path / "reports/junit.xml").read_text()):
        assert f"kong-metering conformance {tmp_path / 'wrong.yaml'}" in text


def test_both_tutorials_pass_over_http_and_leave_no_secret_behind(tmp_path: Path) -> None:
    options = ["--scenario", "tutorial-track-requests-by-consumer", "--scenario", "tutorial-meter-by-tenant-header"]
    done = conformance(*options, "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 pass" in done.stdout
    report = (tmp_path / "reports/conformance.json").read_text()
    others = [(tmp_path / "reports" / name).read_text() for name in ("junit.xml", "report.html")]
    for text in (done.stdout, done.stderr, report, *others):
        assert "alice-key" not in text
        assert "Bearer" not in text.replace("bearer token", "")
        assert "api_token=" not in text


def test_a_users_own_failing_scenario_ends_with_1_and_says_how_to_run_it_again(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(WRONG)
    done = conformance("mine.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert "FAIL  wrong-expectation" in done.stdout
    assert "ended_at: expected 3, received 0" in done.stdout
    assert f"again    kong-metering conformance {tmp_path / 'mine.yaml'}" in done.stdout


def test_a_mistake_in_a_scenario_file_is_one_line_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(WRONG.replace("ended_at", "endet_at"))
    done = conformance("mine.yaml", cwd=tmp_path)
    assert done.returncode == 2
    place = f"kong-metering: {tmp_path / 'mine.yaml'}:5: /expect/endet_at: unknown key 'endet_at'"
    assert done.stderr.strip() == f"{place} (did you mean 'ended_at'?)"
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--rules", "DPR"], "did you mean DRP?"),
        (["--scenario", "nothing"], "no scenario has id 'nothing'"),
        (["--rules", "CND-6", TENANT_HEADER], "no scenario is about these rules"),
        (["--profile", "kong-2.8"], "'kong-2.8' is not one of"),
        (["missing.yaml"], "does not exist"),
        (
            ["--rules", "BAT-1", "--step-summary"],
            "--step-summary goes with GitHub Actions: GITHUB_STEP_SUMMARY is not set",
        ),
        (["--rules", "BAT-1", "--html", "no/folder.html"], "no/folder.html: cannot be written"),
        (["--rules", "BAT-1", "--implementation", "taken"], "taken:1: does not describe an implementation"),
        (["--rules", "BAT-1", "--date", "tomorrow"], "'tomorrow' does not match the formats"),
        (["--rules", "BAT-1", "--report-dir", "taken"], "taken/conformance.json: cannot be written"),
    ],
)
def test_a_mistake_on_the_command_line_ends_with_2(tmp_path: Path, options: list[str], told: str) -> None:
    (tmp_path / "taken").write_text("a file, not a directory")
    done = conformance(*options, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_list_and_dry_run_run_nothing_and_write_nothing(tmp_path: Path) -> None:
    listed = conformance("--list", "--rules", "RET", cwd=tmp_path)
    dry = conformance("--dry-run", cwd=tmp_path)
    assert (listed.returncode, dry.returncode) == (0, 0)
    assert "ret-3-defaults-give-fourteen-tries" in listed.stdout
    assert "bat-1-" not in listed.stdout
    assert "scenarios are well formed" in dry.stdout
    assert list(tmp_path.iterdir()) == []
