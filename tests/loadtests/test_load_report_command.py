"""``kong-metering load``: its report files, after a run and again from a run that is over."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli.main import cli
from loadtests.command import command
from loadtests.plan import LoadPlan
from loadtests.report.markdown import markdown
from loadtests.report.recorded import RecordedReport
from loadtests.report.words import reproduce
from loadtests.thresholds import Allowance
from tests.loadtests.recorded_report import FILE, changed, document, report
from tests.loadtests.test_load_report import HOSTILE, compared, hostile


def load(*options: object) -> Result:
    return CliRunner().invoke(cli, ["load", *map(str, options)])


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The directory of a run that is over."""
    made = tmp_path / "run"
    made.mkdir()
    (made / "report.json").write_bytes(FILE.read_bytes())
    return made


def test_all_reports_are_made_again_from_a_run_that_is_over(directory: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    options = ["--html", tmp_path / "a.html", "--markdown", tmp_path / "a.md", "--trend", tmp_path / "trend.jsonl"]
    done = CliRunner().invoke(
        cli,
        ["load", "--report-from", str(directory), *map(str, options), "--step-summary"],
        env={"GITHUB_STEP_SUMMARY": str(summary)},
    )
    assert done.exit_code == 0, done.output
    assert "1 of 6 limits broken" in done.output
    assert (directory / "report.html").read_text() == (tmp_path / "a.html").read_text()
    assert summary.read_text() == "before\n" + (tmp_path / "a.md").read_text()
    assert json.loads((tmp_path / "trend.jsonl").read_text())["run"] == document()["run"]


def test_the_same_report_again_gives_the_same_page_byte_by_byte(directory: Path) -> None:
    pages = []
    for source in (directory, directory / "report.json"):
        assert load("--report-from", source).exit_code == 0
        pages.append((directory / "report.html").read_bytes())
    assert pages[0] == pages[1]


def test_a_run_is_compared_with_the_last_one_in_the_trend_on_the_terminal_and_in_every_report(
    directory: Path, tmp_path: Path
) -> None:
    trend, again = tmp_path / "trend.jsonl", directory / "report.json"
    assert "No earlier run" in load("--report-from", again, "--trend", trend).output
    again.write_text(json.dumps(changed("run", "0000000b") | {"rate": {"asked": 60.0, "achieved": 30.0}}))
    done = load("--report-from", again, "--trend", trend, "--markdown", tmp_path / "a.md")
    assert re.search(r"requests a second\s+60\.1\s+30\s+-50\.1%\s+worse", done.output)
    assert "worse" in (tmp_path / "a.md").read_text()
    assert "Compared with earlier runs" in (directory / "report.html").read_text()
    assert len(trend.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rps", "3"], "--rps is about a run, and --report-from is about one that is over"),
        (["--json"], "--json is about a run"),
        (["--target", "docker"], "--target is about a run"),
        (["--html", "/nowhere/a.html"], "/nowhere/a.html: cannot be written"),
        (["--step-summary"], "GITHUB_STEP_SUMMARY is not set"),
        (["--trend", str(FILE)], "recorded_report.json"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(directory: Path, options: list[str], said: str) -> None:
    done = CliRunner().invoke(
        cli, ["load", "--report-from", str(directory), *options], env={"GITHUB_STEP_SUMMARY": None}
    )
    assert done.exit_code == 2
    assert said in done.output.splitlines()[-1]
    assert not (directory / "report.html").exists()


def test_a_directory_without_a_report_is_named(tmp_path: Path) -> None:
    done = load("--report-from", tmp_path)
    assert done.exit_code == 2
    assert f"{tmp_path / 'report.json'}: cannot be read" in done.output


def test_a_trend_that_cannot_be_used_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine\n")
    done = load("--trend", tmp_path / "notes", "--out", tmp_path / "run")
    assert done.exit_code == 2
    assert "holds something else than a trend" in done.output
    assert not (tmp_path / "run").exists()


def test_the_command_in_the_report_asks_for_the_very_same_load() -> None:
    """The plan goes through a shell as it is, and each limit is one that the verb reads."""
    parts = re.fullmatch(
        r"cat > plan\.json <<'EOF'\n(.*)\nEOF\nkong-metering load (.*)", reproduce(report()), re.DOTALL
    )
    assert parts is not None
    assert LoadPlan.from_json(json.loads(parts[1])).to_json() == report().plan.to_json()
    given = command.make_context("load", parts[2].split()).params
    assert (given["target"], given["profile"], given["plan_file"]) == ("emulator", "kong-3.16", Path("plan.json"))
    assert given["max_loss"] == Allowance(0)
    assert (given["max_billing_latency_p99"], given["max_overhead"]) == (1.0, 1.0)


def test_the_markdown_tells_verdict_classes_losses_and_command() -> None:
    text = markdown(report(), compared())
    for words in (
        "## ❌ Load on emulator, gateway 3.16",
        "| ❌ | <code>&#45;-max-billing-latency-p99</code> | billing latency, p99 | 1 s | 3.76 s |",
        "| ✅ | 372 | billed once | billed once, as expected |",
        "| answers 503 | from 2.0 s to 6.0 s | 4 s |",
        "| RET-2 | given up after max&#95;retry&#95;time | 16 – 25 | 20 | 20 |",
        "Against run 00000002",
        "kong-metering load --target emulator",
    ):
        assert words in text
    assert len(text) < 20_000


def test_hostile_values_make_no_markup_in_markdown() -> None:
    text = markdown(RecordedReport(hostile()))
    outside = re.sub(r"(?s)```.*?```", "", text)
    assert HOSTILE not in text
    assert not re.search(r"<(script|img|/style)", outside)
    for line in outside.splitlines():
        if line.startswith("| "):
            assert line.count("|") >= 3 and line.endswith("|")
