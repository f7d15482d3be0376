"""``kong-metering config lint``: exit codes, options, what goes where."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.main import main

HEADER_WITHOUT_FIELD = """\
_format_version: "3.0"
plugins:
  - name: metering-and-billing
    config:
      ingest_endpoint: https://us.api.konghq.com/v3/openmeter/events
      api_token: ${{ env "DECK_AUTH_TOKEN" }}
      subject:
        look_up_value_in: header
"""
SOUND = HEADER_WITHOUT_FIELD + "        field: x-tenant-id\n      queue:\n        max_batch_size: 100\n"
WARNING = SOUND + "      ssl_verify: false\n"


@pytest.fixture
def kong_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "kong.yaml"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["config", "lint", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_an_error_ends_with_1_and_is_told_with_file_line_and_rule(
    kong_yaml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kong_yaml.write_text(HEADER_WITHOUT_FIELD)
    assert run("kong.yaml") == 1
    out = capsys.readouterr().out.splitlines()
    assert out[1].startswith("kong.yaml:8: error: /config/subject/look_up_value_in: subject.field names no header")
    assert out[1].endswith("[subject-field-missing]")
    assert out[-1] == "1 metering plugin in 1 file: 1 error, 0 warnings, 1 info"


@pytest.mark.parametrize(
    ("text", "severity", "code"),
    [
        (SOUND, "info", 0),
        (WARNING, "error", 0),
        (WARNING, "warning", 1),
        (WARNING, "info", 1),
        (HEADER_WITHOUT_FIELD, "never", 0),
    ],
)
def test_the_exit_code_follows_the_severity_that_is_to_fail(
    kong_yaml: Path, text: str, severity: str, code: int
) -> None:
    kong_yaml.write_text(text)
    assert run("kong.yaml", "--fail-severity", severity) == code


@pytest.mark.parametrize(
    "text", ["plugins: [\n", "hello: world\n", '_format_version: "3.0"\nplugins:\n- name: acl\n']
)
def test_a_file_that_cannot_be_linted_ends_with_2_and_one_line_and_no_report(
    kong_yaml: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kong_yaml.write_text(text)
    assert run("kong.yaml", "-o", "report.txt") == 2
    streams = capsys.readouterr()
    assert streams.err.startswith("kong-metering: kong.yaml:")
    assert streams.err.count("\n") == 1
    assert streams.out == ""
    assert not Path("report.txt").exists()


def test_every_unreadable_file_is_told_at_once(kong_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kong_yaml.write_text("plugins: [\n")
    assert run("kong.yaml", "missing.yaml") == 2
    err = capsys.readouterr().err
    assert "kong.yaml:" in err and "missing.yaml: cannot be read" in err


def test_a_file_without_a_metering_plugin_is_fine_beside_one_with(
    kong_yaml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kong_yaml.write_text(SOUND)
    Path("other.yaml").write_text('_format_version: "3.0"\nservices: []\n')
    assert run("other.yaml", "kong.yaml") == 0
    assert capsys.readouterr().out == "1 metering plugin in 2 files: nothing found\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say which files"),
        (("kong.yaml", "--only", "subject-field-mising"), "did you mean 'subject-field-missing'"),
        (("kong.yaml", "--rtt", "0"), "longer than zero"),
        (("kong.yaml", "--rtt", "soon"), "not a length of time"),
        (("kong.yaml", "--rps", "nan"), "not a finite number"),
        (("kong.yaml", "--json", "--format", "sarif"), "either --json or --format sarif"),
        (("kong.yaml", "--fail-severity", "fatal"), "'fatal' is not one of 'error', 'warning', 'info', 'never'"),
        (("--list", "--format", "sarif"), "--list is plain or JSON"),
    ],
)
def test_mistakes_in_the_options_are_one_line(
    kong_yaml: Path, arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kong_yaml.write_text(SOUND)
    assert run(*arguments) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_rules_can_be_left_out_picked_and_added(kong_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def found(*arguments: str) -> list[str]:
        run("kong.yaml", "--json", *arguments)
        return [finding["rule"] for finding in json.loads(capsys.readouterr().out)["findings"]]

    kong_yaml.write_text(HEADER_WITHOUT_FIELD)
    assert found() == ["one-post-per-event", "subject-field-missing"]
    assert found("--disable", "one-post-per-event") == ["subject-field-missing"]
    assert found("--only", "one-post-per-event") == ["one-post-per-event"]
    assert found("--enable", "konnect-built-in-ingestion", "--disable", "one-post-per-event") == [
        "konnect-built-in-ingestion",
        "subject-field-missing",
    ]


def test_expectations_reach_the_rules(kong_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kong_yaml.write_text(SOUND)
    assert run("kong.yaml", "--rps", "900", "--rtt", "100ms", "--gateway", "3.14", "--json") == 0
    assert run("kong.yaml", "--rps", "1100", "--rtt", "100ms") == 1
    out = capsys.readouterr().out
    report = json.loads(out[: out.index("\n}") + 2])
    assert (report["gateway"], report["events_per_second"], report["round_trip_seconds"]) == ("3.14", 900.0, 0.1)
    assert "with 100 events in a POST of 100 ms a worker delivers at most 1,000 events/s, and 1,100 arrive" in out


def test_files_of_one_gateway_are_linted_together_when_asked(kong_yaml: Path) -> None:
    kong_yaml.write_text(SOUND.replace("header\n        field: x-tenant-id", "consumer"))
    Path("auth.yaml").write_text('_format_version: "3.0"\nplugins:\n  - name: key-auth\n')
    arguments = ("kong.yaml", "auth.yaml", "--fail-severity", "warning")
    assert run(*arguments) == 1
    assert run(*arguments, "--together") == 0


def test_a_file_given_twice_is_linted_once(kong_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kong_yaml.write_text(SOUND)
    assert run("kong.yaml", "kong.yaml", "--together") == 0
    assert "1 metering plugin in 1 file" in capsys.readouterr().out


def test_a_report_goes_to_a_file_whole_and_without_colours(
    kong_yaml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kong_yaml.write_text(HEADER_WITHOUT_FIELD)
    assert run("kong.yaml", "--format", "sarif", "-o", "lint.sarif") == 1
    (result_run,) = json.loads(Path("lint.sarif").read_text())["runs"]
    assert {result["ruleId"] for result in result_run["results"]} == {"one-post-per-event", "subject-field-missing"}
    places = [result["locations"][0]["physicalLocation"] for result in result_run["results"]]
    assert {place["artifactLocation"]["uri"] for place in places} == {"kong.yaml"}
    assert run("kong.yaml", "-o", "lint.txt") == 1
    assert "\x1b" not in Path("lint.txt").read_text()
    assert capsys.readouterr().out == ""


def test_the_rules_are_listed_with_their_reasons(kong_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == 0
    plain = capsys.readouterr().out
    assert run("--list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert {rule["id"]: rule["on_by_default"] for rule in listed}["konnect-built-in-ingestion"] is False
    for rule in listed:
        assert f"{rule['id']} {rule['severity']}" in plain and rule["reason"] in plain


def test_there_are_colours_on_a_terminal_and_lines_are_not_broken(kong_yaml: Path) -> None:
    kong_yaml.write_text(HEADER_WITHOUT_FIELD)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "40"}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "harness.cli.main", "config", "lint", "kong.yaml"]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the terminal's other end is closed
                break
            if not piece:
                break
            shown += piece
    os.close(ours)
    assert process.returncode == 1
    text = shown.decode()
    assert "\x1b[1;31merror: \x1b[0m" in text
    assert len(text.splitlines()) == 3
