"""Scenarios of a plugin that sends meter records: their words, how they are led to the endpoint and judged."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from harness import resources
from harness.cli.conformance import command
from harness.conformance import checks
from harness.conformance.applicability import skip_reason
from harness.conformance.arrival_form import METER_RECORDS, USAGE_EVENTS
from harness.conformance.check_catalogue import Check
from harness.conformance.observation import Answer, Delivery, Observation
from harness.conformance.outcome import ScenarioFinished, Tally, Verdict
from harness.conformance.scenario import parse_scenario, read_scenarios
from harness.conformance.state import LaneAccess, declarative_state, plugin_options
from harness.report.html_evidence import scenario_section
from harness.targets.limits import NO_LIMITS
from plugin_emulator.documents import InvalidDocument

TEXT = """\
id: two-records
title: Two requests make a record each, in one batch
rules: [AMB-2]
plugin: {name: amberflo, config: {meterApiName: calls, customerHeader: x-customer-id, batchSize: 2}}
traffic:
  - {id: one, path: /a, headers: {x-customer-id: acme}}
  - {id: two, path: /b, headers: {x-customer-id: globex}}
  - wait_for: {records: 2}
expect:
  records:
    - name: first
      of: one
      customerId: acme
      uniqueId: {unique: true}
      meterTimeInMillis: {between: [request.start, request.end]}
      dimensions: {region: eu}
      only: true
    - of: two
      customerId: globex
      uniqueId: {unique: true}
      dimensions: {region: {same_as: first.dimensions.region}}
  deliveries: [{customers: [acme, globex]}]
