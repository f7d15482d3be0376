"""The reports made from one stream of events."""

from __future__ import annotations

import io
import json
from xml.etree import ElementTree

import jsonschema
import pytest
from rich.console import Console

from harness.conformance.matching import Difference
from harness.conformance.outcome import (
    Event,
    Failure,
    Report,
    RunFinished,
    RunStarted,
    ScenarioFinished,
    Tally,
    Verdict,
)
from harness.conformance.rules import rules_of
from harness.report.json_report import SCHEMA_FILE, JsonReport
from harness.report.junit import JunitReport
from harness.report.terminal import TerminalReport


def finished(name: str, verdict: Verdict, *rules: str, failures: tuple[Failure, ...] = ()) -> ScenarioFinished:
    return ScenarioFinished(
        id=name,
        title=f"What {name} is about",
        file=f"/scenarios/drop/{name}.yaml",
        group="drop",
        rules=rules,
        verdict=verdict,
        seconds=0.25,
        reason="holds for kong-3.14" if verdict is Verdict.SKIP else "",
        failures=failures,
        requests={"one": "curl -i http://localhost:8000/one", "two": "curl -i http://localhost:8000/two"},
        timeline=["+  0.100 s  object of 1 event"],
        reproduce=f"kong-metering conformance --scenario {name}",
    )


BROKEN = Failure(
    ("DRP-1",),
    "an event is not as expected",
    [Difference("subject", "absent", "'unknown\x00<&'")],
    {"of": "two"},
    {},
    "two",
)

STREAM: list[Event] = [
    RunStarted("emulator", "kong-3.16", "0.1.0", rules_of("kong-3.16"), 4),
    finished("good", Verdict.PASS, "DRP-1", "SUB-2"),
    finished("bad", Verdict.FAIL, "DRP-1", "DRP-3", failures=(BROKEN,)),
    finished("odd", Verdict.FINDING, "DRP-2", failures=(Failure(("DRP-2",), "dropped otherwise"),)),
    finished("other", Verdict.SKIP, "CND-1"),
    RunFinished(1.5),
]


def feed(report: Report) -> None:
    for event in STREAM:
        report.take(event)


def test_a_failure_speaks_against_the_rule_it_names_only() -> None:
    tally = Tally()
    feed(tally)
    verdicts = {rule: tally.verdict(rule) for rule in ("DRP-1", "DRP-2", "DRP-3", "SUB-2", "CND-1", "LIF-1")}
    assert verdicts == {
        "DRP-1": Verdict.FAIL,
        "DRP-2": Verdict.FINDING,
        "DRP-3": Verdict.PASS,
        "SUB-2": Verdict.PASS,
        "CND-1": Verdict.SKIP,
        "LIF-1": Verdict.NOT_COVERED,
    }
    assert not tally.good


def test_a_run_with_findings_and_skips_alone_is_good() -> None:
    tally = Tally()
    for event in STREAM:
        if not (isinstance(event, ScenarioFinished) and event.verdict is Verdict.FAIL):
            tally.take(event)
    assert tally.good


def test_a_run_without_a_scenario_or_cut_short_is_not_good() -> None:
    empty, cut = Tally(), Tally()
    for event in (STREAM[0], STREAM[-1]):
        empty.take(event)
    for event in (STREAM[0], STREAM[1], RunFinished(1.0, "the gateway process ended")):
        cut.take(event)
    assert not empty.good
    assert not cut.good


def test_the_json_report_is_as_its_schema_says() -> None:
    report = JsonReport()
    feed(report)
    document = json.loads(report.text())
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    assert document["totals"] == {"pass": 1, "fail": 1, "finding": 1, "skip": 1, "error": 0}
    assert {rule["id"]: rule["verdict"] for rule in document["rules"]}["DRP-1"] == "fail"
    assert document["ok"] is False


def test_the_junit_report_is_xml_with_the_right_counts() -> None:
    report = JunitReport()
    feed(report)
    suite = ElementTree.fromstring(report.text())[0]
    assert {key: suite.attrib[key] for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "0",
        "skipped": "2",
    }
    (failure,) = suite.findall(".//failure")
    assert "subject: expected absent, received 'unknown\\u0000<&'" in str(failure.text)
    assert "finding: dropped otherwise" in {element.get("message") for element in suite.findall(".//skipped")}


@pytest.mark.parametrize("terminal", [True, False])
def test_the_terminal_report_shows_the_evidence_and_colours_only_on_a_terminal(terminal: bool) -> None:
    output = io.StringIO()
    colours = "truecolor" if terminal else None
    report = TerminalReport(
        Console(file=output, force_terminal=terminal, color_system=colours, width=118, legacy_windows=False)
    )
    feed(report)
    text = output.getvalue()
    assert ("\x1b[" in text) is terminal
    if not terminal:
        assert "DRP-1: A request without a subject makes no event at all" in text
        assert "subject: expected absent, received 'unknown" in text
        assert "http://localhost:8000/two" in text
        assert "http://localhost:8000/one" not in text.partition("FAIL")[2].partition("FINDING")[0]
        assert "again    kong-metering conformance --scenario bad" in text
        assert "not covered" in text
        assert "1 pass, 1 fail, 1 finding, 1 skip" in text


def test_the_table_can_be_limited_to_the_rules_asked_for() -> None:
    output = io.StringIO()
    report = TerminalReport(Console(file=output, width=118), {"DRP-1", "DRP-2"})
    feed(report)
    table = output.getvalue().partition("FAIL  ")[0]
    assert "DRP-2" in table
    assert "DRP-3" not in table
    assert "Rules covered: 2 of 2" in output.getvalue()
