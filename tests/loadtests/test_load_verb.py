"""``kong-metering load`` as a process: runs to the end, is broken off, is misused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest
from hdrh.histogram import HdrHistogram

import loadtests
from loadtests.stage import run_stage  # noqa: F401 - fails here, not in each process, when it cannot be imported

pytestmark = pytest.mark.slow

SCHEMA = json.loads((Path(loadtests.__file__).parent / "schemas" / "load-report.json").read_text())
LOAD = [sys.executable, "-m", "harness.cli.main", "load"]


def load(*options: str, timeout: float = 100.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LOAD, *options], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
    )


def run(directory: Path, *options: str) -> tuple[int, dict[str, Any]]:
    done = load("--out", str(directory), "--json", *options)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    jsonschema.validate(report, SCHEMA)
    assert json.loads((directory / "report.json").read_text()) == report
    assert ("limits kept" in (directory / "report.html").read_text()) is report["kept"]
    return done.returncode, report


def test_a_load_without_faults_bills_every_request_once_and_says_so(tmp_path: Path) -> None:
    code, report = run(tmp_path / "run", "--rps", "100", "--duration", "2s", "-q", "max_coalescing_delay=0.2")
    account = report["reconciliation"]
    classes = account["classes"]
    assert code == 0 and report["kept"] and account["right"] and report["drained"]
    assert classes["dropped_right"] > 0
    assert classes["billed_once"] + classes["late"] + classes["dropped_right"] == account["requests"] >= 100
    assert account["events"]["billed"] == account["events"]["due"] > 0
    assert report["losses"]["agree"] is True
    histogram = HdrHistogram.decode(account["billing_latency_histogram"])
    assert histogram.get_total_count() == account["events"]["billed"]


def test_what_an_outage_loses_by_the_rules_is_predicted_and_allowed_and_limits_are_judged(tmp_path: Path) -> None:
    """One try only, and nobody listening from second 1 to 2: what is tried then is lost, and that is RET-2."""
    options = ["--rps", "100", "--duration", "3s", "--mix", "tenant=1", "--ingest-down", "1s@1s:503"]
    options += ["-q", "max_retry_time=-1", "-q", "max_coalescing_delay=0.1", "--max-billing-latency-p99", "1ms"]
    code, report = run(tmp_path / "run", *options)
    losses = report["losses"]
    assert code == 1
    assert [verdict["option"] for verdict in report["verdicts"] if not verdict["kept"]] == [
        "--max-billing-latency-p99"
    ]
    assert losses["lost"] > 0 and losses["not_allowed"] == 0
    assert [row["rule"] for row in losses["allowed"]] == ["RET-2"]
    assert losses["agree"] is True, losses
    assert losses["told"] == {"gave_up": losses["lost"]}
    (fault,) = report["faults"]
    assert fault["ended_at"] - fault["began_at"] == pytest.approx(1.0)


def test_a_killed_gateway_loses_its_queue_and_comes_back_where_it_was(tmp_path: Path) -> None:
    options = ["--rps", "100", "--duration", "4s", "--mix", "tenant=1", "--gateway-restart", "kill@2s"]
    code, report = run(tmp_path / "run", *options)
    losses = report["losses"]
    assert code == 0, losses
    assert [row["rule"] for row in losses["allowed"]] == ["LIF-1"]
    assert losses["not_allowed"] == 0
    (restart,) = report["restarts"]
    timeline = report["reconciliation"]["timeline"]
    after = int(restart["ended_at"] - timeline["start"]) + 1
    assert sum(timeline["billed"][after:]) > 0


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_load_that_is_broken_off_leaves_no_process_behind(tmp_path: Path, by: signal.Signals) -> None:
    verb = subprocess.Popen(
        [*LOAD, "--rps", "50", "--duration", "60s", "--out", str(tmp_path / "run")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(lambda: (tmp_path / "run" / "ledger-0.bin").exists(), verb)
        children = psutil.Process(verb.pid).children(recursive=True)
        assert len(children) >= 3  # gateway, ingest, locust
        os.kill(verb.pid, by)
        assert verb.wait(60) == 130
    finally:
        if verb.poll() is None:
            verb.kill()
            verb.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]


def test_a_load_one_of_whose_workers_was_killed_says_so_and_is_no_run(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    verb = subprocess.Popen(
        [*LOAD, "--rps", "50", "--duration", "4s", "--processes", "2", "--out", str(directory)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _wait_for(lambda: len(list(directory.glob("ledger-*.bin"))) == 2, verb)
        os.kill(_writer_of(verb.pid, directory / "ledger-1.bin"), signal.SIGKILL)
        _, said = verb.communicate(timeout=100)
    finally:
        if verb.poll() is None:
            verb.kill()
            verb.wait()
    assert verb.returncode == 2
    assert "worker 1 was killed during the load" in said
    assert len(said.splitlines()) == 1


def _writer_of(parent: int, file: Path) -> int:
    """Return the process below ``parent`` that has ``file`` open."""
    return next(
        child.pid
        for child in psutil.Process(parent).children(recursive=True)
        if str(file) in {opened.path for opened in child.open_files()}
    )


def _wait_for(condition: Any, verb: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert verb.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--mix", "tennant=1"], "did you mean 'tenant'"),
        (["--mix", "tenant"], "write a whole number"),
        (["--mix", "tenant=0"], "no kind of traffic has a weight"),
        (["--queue", "max_batch_size"], "NAME=VALUE"),
        (["--queue", "max_batch_sice=3"], "max_batch_size"),
        (["--ingest-down", "20s"], "from when"),
        (["--ingest-down", "5s@1s", "--ingest-hang", "5s@2s"], "overlaps"),
        (["--duration", "3s", "--ingest-down", "5s@30s"], "second 30 is after the end of the traffic in second 3"),
        (
            ["--duration", "3s", "--gateway-restart", "kill@4s"],
            "second 4 is after the end of the traffic in second 3",
        ),
        (["--gateway-restart", "gently@5s"], "graceful@10s"),
        (["--max-loss", "some"], "no allowance"),
        (["--max-overhead", "-5%"], "no share"),
        (["--max-overhead", "5"], "write 5%"),
        (["--target", "url", "--proxy-url", "http://127.0.0.1:1", "--gateway-restart", "kill@1s"], "somebody else"),
        (["--image", "kong:3.9"], "goes with --target docker"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_nothing_is_run(tmp_path: Path, options: list[str], said: str) -> None:
    done = load("--out", str(tmp_path / "run"), *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_directory_that_holds_something_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = load("--out", str(tmp_path))
    assert done.returncode == 2
    assert "is not empty: choose another directory with --out" in done.stderr


def test_a_plan_file_is_the_base_and_options_go_over_it(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("duration: 2\nrate: 50\nqueue: {max_batch_size: 7, max_coalescing_delay: 0.1}\nsubjects: 3\n")
    _, report = run(tmp_path / "run", "--plan", str(plan), "--rps", "80", "-q", "max_coalescing_delay=0.2")
    assert report["plan"]["rate"] == 80
    assert report["plan"]["subjects"] == 3
    assert report["plan"]["queue"] == {"max_batch_size": 7, "max_coalescing_delay": 0.2}
    assert max(size for size, _ in report["reconciliation"]["deliveries"]["sizes"]) <= 7


def test_the_help_text_needs_neither_locust_nor_numpy() -> None:
    source = "import sys; from harness.cli.main import cli\n"
    source += "try: cli.main(['load', '--help'])\nexcept SystemExit: pass\n"
    source += "print(sorted({'locust', 'gevent', 'numpy', 'mitmproxy', 'pytest'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_secrets_are_in_no_file_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin's token goes to gateway and ingest endpoint over their own interfaces, and nowhere else."""
    monkeypatch.setattr("loadtests.command.secrets.token_urlsafe", lambda size: "token-that-nobody-may-see")
    from click.testing import CliRunner

    from harness.cli.main import cli

    options = ["load", "--rps", "50", "--duration", "1s", "-q", "max_coalescing_delay=0.1"]
    done = CliRunner().invoke(cli, [*options, "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert "token-that-nobody-may-see" not in done.output
    for file in (tmp_path / "run").rglob("*"):
        assert not file.is_file() or b"token-that-nobody-may-see" not in file.read_bytes(), file
