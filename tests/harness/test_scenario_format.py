"""The scenario format: what is accepted, and what a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import resources
from harness.conformance.rules import catalogue
from harness.conformance.scenario import parse_scenario, read_scenarios, scenario_schema
from plugin_emulator.documents import InvalidDocument

GOOD = """\
id: good
title: A scenario that is well formed
rules: [DRP-1]
plugin: {name: metering-and-billing, config: {}}
traffic:
  - {id: one, path: /anything, query: a=1, headers: {x-a: [first, second], X-B: b}, repeat: 2}
expect:
  events: [{of: one, subject: first}]
"""


def problems(text: str) -> str:
    with pytest.raises(InvalidDocument) as caught:
        parse_scenario(text, "mine.yaml")
    return str(caught.value)


def test_a_request_keeps_repeated_headers_in_order() -> None:
    step = parse_scenario(GOOD).steps[0]
    assert step.headers == (("x-a", "first"), ("x-a", "second"), ("X-B", "b"))
    assert (step.method, step.target, step.repeat) == ("GET", "/anything?a=1", 2)


def test_profiles_default_to_those_of_all_its_rules() -> None:
    assert parse_scenario(GOOD).profiles == ("kong-3.14", "kong-3.15", "kong-3.16")
    assert parse_scenario(GOOD.replace("[DRP-1]", "[DRP-1, FLT-4]")).profiles == ("kong-3.16",)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("traffic:", "trafic:", "mine.yaml:5: /trafic: unknown key 'trafic' (did you mean 'traffic'?)"),
        ("repeat: 2", "repeat: two", "mine.yaml:6: /traffic/0/repeat"),
        ("repeat: 2", "repaet: 2", "mine.yaml:6: /traffic/0/repaet: unknown key 'repaet' (did you mean 'repeat'?)"),
        ("subject: first", "subjekt: first", "mine.yaml:8: /expect/events/0/subjekt: unknown key 'subjekt'"),
        ("subject: first", "subject: {match: x}", "mine.yaml:8: /expect/events/0/subject/match: unknown key 'match'"),
        ("DRP-1", "DRP-9", "mine.yaml:3: /rules/0: no rule is called 'DRP-9'"),
        ("of: one", "of: two", "mine.yaml:8: /expect/events/0/of: no request is called 'two'"),
        ("id: good\n", "", "'id' is missing"),
        ("of: one, subject: first", "time: {between: [request.start, request.end]}", "needs `of`"),
        ("subject: first", "subject: {same_as: other.id}", "no expected event is called 'other'"),
        ("subject: first", "lane: nowhere", "no lane is called 'nowhere'"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_place(old: str, new: str, told: str) -> None:
    assert told in problems(GOOD.replace(old, new))


def test_virtual_time_and_traffic_cannot_stand_together() -> None:
    text = (
        GOOD + "simulate: {queue: {}, arrivals: [{t: 0, id: e1, bytes: 1}], ingest: [{status: 202, duration: 0}]}\n"
    )
    assert "does not go with this kind of scenario" in problems(text)


def test_a_scenario_that_drives_nothing_is_refused() -> None:
    assert "nothing is driven" in problems(
        "id: idle\ntitle: Nothing happens here\nrules: [DRP-1]\nexpect: {count: 0}\n"
    )


def test_a_step_is_a_request_a_wait_or_a_change() -> None:
    assert "neither a request" in problems(GOOD.replace("path: /anything, ", ""))


def test_two_scenarios_cannot_have_one_id(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(GOOD)
    with pytest.raises(InvalidDocument, match=r"id 'good' is also the id of .*a\.yaml"):
        read_scenarios([tmp_path])


def test_a_directory_without_scenarios_and_a_missing_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument, match="holds no scenario"):
        read_scenarios([tmp_path])
    with pytest.raises(InvalidDocument, match="does not exist"):
        read_scenarios([tmp_path / "missing.yaml"])


def test_every_shipped_scenario_is_well_formed_and_the_groups_asked_for_are_covered() -> None:
    shipped = read_scenarios([resources.scenarios()])
    assert len(shipped) >= 45
    covered = {catalogue()[rule].group for scenario in shipped for rule in scenario.rules}
    assert {"CFG", "SUB", "DRP", "EVT", "ATR", "FLT", "BAT", "RET", "CAP", "BRK", "DLV", "LIF"} <= covered


def test_no_shipped_scenario_can_pass_without_anything_having_arrived() -> None:
    for scenario in read_scenarios([resources.scenarios()]):
        if scenario.kind in ("traffic", "exchanges"):
            events = scenario.expect.get("events", [])
            assert any(event.get("times", 1) > 0 for event in events), scenario.id


def test_every_request_of_a_shipped_scenario_is_expected_to_make_events_or_dropped() -> None:
    for scenario in read_scenarios([resources.scenarios()]):
        if scenario.kind != "traffic":
            continue
        named = {event.get("of") for event in scenario.expect["events"]} | set(scenario.expect.get("dropped", ()))
        sent = {step.id for step in scenario.steps if step.path is not None}
        assert sent - named <= {"lost", "stuck"}, scenario.id


def test_the_schema_of_the_format_describes_every_key_it_allows() -> None:
    schema = scenario_schema()
    assert schema["additionalProperties"] is False
    for name in ("step", "event", "delivery", "plugin", "exchange", "simulate", "expectArrivals", "expectTrace"):
        assert schema["$defs"][name]["additionalProperties"] is False, name
