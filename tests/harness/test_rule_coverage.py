"""No rule goes untested: every rule of every profile has a scenario that holds for it."""

from __future__ import annotations

import pytest

from harness.conformance.profiles import profiles
from harness.conformance.rules import rules_of
from harness.conformance.scenario import read_scenario
from harness.resources import scenarios

SCENARIOS = [read_scenario(path) for path in sorted(scenarios().rglob("*.yaml"))]


@pytest.mark.parametrize("profile", profiles())
def test_every_rule_of_a_profile_has_a_scenario(profile: str) -> None:
    shown = {rule for scenario in SCENARIOS if profile in scenario.profiles for rule in scenario.rules}
    assert [rule.id for rule in rules_of(profile) if rule.id not in shown] == []
