"""What a gateway cannot do is a skip with the reason; the stand-in plugin says what it is and what it cannot do."""

from __future__ import annotations

from typing import Any

import pytest

from harness.conformance.applicability import skip_reason
from harness.conformance.scenario import parse_scenario, read_scenarios
from harness.resources import scenarios
from harness.targets.docker_kong import DockerKongTarget, DockerWish
from harness.targets.limits import NO_LIMITS, Limits
from harness.targets.stand_in import runs_the_stand_in, stand_in_limits

LIMITS = Limits(
    rules={"CFG-8": "no names"},
    plugin_fields={"condition": "no conditions"},
    subject_sources={"application": "no portal"},
    event_fields={"service_port": "another port"},
)


class Gateway:
    """What is asked of a target before a scenario is run."""

    name = "fake"
    capabilities = frozenset({"proxy", "exchanges", "restart", "log"})

    def __init__(self, limits: Limits) -> None:
        self.limits = limits


def reason(text: str, limits: Limits = LIMITS) -> str | None:
    head = "id: one\ntitle: One thing and its reason\nprofiles: [kong-3.16]\n"
    return skip_reason(parse_scenario(head + text), Gateway(limits), "kong-3.16")  # type: ignore[arg-type]


PLUGIN = "plugin: {name: metering-and-billing, config: {}}\n"
TRAFFIC = "traffic: [{id: r, path: /anything}]\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"rules: [EVT-6]\n{PLUGIN}{TRAFFIC}expect: {{count: 1}}", None),
        (f"rules: [EVT-6, CFG-8]\n{PLUGIN}{TRAFFIC}expect: {{count: 1}}", "no names"),
        (
            "rules: [EVT-6]\nplugin: {name: metering-and-billing, condition: x, config: {}}\n"
            f"{TRAFFIC}expect: {{count: 1}}",
            "no conditions",
        ),
        (
            f"rules: [LIF-3]\n{PLUGIN}"
            "traffic: [{path: /a}, {reconfigure: [{name: metering-and-billing, condition: x}]}]\nexpect: {count: 1}",
            "no conditions",
        ),
        (
            "rules: [SUB-5]\n"
            "plugin: {name: metering-and-billing, config: {subject: {look_up_value_in: application}}}\n"
            f"{TRAFFIC}expect: {{count: 1}}",
            "no portal",
        ),
        (
            f"rules: [EVT-6]\n{PLUGIN}{TRAFFIC}expect: {{events: [{{of: r, data: {{service_port: 80}}}}]}}",
            "another port",
        ),
        (
            f"rules: [EVT-6]\n{PLUGIN}{TRAFFIC}"
            "expect: {events: [{of: r, data: {service_port: {absent: true}}}]}",
            None,
        ),
    ],
)
def test_a_scenario_beyond_the_limits_of_a_gateway_is_skipped_with_the_reason(text: str, told: str | None) -> None:
    assert reason(text) == told
    assert reason(text, NO_LIMITS) is None


def test_every_reason_of_the_stand_in_names_it() -> None:
    limits = stand_in_limits("kong-3.14")
    parts = (limits.rules, limits.plugin_fields, limits.subject_sources, limits.event_fields)
    assert all("stand-in plugin" in reason for part in parts for reason in part.values())


def test_the_stand_in_runs_every_scenario_but_those_of_enterprise_and_of_old_names() -> None:
    """A limit that grew beyond what it is for would hide scenarios that the stand-in can run."""
    kong = Gateway(stand_in_limits("kong-3.16"))
    skipped = {
        rule
        for scenario in read_scenarios([scenarios()])
        if scenario.kind in ("traffic", "configuration") and "kong-3.16" in scenario.profiles
        if skip_reason(scenario, kong, "kong-3.16") is not None  # type: ignore[arg-type]
        for rule in scenario.rules[:1]
    }
    assert skipped <= {"CFG-8", "FLT-6", *(f"CND-{number}" for number in range(1, 7))}


@pytest.mark.parametrize(
    ("information", "stand_in"),
    [
        ({"plugins": {"available_on_server": {"metering-and-billing": {"version": "1.0.0-stand-in"}}}}, True),
        ({"plugins": {"available_on_server": {"metering-and-billing": {"version": "3.14.0"}}}}, False),
        ({"plugins": {"available_on_server": {"metering-and-billing": True}}}, False),
        ({"plugins": {"available_on_server": {}}}, False),
        ({"plugins": []}, False),
        ({}, False),
    ],
)
def test_a_gateway_tells_by_the_plugins_version_that_it_has_the_stand_in(
    information: dict[str, Any], stand_in: bool
) -> None:
    assert runs_the_stand_in(information) is stand_in


@pytest.mark.parametrize(
    ("wish", "genuine"),
    [
        (DockerWish("kong:3.9"), False),
        (DockerWish("kong/kong-gateway:3.14"), True),
        (DockerWish("kong/kong-gateway:3.14", plugin="stand-in"), False),
        (DockerWish("mine:1", plugin="own"), True),
    ],
)
def test_only_kongs_own_plugin_is_genuine_and_without_limits(wish: DockerWish, genuine: bool) -> None:
    """A break of an assumed rule is a finding for a genuine plugin alone; the stand-in was made to keep them."""
    target = DockerKongTarget("kong-3.16", wish)
    assert target.genuine is genuine
    assert (target.limits == NO_LIMITS) is genuine
    assert 0.001 <= target.clock_tolerance <= 0.01
