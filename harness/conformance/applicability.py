"""Whether a scenario can be run against a target at all, and why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.conformance.scenario import Kind, Scenario
from harness.targets.limits import Limits
from harness.targets.target import Capability, Target

_NEEDS: Mapping[Kind, Capability] = {
    "traffic": "proxy",
    "configuration": "proxy",
    "simulate": "simulate",
    "exchanges": "exchanges",
    "advice": "advice",
}


def skip_reason(scenario: Scenario, target: Target, profile: str) -> str | None:
    """Return why ``scenario`` cannot be run against ``target`` under ``profile``, or None when it can."""
    if profile not in scenario.profiles:
        return f"holds for {', '.join(scenario.profiles)}, not {profile}"
    need = _NEEDS[scenario.kind]
    if need not in target.capabilities:
        return f"target {target.name} cannot run scenarios of kind {scenario.kind}"
    if _led_by_option(scenario) and "plugin_options" not in target.capabilities:
        plugin = scenario.profile.plugin
        return f"no setting leads the {plugin} plugin of target {target.name} to the fake ingest endpoint (AMB-13)"
    if "restart" not in target.capabilities:
        if any(step.restart is not None for step in scenario.steps):
            return f"target {target.name} cannot be stopped and started again"
        if any(step.freeze is not None for step in scenario.steps):
            return f"target {target.name} cannot be made to stand still"
    if "log" not in target.capabilities and "log" in scenario.expect:
        return f"the log of target {target.name} cannot be read"
    return next(_beyond(scenario, target.limits), None)


def _led_by_option(scenario: Scenario) -> bool:
    """Return whether what a scenario runs has to be led to the ingest endpoint otherwise than by configuration."""
    return _NEEDS[scenario.kind] == "proxy" and scenario.profile.endpoint_option is not None


def plugins_of(scenario: Scenario) -> Sequence[Mapping[str, Any]]:
    """Return the plugin entities of a scenario, those that it is reconfigured to among them."""
    return [*scenario.plugins, *(plugin for step in scenario.steps for plugin in step.reconfigure or ())]


def _beyond(scenario: Scenario, limits: Limits) -> Iterator[str]:
    """Yield why the scenario is beyond ``limits``."""
    for rule in scenario.rules:
        if rule in limits.rules:
            yield limits.rules[rule]
    for name, reason in limits.plugin_fields.items():
        if any(plugin.get(name) is not None for plugin in plugins_of(scenario)):
            yield reason
    sources = {plugin.get("config", {}).get("subject", {}).get("look_up_value_in") for plugin in plugins_of(scenario)}
    for source, reason in limits.subject_sources.items():
        if source in sources:
            yield reason
    for name, reason in limits.event_fields.items():
        expected = [
            event["data"][name] for event in scenario.expect.get("events", ()) if name in event.get("data", {})
        ]
        if any(one != {"absent": True} for one in expected):
            yield reason
