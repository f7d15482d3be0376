"""``kong-metering compare``: both plugins side by side, on the terminal, as JSON and as pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main

EXCHANGE: dict[str, Any] = {
    "request": {"method": "GET", "path": "/a", "headers": [["x-tenant-id", "acme"]], "started_at": 1.5},
    "response": {"status": 200, "ended_at": 1.6},
}
INTENT = """\
ingest: konnect:us
subject: header:x-tenant-id
meter_name: calls
status: ['200-299']
attributes: {project: 'header:x-project', page: 'query:page'}
batch: 10
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the verb; return exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["compare", *map(str, arguments)])
        output = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, output.out, output.err

    return run


@pytest.fixture
def exchanges(tmp_path: Path) -> Path:
    path = tmp_path / "exchanges.jsonl"
    path.write_text(json.dumps(EXCHANGE) + "\n\n" + json.dumps(EXCHANGE) + "\n")
    return path


@pytest.fixture
def intent(tmp_path: Path) -> Path:
    path = tmp_path / "intent.yaml"
    path.write_text(INTENT)
    return path


def test_without_arguments_a_sample_of_traffic_is_compared(run: Any) -> None:
    code, out, _ = run("--duration", "60s", "--outage", "10s:10s")
    assert code == 0
    for words in ("metering-and-billing", "amberflo", "AMB-5", "EVT-9", "mallory", "AMB-9"):
        assert words in out
    assert out.rstrip().endswith("metering-and-billing and amberflo bill 5 of 11 requests differently")


def test_the_json_form_has_every_request_with_its_bills_and_its_rules(run: Any) -> None:
    code, out, _ = run("--json", "--duration", "60s", "--outage", "10s:10s:drop-answer")
    report = json.loads(out)
    assert code == 0
    assert [each["plugin"] for each in report["plugins"]] == ["metering-and-billing", "amberflo"]
    assert [each["phase"] for each in report["plugins"]] == ["log", "access"]
    assert "fixtures/comparison/kong.yaml:" in report["plugins"][0]["configured"]
    assert len(report["requests"]) == 11 == sum(report["differences"].values())
    assert report["differing"] == 5 == sum(each["difference"]["kind"] != "same" for each in report["requests"])
    failed = report["requests"][3]
    assert failed["bills"][0]["dropped"]["rule"] == "FLT-4"
    assert failed["bills"][1]["lines"] == [
        {"customer": "alice", "what": "requests", "amount": 1, "meter": "kong-api-calls"}
    ]
    assert report["plugins"][1]["figures"]["duplicates"] > 0


def test_a_difference_fails_only_when_asked(run: Any, exchanges: Path, intent: Path) -> None:
    quick = ("--duration", "1s", "--outage", "0.1s:0.1s")
    assert run("--fail-on-difference", *quick)[0] == 1
    alike = run("--fail-on-difference", "--intent", intent, exchanges)
    assert (alike[0], alike[1].rstrip().splitlines()[-1]) == (
        0,
        "metering-and-billing and amberflo bill 2 requests alike",
    )


def test_what_an_intent_cannot_mean_for_one_plugin_is_told(run: Any, exchanges: Path, intent: Path) -> None:
    report = json.loads(run("--intent", intent, "--json", exchanges)[1])
    assert report["left_out"] == [
        "metering-and-billing: meter_name: is Amberflo's",
        "amberflo: ingest: Amberflo's ingest endpoint cannot be configured",
        "amberflo: status: Amberflo meters before the status is known",
        "amberflo: attributes.page: Amberflo's dimensions come from headers only",
    ]
    assert [each["bills"][0]["lines"][0]["customer"] for each in report["requests"]] == ["acme", "acme"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("status: 200-299", "intent.yaml:1: /status: expected a list, got a string"),
        ("attributes: [x]", "intent.yaml:1: /attributes: expected an object, got a list"),
        ("attributes: {page: 'cookie:page'}", "intent.yaml:1: /attributes/page: "),
        ("ingest: konnect:mars", "intent.yaml:1: /ingest: Konnect has no region 'mars'"),
    ],
)
def test_a_part_of_an_intent_that_is_wrong_for_both_plugins_is_not_left_out(
    run: Any, exchanges: Path, intent: Path, line: str, message: str
) -> None:
    word = line.partition(":")[0]
    others = [other for other in INTENT.splitlines() if not other.startswith(word)]
    intent.write_text("\n".join([line, *others]))
    code, out, err = run("--intent", intent, exchanges)
    assert (code, out) == (2, "")
    assert message in err