"""
ACCESS = {"main": LaneAccess("http://ingest.test/lane/x/ingest", "https://ingest.test", "the-key")}


def record(customer: str, **changes: Any) -> dict[str, Any]:
    made = {"uniqueId": f"id-of-{customer}", "meterApiName": "calls", "customerId": customer, "meterValue": 1}
    return {**made, "meterTimeInMillis": 10_500, "dimensions": {"region": "eu"}, **changes}


def seen(*records: Mapping[str, Any]) -> Observation:
    answers = [Answer(step, 10.0, 11.0, 1.0, 200) for step in ("one", "two")]
    body = json.dumps(records)
    return Observation(answers, [Delivery(1, 11.0, 200, "array", "application/json", body, records, True)])


def judged(*records: Mapping[str, Any]) -> set[Check]:
    failures = checks.judge(parse_scenario(TEXT), seen(*records))
    return {check for failure in failures for check in failure.checks}


def test_records_as_expected_pass() -> None:
    assert judged(record("acme"), record("globex")) == set()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"meterTimeInMillis": 10}, {Check.FIELD_TIME}),
        ({"meterTimeInMillis": "1970-01-01T00:00:10.5Z"}, {Check.FIELD_TIME}),
        ({"dimensions": {"region": "us"}}, {Check.FIELD_EQUAL, Check.FIELD_SAME}),
        ({"dimensions": {"region": "eu", "more": "x"}}, {Check.EVENT_ONLY}),
        ({"uniqueId": "id-of-globex"}, {Check.EVENT_MISSING, Check.EVENT_CHANGED}),
        ({"customerId": "mallory"}, {Check.FIELD_EQUAL, Check.DELIVERY_SUBJECTS}),
    ],
)
def test_a_record_that_is_not_as_expected_fails(changes: dict[str, Any], found: set[Check]) -> None:
    assert judged(record("acme", **changes), record("globex")) == found


def test_a_time_of_one_form_is_none_of_the_other() -> None:
    assert METER_RECORDS.read_time(10_500) == (10.5, 0.001)
    assert USAGE_EVENTS.read_time("1970-01-01T00:00:10.5Z")[0] == 10.5
    for form, value in ((USAGE_EVENTS, 10_500), (METER_RECORDS, "1970-01-01T00:00:10.5Z"), (METER_RECORDS, True)):
        with pytest.raises(ValueError, match="no time of"):
            form.read_time(value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("  records:\n    - name", "  events:\n    - name"), "'customerId'"),
        (("{records: 2}", "{events: 2}"), "what arrives are records"),
        (("{customers:", "{subjects:"), "write customers"),
        (("[AMB-2]", "[AMB-2, EVT-3]"), "no profile has all of these rules"),
        (("rules:", "profiles: [amberflo-0.3]\nrules:"), "did you mean amberflo-0.2?"),
        (("rules:", "profiles: [amberflo-0.2, kong-3.16]\nrules:"), "are profiles of several plugins"),
        (("rules:", "plugin_options: {amberfoe: {client: later}}\nrules:"), "did you mean 'amberflo'?"),
    ],
)
def test_what_is_said_of_another_plugin_is_told(change: tuple[str, str], told: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse_scenario(TEXT.replace(*change))
    assert told in str(caught.value)


def test_the_plugin_is_led_to_its_lane_by_an_option_and_has_the_lanes_key() -> None:
    scenario = parse_scenario(TEXT.replace("rules:", "plugin_options: {amberflo: {client: later}}\nrules:"))
    assert plugin_options(scenario, ACCESS) == {"amberflo": {"client": "later", "endpoint": ACCESS["main"].endpoint}}
    (plugin,) = declarative_state(scenario, ACCESS, "run")["plugins"]
    assert plugin["config"]["apiKey"] == "the-key"
    assert "ingest_endpoint" not in plugin["config"]


def test_a_plugin_whose_configuration_says_where_to_send_needs_no_option() -> None:
    scenario = read_scenarios([resources.scenarios() / "drop" / "drp-1-no-consumer.yaml"])[0]
    assert plugin_options(scenario, ACCESS) == {}


def test_a_gateway_that_somebody_else_makes_skips_them_with_the_reason() -> None:
    class Kong:
        name = "docker"
        limits = NO_LIMITS
        capabilities = frozenset({"proxy", "restart", "log"})

    reason = skip_reason(parse_scenario(TEXT), Kong(), "amberflo-0.2")  # type: ignore[arg-type]
    assert reason == "no setting leads the amberflo plugin of target docker to the fake ingest endpoint (AMB-13)"


def test_an_arrival_that_comes_several_times_is_several_arrivals() -> None:
    text = (
        "id: many\ntitle: Arrivals for short\nrules: [AMB-6]\n"
        "simulate: {plugin: amberflo, ingest: [{status: 200, duration: 0}],\n"
        "  arrivals: [{t: 1, id: r, times: 3, every: 0.5}, {t: 9, id: last}]}\n"
        "expect: {lost: []}\n"
    )
    schedule = parse_scenario(text).schedule
    assert schedule is not None
    assert [(one["id"], one["t"]) for one in schedule["arrivals"]] == [
        ("r-1", 1.0),
        ("r-2", 1.5),
        ("r-3", 2.0),
        ("last", 9),
    ]


def test_no_scenario_on_the_wire_has_amberflos_client_follow_a_redirect() -> None:
    """A Go client does follow, and the emulated one does not: no scenario may rest on that."""
    scenarios = read_scenarios([resources.fixtures() / "scenarios" / "amberflo"])
    scripts = [script for one in scenarios for script in one.lanes.values()]
    statuses = {fault["status"] for script in scripts for fault in script if "status" in fault}
    assert {300, 500} <= statuses
    assert statuses.isdisjoint((301, 302, 303, 307, 308))


@pytest.mark.parametrize(
    "line",
    ["[error] amberflo x: no customer: …", "2026/01/01 01:01:01 [info] 1#0: [amberflo:7] ERROR: which customer?"],
)
def test_amb_1_the_line_in_the_log_is_known_by_what_it_says_and_not_by_the_emulators_words(line: str) -> None:
    """A Go plugin writes its level itself, and Kong puts its own before it."""
    (scenario,) = read_scenarios([resources.fixtures() / "scenarios" / "amberflo" / "amb-1-no-customer.yaml"])
    assert re.search(scenario.expect["log"][0]["matches"], line)


def test_the_scenarios_of_a_plugin_run_under_its_profile_alone() -> None:
    def listed(*options: str) -> str:
        return CliRunner().invoke(command, [*options, "--list"], standalone_mode=False).output

    assert "amb-2-record" not in listed()
    of_amberflo = listed("--profile", "amberflo-0.2")
    assert "amb-2-record" in of_amberflo
    assert "drp-1-no-consumer" not in of_amberflo


def test_rules_of_another_profile_are_told_with_the_profile_to_give() -> None:
    result = CliRunner().invoke(command, ["--rules", "AMB", "--dry-run"])
    assert result.exit_code == 2
    assert "give --profile amberflo-0.2" in result.output


def test_the_page_shows_records_by_their_five_aspects() -> None:
    records = [record("acme", meterTimeInMillis=1_700_000_000_000), *(record("globex") for _ in range(11))]
    finished = ScenarioFinished("s", "A title", "s.yaml", "amberflo", ("AMB-2",), Verdict.PASS, 0.1, records=records)
    page = scenario_section(finished, Tally())
    assert "12 records accepted" in page
    assert "<td>calls</td><td>acme</td><td>2023-11-14T22:13:20.000Z</td><td>1</td><td>region: eu</td>" in page
    assert page.count("<td>globex</td>") == 9
    assert "nothing" not in scenario_section(replace(finished, records=()), Tally())
