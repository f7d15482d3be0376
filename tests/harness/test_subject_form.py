"""SUB-1's two forms: what scenarios expect in each, which one a run saw, and that it was one throughout."""

from __future__ import annotations

import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from conformance_stream import feed, scenario, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from test_conformance_cli import conformance
from test_runner_verdicts import Emit, Endpoint, FakeGateway, event_of, messages

from harness.conformance.check_catalogue import Check
from harness.conformance.outcome import AskedForm, RunFinished, ScenarioFinished, SubjectForm, Tally, Verdict
from harness.conformance.pytest_plugin import ConformancePlugin
from harness.conformance.rules import rules_of
from harness.conformance.runner import Order, run
from harness.conformance.scenario import Scenario, parse_scenario
from harness.conformance.state import LaneAccess, consumer_id, declarative_state
from harness.conformance.subject_form import FormsOfRun, ambiguous_subject, in_form, prefixed_names
from harness.report.html_report import HtmlReport
from harness.report.json_report import JsonReport
from harness.report.markdown import MarkdownReport

ALICE = f"consumer:{consumer_id({'username': 'alice'})}"

#: The fake gateway names in its events whatever the header x-tenant-id is.
CONSUMERS = """\
id: consumers
title: Consumers are billed by name
rules: [SUB-1, FLT-1]
gateway: {consumers: [{username: alice}, {username: bob, id: 6f0a9d0e-58d2-4f6e-9f5e-2d6a3c1b7e11}]}
plugin: {name: metering-and-billing, config: {subject: {look_up_value_in: consumer}}}
traffic:
  - {id: alice, path: /anything, headers: {x-tenant-id: alice}}
  - {id: bob, path: /anything, headers: {x-tenant-id: bob}}
expect:
  events: [{of: alice, subject: alice}, {of: bob, subject: {one_of: [bob, robert]}}]
  deliveries: [{subjects: [alice]}, {subjects: [bob]}]
  within: 0.5
"""
BOB = "consumer:6f0a9d0e-58d2-4f6e-9f5e-2d6a3c1b7e11"

TWO_SOURCES = """\
id: two-sources
title: A Consumer and a header on one lane
rules: [SUB-1]
plugins:
  - {name: metering-and-billing, route: example-route, config: {}}
  - {name: metering-and-billing, config: {subject: {look_up_value_in: header, field: X-Tenant-Id}}}
traffic: [{id: r, path: /anything, headers: {x-tenant-id: TENANT}}]
expect: {events: [{of: r, subject: alice}]}
"""


def named(alice: str, bob: str) -> Emit:
    names = {"alice": alice, "bob": bob}

    def emit(endpoint: Endpoint, tenant: str | None) -> None:
        assert tenant is not None
        endpoint.take(event_of(names[tenant]))

    return emit


def attempt(emit: Emit, form: AskedForm, text: str = CONSUMERS, genuine: bool = False) -> ScenarioFinished:
    gateway = FakeGateway(emit, genuine=genuine)
    try:
        return run(parse_scenario(text), gateway, gateway.endpoint, Order(subject_form=form))
    finally:
        gateway.stop()


@pytest.mark.parametrize(
    ("form", "alice", "bob", "verdict"),
    [
        ("username", "alice", "bob", Verdict.PASS),
        ("username", ALICE, BOB, Verdict.FAIL),
        ("prefixed-id", ALICE, BOB, Verdict.PASS),
        ("prefixed-id", "alice", "bob", Verdict.FAIL),
        ("auto", "alice", "bob", Verdict.PASS),
        ("auto", ALICE, BOB, Verdict.PASS),
        ("auto", "alice", ALICE, Verdict.FAIL),
        ("auto", "consumer:alice", "consumer:bob", Verdict.FAIL),
    ],
)
def test_consumers_must_be_named_in_the_form_that_is_required(
    form: AskedForm, alice: str, bob: str, verdict: Verdict
) -> None:
    assert attempt(named(alice, bob), form).verdict is verdict


def test_what_is_expected_is_told_in_the_form_that_was_judged_by() -> None:
    finished = attempt(named(ALICE, "someone"), "auto")
    assert finished.subject_forms == {"prefixed-id": ALICE}
    assert BOB in str([failure.expected for failure in finished.failures])


def test_two_forms_in_one_scenario_break_the_rule_about_them() -> None:
    finished = attempt(named("alice", BOB), "auto")
    assert ("SUB-1",) in [failure.rules for failure in finished.failures]
    assert f"Consumers are named in two forms: 'alice' and '{BOB}'" in messages(finished)
    assert Check.SUBJECT_FORM in {failure.check for failure in finished.failures}
    assert finished.subject_forms == {"username": "alice", "prefixed-id": BOB}