def test_requests_are_delivered_once_at_their_own_times_unless_a_rate_is_given(
    run: Any, exchanges: Path, intent: Path
) -> None:
    def entries(*options: str) -> int:
        report = json.loads(run("--intent", intent, "--json", exchanges, *options)[1])
        return int(report["plugins"][1]["figures"]["entries"])

    assert entries() == 2
    assert entries("--rate", "10", "--duration", "3s") == 30


def test_options_of_the_emulation_count(run: Any, exchanges: Path, intent: Path) -> None:
    later = json.loads(
        run("--intent", intent, "--json", exchanges, "--plugin-option", "amberflo.client=later", "--outage", "0:1h")[
            1
        ]
    )
    assert later["plugins"][1]["figures"]["posts"] == 7
    assert "7 tries within 160 s at most" in later["plugins"][1]["delivery"]


def test_pages_show_values_without_their_effect(run: Any, tmp_path: Path, intent: Path) -> None:
    evil = "<script>alert(1)</script>|`x`"
    request = {**EXCHANGE["request"], "path": f"/{evil}", "headers": [["x-tenant-id", evil]]}
    source = tmp_path / "evil.jsonl"
    source.write_text(json.dumps({**EXCHANGE, "request": request}))
    html, markdown = tmp_path / "page.html", tmp_path / "page.md"
    assert run("--intent", intent, source, "--html", html, "--markdown", markdown)[0] == 0
    page = html.read_text()
    assert "&lt;script&gt;" in page and "<script" not in page
    assert "default-src 'none'" in page
    rows = [line for line in markdown.read_text().splitlines() if "alert" in line]
    assert [row.count(" | ") for row in rows] == [5, 2]  # the request, and who pays for it
    assert not any("<script" in row for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["--config", "one.yaml"], "no plugin named amberflo (give a file for each plugin)"),
        (["--config", "one.yaml", "--config", "one.yaml"], "another plugin named metering-and-billing"),
        (["--config", "one.yaml", "--intent", "intent.yaml"], "give either --config or --intent"),
        (["--outage", "10"], "write START:LENGTH or START:LENGTH:KIND"),
        (["--outage", "1:1:gone"], "write START:LENGTH or START:LENGTH:KIND"),
        (["--rate", "100000", "--duration", "1h"], "no more than 1,000,000 requests"),
        (["--plugin-option", "amberflo.client=9"], "amberflo.client"),
        (["empty.jsonl"], "empty.jsonl: has no exchange in it"),
        (["broken.jsonl"], "broken.jsonl:1: is not an exchange"),
        (["--config", "later.yaml"], "is filled in only where the configuration is applied"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    plugin = "plugins:\n- name: metering-and-billing\n  config: {subject: {look_up_value_in: header, field: %s}}\n"
    Path("one.yaml").write_text(plugin % "x-a")
    amberflo = "- {name: amberflo, config: {apiKey: k, meterApiName: m, customerHeader: x-a}}\n"
    Path("later.yaml").write_text(plugin % "'${{ env `DECK_A` }}'" + amberflo)
    Path("intent.yaml").write_text(INTENT)
    Path("empty.jsonl").write_text("\n")
    Path("broken.jsonl").write_text("{}\n")
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("kong-metering: ") and "Traceback" not in err
