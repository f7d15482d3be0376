"""The declarative configuration of a scenario, as data for the gateway."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.conformance.profiles import metering_plugins
from harness.conformance.scenario import MAIN_LANE, Scenario

METERING = "metering-and-billing"

#: The example of Kong's own how-to guides.
EXAMPLE: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "services": [{"name": "example-service", "url": "http://httpbin.konghq.com/anything"}],
    "routes": [{"name": "example-route", "paths": ["/anything"], "service": {"name": "example-service"}}],
    "consumers": [{"username": "alice", "keyauth_credentials": [{"key": "alice-key"}]}],
}


@dataclass(frozen=True, slots=True)
class LaneAccess:
    """Where a lane is, over TLS with an untrusted certificate too, and the token it accepts."""

    endpoint: str
    untrusted: str
    token: str = field(repr=False)


def declarative_state(
    scenario: Scenario,
    lanes: Mapping[str, LaneAccess],
    run_name: str,
    plugins: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the scenario's configuration, ``plugins`` in place of its own when given, endpoint and token filled in.

    Plugins get ids of their own for each ``run_name``, so that a gateway never takes one run's plugin for another's
    and hands it what is still queued (LIF-3); Consumers have the same ones always. The result holds the tokens: it
    is for the gateway, not for logs.
    """
    state: dict[str, Any] = {"_format_version": "3.0"}
    for kind, default in EXAMPLE.items():
        state[kind] = copy.deepcopy(list(scenario.gateway.get(kind, default)))
    for consumer in state["consumers"]:
        consumer["id"] = consumer_id(consumer)
    entities = [_plugin(plugin, lanes, run_name) for plugin in (scenario.plugins if plugins is None else plugins)]
    if scenario.auth:
        entities += [
            {"name": scenario.auth, "service": service["name"], "config": {"key_names": ["apikey"]}}
            for service in state["services"]
        ]
    state["plugins"] = entities
    return state


def plugin_options(scenario: Scenario, lanes: Mapping[str, LaneAccess]) -> dict[str, dict[str, Any]]:
    """Return by plugin what of its make the scenario needs, beside its configuration.

    A plugin whose configuration cannot lead it to the ingest endpoint is led there by an option (AMB-13), all its
    instances to one.
    """
    options = {plugin: dict(given) for plugin, given in scenario.plugin_options.items()}
    if scenario.profile.endpoint_option is not None:
        options.setdefault(scenario.profile.plugin, {})[scenario.profile.endpoint_option] = lanes[MAIN_LANE].endpoint
    return options


def consumers_of(scenario: Scenario) -> Sequence[Mapping[str, Any]]:
    """Return the Consumers of a scenario's gateway, as it writes them."""
    consumers: Sequence[Mapping[str, Any]] = scenario.gateway.get("consumers", EXAMPLE["consumers"])
    return consumers


def consumer_id(consumer: Mapping[str, Any]) -> str:
    """Return the id of a scenario's Consumer: its own, or one that its name alone decides, in every run.

    An event may name the Consumer by it (SUB-1).
    """
    if consumer.get("id"):
        return str(consumer["id"])
    name = consumer.get("username") or consumer.get("custom_id")
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"kong-metering:consumer:{name}"))


def _plugin(plugin: Mapping[str, Any], lanes: Mapping[str, LaneAccess], run_name: str) -> dict[str, Any]:
    entity = copy.deepcopy(dict(plugin))
    identity = "|".join(str(entity.get(key)) for key in ("name", "service", "route", "consumer", "instance_name"))
    entity["id"] = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{run_name}|{identity}"))
    lane = lanes[entity.pop("lane", MAIN_LANE)]
    profile = metering_plugins().get(entity["name"])
    if profile is not None:
        _CREDENTIALS[profile.plugin](entity.setdefault("config", {}), lane)
    return entity


def _ingest_endpoint_and_token(config: dict[str, Any], lane: LaneAccess) -> None:
    template = str(config.get("ingest_endpoint", "{ingest}"))
    for word, value in (("{ingest}", lane.endpoint), ("{untrusted_ingest}", lane.untrusted)):
        template = template.replace(word, value)
    config["ingest_endpoint"] = template
    config.setdefault("api_token", lane.token)


def _api_key(config: dict[str, Any], lane: LaneAccess) -> None:
    config.setdefault("apiKey", lane.token)


#: By plugin: how its configuration is given what it needs to be let in at a lane.
_CREDENTIALS: Mapping[str, Callable[[dict[str, Any], LaneAccess], None]] = {
    METERING: _ingest_endpoint_and_token,
    "amberflo": _api_key,
}