def test_a_consumer_has_in_the_gateway_the_id_that_is_expected_in_events() -> None:
    access = {"main": LaneAccess("http://ingest.test", "https://ingest.test", "token")}
    states = [declarative_state(parse_scenario(CONSUMERS), access, name) for name in ("one", "another")]
    assert [consumer["id"] for consumer in states[0]["consumers"]] == [ALICE[9:], BOB[9:]]
    assert states[0]["consumers"] == states[1]["consumers"]


def test_the_name_of_a_header_is_no_consumer() -> None:
    """A subject from a header or a field has one form, whatever Consumer is called so."""
    by_header = CONSUMERS.replace("look_up_value_in: consumer", "look_up_value_in: header, field: x-tenant-id")
    by_field = CONSUMERS.replace("look_up_value_in: consumer", "look_up_value_in: consumer, field: username")
    for text in (by_header, by_field):
        given_scenario = parse_scenario(text)
        assert in_form(given_scenario, "prefixed-id") == given_scenario
        finished = attempt(named("alice", "bob"), "prefixed-id", text)
        assert (finished.verdict, finished.subject_forms) == (Verdict.PASS, {})


def test_a_subject_that_may_be_either_is_judged_by_usernames_alone() -> None:
    doubtful = parse_scenario(TWO_SOURCES.replace("TENANT", "alice"))
    assert "'alice'" in str(ambiguous_subject(doubtful))
    finished = attempt(named("alice", "bob"), "auto", TWO_SOURCES.replace("TENANT", "alice"))
    assert finished.verdict is Verdict.SKIP and "--subject-form username" in finished.reason
    clear = parse_scenario(TWO_SOURCES.replace("TENANT", "acme"))
    assert ambiguous_subject(clear) is None
    assert in_form(clear, "prefixed-id").expect["events"][0]["subject"] == ALICE


def test_an_application_of_an_exchange_has_two_forms_too() -> None:
    text = """\
id: application
title: An application is billed
rules: [SUB-4]
plugin: {name: metering-and-billing, config: {subject: {look_up_value_in: application}}}
exchanges:
  - id: app
    exchange:
      request: {method: GET, path: /, query: "", headers: [], started_at: 1}
      response: {status: 200, size_bytes: 1, ended_at: 2}
      application: {id: app-7}
      consumer: {id: 6f0a9d0e-58d2-4f6e-9f5e-2d6a3c1b7e11, username: alice}
expect: {events: [{of: app, subject: app-7}]}
"""
    assert in_form(parse_scenario(text), "prefixed-id").expect["events"][0]["subject"] == "app:app-7"
    by_consumer = parse_scenario(
        text.replace("application}", "consumer}").replace("subject: app-7", "subject: alice")
    )
    assert in_form(by_consumer, "prefixed-id").expect["events"][0]["subject"] == BOB


NAMES = st.from_regex(r"[a-z][a-z0-9 .-]{0,8}", fullmatch=True)


@settings(max_examples=100, derandomize=True)
@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), NAMES)
def test_every_consumer_has_one_prefixed_name_of_its_own_and_nobody_else_has_one(
    names: list[str], other: str
) -> None:
    gateway = {"consumers": [{"username": name} for name in names]}
    plugin = {"name": "metering-and-billing"}
    known = Scenario(
        "s", "t", ("SUB-1",), ("kong-3.16",), "traffic", "f.yaml", {}, gateway=gateway, plugins=(plugin,)
    )
    assert prefixed_names(known) == {"main": {name: f"consumer:{consumer_id({'username': name})}" for name in names}}
    assert len(set(prefixed_names(known)["main"].values())) == len(names)
    expect = {"events": [{"subject": name} for name in [*names, other]]}
    subjects = [event["subject"] for event in in_form(replaced(known, expect), "prefixed-id").expect["events"]]
    assert subjects == [*prefixed_names(known)["main"].values(), prefixed_names(known)["main"].get(other, other)]


def replaced(known: Scenario, expect: dict[str, Any]) -> Scenario:
    return Scenario(
        *(known.id, known.title, known.rules, known.profiles, known.kind, known.file, expect),
        gateway=known.gateway,
        plugins=known.plugins,
    )


# -------------------------------------------------------------------------- one form throughout a run


def of_run(name: str) -> Scenario:
    return parse_scenario(CONSUMERS.replace("id: consumers", f"id: {name}"), f"/mine/{name}.yaml")


def saw(name: str, *forms: SubjectForm, **given_fields: Any) -> ScenarioFinished:
    subjects = {form: {"username": "alice", "prefixed-id": ALICE}[form] for form in forms}
    return scenario(name, Verdict.PASS, "FLT-1", subject_forms=subjects, **given_fields)


