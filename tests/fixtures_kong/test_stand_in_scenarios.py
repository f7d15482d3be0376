"""The scenarios of kind exchanges, run through the stand-in plugin and judged as for every other target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from stand_in import FIXTURES, StandIn

from harness.conformance.outcome import Verdict
from harness.conformance.runner import Order, run
from harness.conformance.scenario import Scenario, read_scenarios
from harness.targets.stand_in import stand_in_limits
from harness.targets.target import Capability

#: What open-source Kong has no notion of, so that the plugin cannot know it.
NOT_IN_OPEN_SOURCE = {"sub-4-application", "sub-5-application-field", "flt-6-exchange"}


class StandInTarget:
    """The stand-in's log phase as a target that takes exchanges."""

    name = "stand-in"
    version = "3.16"
    genuine = False
    clock_tolerance = 0.0
    limits = stand_in_limits("kong-3.16")
    proxy_url = ""
    capabilities: frozenset[Capability] = frozenset({"exchanges"})

    def pipeline_events(
        self, plugin: Mapping[str, Any], exchanges: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        stand_in = StandIn(plugin.get("config", {}))
        return [stand_in.outcome(exchange) for exchange in exchanges]


SCENARIOS = [one for one in read_scenarios([FIXTURES / "scenarios"]) if one.kind == "exchanges"]


@pytest.mark.parametrize("scenario", [pytest.param(one, id=one.id) for one in SCENARIOS])
def test_the_scenario_passes_as_it_does_for_the_emulator(scenario: Scenario) -> None:
    finished = run(scenario, StandInTarget(), None, Order("kong-3.16"))  # type: ignore[arg-type]
    if scenario.id in NOT_IN_OPEN_SOURCE:
        assert finished.verdict is Verdict.SKIP and "stand-in plugin" in finished.reason
    else:
        assert finished.verdict is Verdict.PASS, finished


def test_every_exception_names_a_scenario() -> None:
    assert set(NOT_IN_OPEN_SOURCE) < {one.id for one in SCENARIOS}


def test_a_target_that_drops_events_fails_the_scenarios() -> None:
    class Deaf(StandInTarget):
        def pipeline_events(self, plugin: Any, exchanges: Sequence[Any]) -> list[dict[str, Any]]:
            return [{"events": [], "dropped": None} for _ in exchanges]

    scenario = next(one for one in SCENARIOS if one.id == "evt-13-upstream-retries")
    assert run(scenario, Deaf(), None, Order("kong-3.16")).verdict is Verdict.FAIL  # type: ignore[arg-type]
