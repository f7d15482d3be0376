"""The README's commands do what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.capture.reader import CaptureReader

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("   #")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]


Result = subprocess.CompletedProcess[str]


def shell(command: str, folder: Path = ROOT) -> Result:
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=110
    )


def readme_command(start: str) -> str:
    (command,) = [command for command in COMMANDS if command.startswith(start)]
    return command


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Result]]]:
    """What came of the commands that take longest, by verb; two of them run at a time."""
    reports = tmp_path_factory.mktemp("reports")
    conformance = readme_command("kong-metering conformance").replace(
        "--report-dir reports", f"--report-dir {reports}"
    )
    with ThreadPoolExecutor(2) as running:
        yield {
            "conformance": running.submit(shell, conformance),
            "config size": running.submit(shell, readme_command("kong-metering config size")),
            "simulate": running.submit(shell, readme_command("kong-metering simulate")),
        }


def test_the_two_make_targets_exist() -> None:
    targets = [command.split()[1] for command in COMMANDS if command.startswith("make ")]
    assert targets == ["conformance", "test"]
    assert all(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE) for target in targets)


def test_the_ci_command_passes_and_writes_its_reports(results: Mapping[str, Future[Result]]) -> None:
    result = results["conformance"].result()
    assert result.returncode == 0, result.stdout + result.stderr
    (words,) = re.findall(r"^Report: (.+)$", result.stdout, re.MULTILINE)
    files = [Path(word) for word in words.split(", ")]
    assert {file.name for file in files} >= {"conformance.json", "junit.xml"}
    assert all(file.exists() for file in files)


def test_the_two_plugins_of_the_compared_file_differ_and_lose_in_the_outage() -> None:
    result = shell(readme_command("kong-metering compare") + " --json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["differing"] == 5
    assert all(plugin["figures"]["lost_requests"] for plugin in report["plugins"])


def test_the_events_command_prints_the_event_the_readme_shows() -> None:
    setup = [command for command in COMMANDS if command.startswith(("DECK_AUTH_TOKEN=any;",))]
    result = shell("\n".join([*setup, readme_command("echo '{")]))
    assert result.returncode == 0, result.stderr
    (shown,) = re.findall(r"^```json\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    printed, expected = json.loads(result.stdout), json.loads(shown)
    assert printed["events"][0].pop("id")
    expected["events"][0].pop("id")
    assert printed == expected


def test_the_simulation_gives_the_figures_the_readme_shows(results: Mapping[str, Future[Result]]) -> None:
    result = results["simulate"].result()
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() in README


def test_the_render_command_prints_what_the_readme_shows() -> None:
    result = shell(readme_command("kong-metering config render"))
    assert result.returncode == 0, result.stderr
    assert f"```yaml\n{result.stdout}```" in README


@pytest.mark.parametrize("verb", ["validate", "lint", "convert"])
def test_the_other_config_commands_run(verb: str) -> None:
    result = shell(readme_command(f"kong-metering config {verb}"))
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout


def test_the_sizing_advisor_says_that_the_default_settings_lose_events(
    results: Mapping[str, Future[Result]],
) -> None:
    result = results["config size"].result()
    assert result.returncode == 1, result.stdout + result.stderr
    assert result.stdout


TUTORIAL = r"""
kong-metering ingest --capture "$1/ingest.capture" --port 0 --json > "$1/ingest.out" & INGEST=$!
wait_for() { for _ in {1..400}; do "$@" && return; sleep 0.05; done; return 1; }
wait_for grep -q ready "$1/ingest.out"
PORT=$(python -c 'import json,sys; print(json.loads(open(sys.argv[1]).readline())["port"])' "$1/ingest.out")
sed "s/127.0.0.1:8088/127.0.0.1:$PORT/" fixtures/kong/consumer-tutorial.yaml > "$1/kong.yaml"
GATEWAY_COMMAND > "$1/gateway.out" & GATEWAY=$!
wait_for grep -q proxy "$1/gateway.out"
PROXY=$(python -c 'import json,sys; print(json.loads(open(sys.argv[1]).readline())["proxy"])' "$1/gateway.out")
CURL_LOOP
kill -QUIT $GATEWAY; wait $GATEWAY
kill -INT $INGEST; wait $INGEST
"""


def test_the_tutorials_three_requests_give_three_events_for_alice(tmp_path: Path) -> None:
    gateway = readme_command("DECK_AUTH_TOKEN=any kong-metering gateway")
    gateway = gateway.replace("fixtures/kong/consumer-tutorial.yaml", '"$1/kong.yaml"')
    loop = readme_command("for _ in").replace("http://localhost:8000", '"$PROXY"')
    script = TUTORIAL.replace("GATEWAY_COMMAND", f"{gateway} --proxy-port 0 --admin-port 0 --json")
    script = script.replace("CURL_LOOP", loop)
    result = shell(f"set -- {tmp_path}\n{script}")
    assert result.stdout.count("HTTP/1.1 200 OK") == 3, result.stdout + result.stderr
    requests = list(CaptureReader(tmp_path / "ingest.capture").requests())
    events = [one.event for request in requests for one in request.events()]
    assert [(event["subject"], event["type"]) for event in events] == [("alice", "kong.api_request")] * 3
    assert [request.status for request in requests] == [202] * 3


EXPLAINED = r"""
wait_for() { for _ in {1..400}; do "$@" && return; sleep 0.05; done; return 1; }
GATEWAY_COMMAND > "$1/gateway.out" & GATEWAY=$!
wait_for grep -q proxy "$1/gateway.out"
PROXY=$(python -c 'import json,sys; print(json.loads(open(sys.argv[1]).readline())["proxy"])' "$1/gateway.out")
CURL_COMMAND > "$1/answer"
wait_for grep -q '"fact":"metered"' "$1/gateway.out"
kill -QUIT $GATEWAY; wait $GATEWAY
EXPLAIN_COMMAND
"""


def test_the_request_with_the_misspelt_header_is_explained_as_the_readme_shows(tmp_path: Path) -> None:
    gateway = readme_command("kong-metering gateway --config fixtures/mysteries")
    curl = readme_command("curl -i").replace("http://localhost:8000", '"$PROXY"')
    script = EXPLAINED.replace("GATEWAY_COMMAND", f"{gateway} --proxy-port 0 --no-admin --json")
    script = script.replace("CURL_COMMAND", curl).replace("EXPLAIN_COMMAND", readme_command("kong-metering explain"))
    result = shell(f"set -- {tmp_path}\n{script}".replace("journal.jsonl", '"$1/journal.jsonl"'))
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"```text\n{result.stdout.splitlines()[0]}\n```" in README
    assert "no event: no header 'x-tenant-id' in the request [DRP-1]" in result.stdout


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_what_the_readme_links_to_exists(link: str) -> None:
    assert (ROOT / link).exists()


def test_the_load_accounts_for_every_request(tmp_path: Path) -> None:
    """Shorter than in the README, and with a queue that holds what an outage of a second leaves waiting."""
    command = readme_command("kong-metering load")
    command = command.replace("--duration 20s --ingest-down 5s@5s", "--duration 4s --ingest-down 1s@1s")
    result = shell(f"{command} --out {tmp_path / 'run'}")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "billed once" in result.stdout
    assert "kept" in result.stdout
    assert (tmp_path / "run" / "report.html").is_file()