class Results:
    """A pool whose scenarios are all done."""

    def __init__(self, *finished: ScenarioFinished) -> None:
        self.finished = finished

    def submit_all(self, scenarios: list[Scenario]) -> dict[str, Future[ScenarioFinished]]:
        futures: dict[str, Future[ScenarioFinished]] = {}
        for one in self.finished:
            futures[one.id] = Future()
            futures[one.id].set_result(one)
        return futures


def tallied(*finished: ScenarioFinished, form: AskedForm = "auto", strict: bool = False) -> Tally:
    tally = Tally()
    plugin = ConformancePlugin(
        open_pool=lambda: None,  # type: ignore[arg-type, return-value]
        reports=(tally,),
        wanted=lambda one: True,
        rules=rules_of("kong-3.16"),
        target="url",
        profile="kong-3.16",
        version="1",
        strict=strict,
        subject_form=form,
        command=Order("kong-3.16", "url", None, strict, ("--proxy-url", "http://kong:8000")).command,
    )
    plugin._futures = Results(*finished).submit_all([])
    for one in finished:
        plugin.verdict(of_run(one.id))
    tally.take(RunFinished(1.0))
    return tally


def test_a_run_that_sees_one_form_is_good_and_says_which() -> None:
    tally = tallied(saw("first", "prefixed-id"), saw("none"), saw("third", "prefixed-id"))
    assert tally.good and tally.subject_forms == ["prefixed-id"]


def test_a_run_that_sees_both_forms_fails_by_the_rule_and_names_two_scenarios_once() -> None:
    tally = tallied(saw("none"), saw("first", "username"), saw("second", "prefixed-id"), saw("third", "prefixed-id"))
    assert [one.verdict.value for one in tally.scenarios] == ["pass", "pass", "fail", "pass"]
    (failure,) = tally.scenarios[2].failures
    assert (failure.rules, failure.check) == (("SUB-1",), Check.SUBJECT_FORM)
    assert "scenario second saw" in failure.message and "scenario first in the form username" in failure.message
    assert tally.verdict("SUB-1") is Verdict.FAIL and not tally.good
    again = tally.scenarios[2].reproduce
    assert again.endswith("--proxy-url http://kong:8000 /mine/first.yaml /mine/second.yaml")


def test_with_kongs_own_plugin_both_forms_are_a_finding_unless_strict() -> None:
    lenient = saw("second", "prefixed-id", if_unsettled=Verdict.FINDING)
    tally = tallied(saw("first", "username"), lenient)
    assert tally.scenarios[1].verdict is Verdict.FINDING and tally.good


def test_a_scenario_that_failed_by_itself_stays_failed() -> None:
    forms = FormsOfRun()
    forms.judged(of_run("first"), saw("first", "username"))
    failed = scenario("second", Verdict.FAIL, "FLT-1", subject_forms={"prefixed-id": ALICE})
    judged, again = forms.judged(of_run("second"), failed)
    assert judged.verdict is Verdict.FAIL and [one.id for one in again] == ["first", "second"]


def test_with_a_form_required_each_scenario_stands_for_itself() -> None:
    assert tallied(saw("first", "username"), saw("second", "prefixed-id"), form="username").good


# -------------------------------------------------------------------------- the command line and the reports


def test_the_emulator_is_told_the_form_and_the_reports_say_it(tmp_path: Path) -> None:
    options = ["--scenario", "sub-1-consumer-username", "--scenario", "sub-4-application", "--workers", "1"]
    done = conformance("--subject-form", "prefixed-id", "--markdown", "run.md", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = "prefixed-id (required: prefixed-id)"
    assert f"Form of Consumers' names: {told}." in done.stdout
    assert f"Form of Consumers' names: {told}." in (tmp_path / "run.md").read_text()
    assert f"<dd>{told}</dd>" in (tmp_path / "reports/report.html").read_text()
    document = json.loads((tmp_path / "reports/conformance.json").read_text())
    assert document["subject_form"] == {"required": "prefixed-id", "seen": ["prefixed-id"]}
    assert all("--subject-form prefixed-id" in one["reproduce"] for one in document["scenarios"])


def test_a_self_check_takes_no_form(tmp_path: Path) -> None:
    done = conformance("--self-check", "--subject-form", "auto", cwd=tmp_path)
    assert done.returncode == 2 and "--subject-form" in done.stderr and len(done.stderr.splitlines()) == 1


def test_both_forms_are_told_in_every_report() -> None:
    events = stream([saw("first", "username"), saw("second", "prefixed-id")])
    for report in (HtmlReport(), MarkdownReport()):
        assert "username and prefixed-id (required" in feed(report, events).text()
    assert feed(JsonReport(), events).document()["subject_form"]["seen"] == ["username", "prefixed-id"]
