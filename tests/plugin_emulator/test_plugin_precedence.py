"""Which instance of a plugin runs (SPEC FLT-2, FLT-3, FLT-7)."""

from __future__ import annotations

import itertools

import pytest

from plugin_emulator.gateway.entities import Consumer, PluginInstance, Route, Service
from plugin_emulator.gateway.key_auth_config import KeyAuthConfig
from plugin_emulator.gateway.plugin_precedence import PluginPrecedence

SERVICE, ROUTE, CONSUMER = Service("s", "host"), Route("r"), Consumer("c", "alice")
ORDER = ["rsc", "rc", "sc", "rs", "c", "r", "s", ""]


def instance(scope: str, *, enabled: bool = True, name: str = "p") -> PluginInstance:
    return PluginInstance(
        scope or "global",
        name,
        KeyAuthConfig(),
        enabled,
        route=ROUTE if "r" in scope else None,
        service=SERVICE if "s" in scope else None,
        consumer=CONSUMER if "c" in scope else None,
    )


@pytest.mark.parametrize(("stronger", "weaker"), list(itertools.pairwise(ORDER)))
def test_the_more_specific_of_two_instances_runs(stronger: str, weaker: str) -> None:
    precedence = PluginPrecedence([instance(weaker), instance(stronger)], "p")
    chosen = precedence.select("r", "s", "c")
    assert chosen is not None
    assert chosen.id == stronger


def test_a_disabled_instance_leaves_the_field_to_the_next() -> None:
    precedence = PluginPrecedence([instance("r", enabled=False), instance("")], "p")
    chosen = precedence.select("r", "s", None)
    assert chosen is not None
    assert chosen.id == "global"


def test_without_a_route_only_a_global_instance_runs() -> None:
    scoped = [instance(scope) for scope in ORDER if scope]
    assert PluginPrecedence(scoped, "p").select() is None
    chosen = PluginPrecedence([*scoped, instance("")], "p").select()
    assert chosen is not None
    assert chosen.id == "global"


def test_a_consumer_scoped_instance_does_not_run_without_a_consumer() -> None:
    precedence = PluginPrecedence([instance("c"), instance("rc")], "p")
    assert precedence.select("r", "s", None) is None
    assert precedence.select("r", "s", "someone else") is None


def test_an_instance_of_another_plugin_does_not_count() -> None:
    assert PluginPrecedence([instance("r", name="other")], "p").select("r", "s", None) is None
