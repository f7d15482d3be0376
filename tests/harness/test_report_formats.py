"""The reports made from one stream of events."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from rich.console import Console

from harness.conformance.deliveries import Deliveries, Lost, Try
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
from harness.report.implementation import (
    Implementation,
    default_implementation,
    read_implementation,
    report_date,
)
from harness.report.json_report import SCHEMA_FILE, JsonReport
from harness.report.junit import JunitReport
from harness.report.terminal import TerminalReport
from plugin_emulator.documents import InvalidDocument


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
    {"id": "e-1"},
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


def document_of(events: list[Event], report: JsonReport | None = None) -> dict[str, Any]:
    filled = report or JsonReport()
    for event in events:
        filled.take(event)
    document: dict[str, Any] = json.loads(filled.text())
    jsonschema.validate(document, json.loads(SCHEMA_FILE.read_text()))
    return document


def test_a_profile_has_a_result_and_figures_for_each_group() -> None:
    """A failed rule fails its group; one that was not tested leaves it partial; a finding does neither."""
    (profile,) = document_of(STREAM)["profiles"]
    groups = {group["name"]: group for group in profile["groups"]}
    assert (profile["name"], profile["result"]) == ("kong-3.16", "failure")
    assert groups["DRP"]["result"] == "failure"
    assert groups["DRP"]["statistics"] == {"passed": 1, "failed": 1, "findings": 1, "skipped": 1}
    assert groups["DRP"]["failed"] == [{"rule": "DRP-1", "provisional": False, "scenarios": ["bad"]}]
    assert groups["DRP"]["findings"] == [{"rule": "DRP-2", "provisional": True, "scenarios": ["odd"]}]
    assert groups["DRP"]["skipped"] == [{"rule": "DRP-4", "provisional": False, "scenarios": []}]
    assert groups["CND"]["skipped"][0] == {"rule": "CND-1", "provisional": False, "scenarios": ["other"]}
    assert groups["LIF"]["result"] == "partial"
    figures = [sum(group["statistics"][kind] for group in groups.values()) for kind in profile["statistics"]]
    assert figures == [*profile["statistics"].values()]
    assert sum(figures) == len(rules_of("kong-3.16"))
    assert profile["summary"].startswith(f"2 of {sum(figures)} rules passed, 1 failed, 1 findings, ")


def test_a_group_all_of_whose_rules_pass_is_a_success_even_with_a_finding() -> None:
    rules = [rule.id for rule in rules_of("kong-3.16") if rule.group == "DRP"]
    finding = Failure(("DRP-2",), "dropped otherwise")
    events: list[Event] = [STREAM[0], finished("all", Verdict.PASS, *rules), RunFinished(1.0)]
    found: list[Event] = [*events[:2], finished("odd", Verdict.FINDING, "DRP-2", failures=(finding,)), events[2]]
    for stream in (events, found):
        (profile,) = document_of(stream)["profiles"]
        (group,) = [group for group in profile["groups"] if group["name"] == "DRP"]
        assert group["result"] == "success"
        assert profile["result"] == "partial"


def test_rules_that_nothing_public_settles_are_provisional() -> None:
    flags = {rule["id"]: rule["provisional"] for rule in document_of(STREAM)["rules"]}
    assert (flags["DRP-1"], flags["DRP-2"], flags["SUB-1"]) == (False, True, True)


def test_who_made_the_target_is_told_by_a_file_or_left_open(tmp_path: Path) -> None:
    file = tmp_path / "implementation.yaml"
    file.write_text("organization: Example\nproject: gateway\nversion: '3.16.0'\ncontact: ['@example/metering']\n")
    told = document_of(STREAM, JsonReport(read_implementation(file)))["implementation"]
    assert told == {
        "organization": "Example",
        "project": "gateway",
        "version": "3.16.0",
        "url": None,
        "contact": ["@example/metering"],
    }
    assert document_of(STREAM)["implementation"]["project"] == "emulated gateway"
    assert default_implementation("kong-docker", "0.1.0") == Implementation(project="kong-docker")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "project: a\norganisation: b\n",
            ":2: /organisation: unknown key 'organisation' (did you mean 'organization'?)",
        ),
        ("version: 3.16\n", ":1: /version: version is not a text (put it in quotes)"),
        ("contact: me\n", ":1: /contact: contact is not a list of texts"),
        ("- a\n", ":1: does not describe an implementation"),
    ],
)
def test_a_mistake_in_the_implementation_file_is_one_line_with_its_place(
    tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "implementation.yaml"
    file.write_text(text)
    with pytest.raises(InvalidDocument) as error:
        read_implementation(file)
    assert str(error.value).startswith(f"{file}{told}")


def test_the_date_is_the_one_given_else_the_sources_else_now() -> None:
    given = datetime(2026, 1, 2, tzinfo=UTC)
    environment = {"SOURCE_DATE_EPOCH": "86400"}
    assert report_date(given, environment) == given
    assert report_date(given.replace(tzinfo=None), {}) == given
    assert report_date(None, environment) == datetime(1970, 1, 2, tzinfo=UTC)
    assert abs((report_date(None, {}) - datetime.now(UTC)).total_seconds()) < 60
    with pytest.raises(ValueError, match="SOURCE_DATE_EPOCH is 'today'"):
        report_date(None, {"SOURCE_DATE_EPOCH": "today"})


def test_deliveries_stand_in_the_json_report_as_data() -> None:
    tried = Try(
        at=0.1234567, status=None, events=2, shape="array", lane="main", batch=1, number=0, entered=(0.0, 0.1)
    )
    deliveries = Deliveries([tried], [Lost(0.5, "e3", "gave_up")], {"main": {"max_batch_size": 2}})
    scenario = dataclasses.replace(finished("one", Verdict.PASS, "BAT-1"), deliveries=deliveries)
    (written,) = document_of([STREAM[0], scenario, RunFinished(1.0)])["scenarios"]
    as_tried = dataclasses.asdict(tried)
    del as_tried["success_below"]  # of use to those that draw it
    assert written["deliveries"] == {
        "exact": False,
        "queues": {"main": {"max_batch_size": 2}},
        "tries": [{**as_tried, "at": 0.123457, "entered": [0.0, 0.1]}],
        "lost": [{"at": 0.5, "entry": "e3", "reason": "gave_up"}],
    }


def test_half_a_surrogate_pair_can_be_written_and_read_back() -> None:
    failure = Failure(("DRP-1",), "half \ud83d of a pair")
    report = JsonReport()
    events: list[Event] = [STREAM[0], finished("half", Verdict.FAIL, "DRP-1", failures=(failure,)), RunFinished(1.0)]
    document = document_of(events, report)
    report.text().encode("utf-8")
    assert document["scenarios"][0]["failures"][0]["message"] == failure.message


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
    for words in ("DRP-1: A request without a subject", "http://localhost:8000/two", "+  0.100 s", "--scenario bad"):
        assert words in str(failure.text)
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
        assert "arrived  +  0.100 s  object of 1 event" in text
        assert 'received  {"id": "e-1"}' in text
        assert "1 pass, 1 fail, 1 finding, 1 skip" in text


def test_the_table_can_be_limited_to_the_rules_asked_for() -> None:
    output = io.StringIO()
    report = TerminalReport(Console(file=output, width=118), {"DRP-1", "DRP-2"})
    feed(report)
    table = output.getvalue().partition("FAIL  ")[0]
    assert "DRP-2" in table
    assert "DRP-3" not in table
    text = " ".join(output.getvalue().split())
    assert re.search(r"Rules covered: \d+ of \d+ \(2 of the 2 asked for\)\.", text)
