"""What every metering plugin has to be, and what hosts them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from gateway_on_a_bench import example_state, load, metering

from plugin_emulator.exchange import AccessRequest, Exchange, Request, Response
from plugin_emulator.gateway.metering_instances import MeteringSelection
from plugin_emulator.metering_plugin import Configured, Drop, MeteringPlugin
from plugin_emulator.metering_plugins import (
    BY_NAME,
    METERING_PLUGINS,
    ScheduleDecoder,
    plugin_options,
    simulate_schedule,
)
from plugin_emulator.runtime.metering_runtime import MeteringRuntime

ACCESS = AccessRequest(Request("GET", "/", [], 1.0))
EXCHANGE = Exchange(ACCESS.request, Response(200, 2.0))


def test_no_two_plugins_share_a_name_and_they_stand_in_the_order_of_their_priorities() -> None:
    assert len(BY_NAME) == sum(len(plugin.names) for plugin in METERING_PLUGINS)
    priorities = [plugin.priority for plugin in METERING_PLUGINS]
    assert priorities == sorted(priorities, reverse=True)


@pytest.mark.parametrize("plugin", METERING_PLUGINS, ids=lambda plugin: plugin.names[0])
def test_every_plugin_has_a_phase_options_with_defaults_and_a_schema(plugin: MeteringPlugin) -> None:
    assert plugin.phases
    assert isinstance(plugin.options(), msgspec.Struct)
    assert plugin.config_schema("3.16").definition["type"] == "object"
    assert [problem.pointer for problem in plugin.validate({"name": plugin.names[0]}, "3.16")] == [("config",)]


def test_options_that_are_not_given_have_their_defaults() -> None:
    options = plugin_options({"amberflo": {"shared_client": "false"}, "metering-and-billing": {}})
    assert msgspec.to_builtins(options) == {
        "metering-and-billing": {"subject_form": "username"},
        "amberflo": {"endpoint": "", "client": "2.0.2", "shared_client": False},
    }


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"stripe": {}}, LookupError),
        ({"amberflo": {"key": "x"}}, msgspec.ValidationError),
        ({"amberflo": {"client": "1"}}, msgspec.ValidationError),
        ({"amberflo": {"endpoint": "ingest.test"}}, msgspec.ValidationError),
    ],
)
def test_options_that_no_plugin_understands_are_refused(given: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        plugin_options(given)


def test_a_schedule_is_for_the_plugin_it_names_and_otherwise_for_metering_and_billing() -> None:
    arrivals = [{"t": 0.0, "id": "a"}]
    assert "held_up" in simulate_schedule({"plugin": "metering", "arrivals": arrivals})
    without = simulate_schedule({"queue": {}, "arrivals": arrivals})
    assert without == simulate_schedule({"plugin": "metering-and-billing", "queue": {}, "arrivals": arrivals})
    assert "held_up" not in without


def test_a_schedule_for_no_plugin_there_is_is_refused_with_those_there_are() -> None:
    with pytest.raises(msgspec.ValidationError, match="metering-and-billing, amberflo, metering"):
        ScheduleDecoder().decode(b'{"plugin": "stripe", "arrivals": []}')


def test_of_each_plugin_one_instance_runs_the_higher_priority_first() -> None:
    amberflo = {"apiKey": "k", "meterApiName": "m", "customerHeader": "h"}
    plugins = [
        {"name": "amberflo", "config": amberflo, "id": "00000000-0000-4000-8000-00000000000a"},
        metering(id="00000000-0000-4000-8000-00000000000b"),
        metering(id="00000000-0000-4000-8000-00000000000c", route="open"),
    ]
    state = load(example_state(9, plugins=plugins))
    selection = MeteringSelection(state.plugins)
    (on_open,) = (route.id for route in state.routes if route.name == "open")
    everywhere, there = selection.select(), selection.select(on_open)
    assert [each[-1] for each in everywhere.every] == ["b", "a"]
    assert [each[-1] for each in there.every] == ["c", "a"]
    assert [each[-1] for each in there.access] == ["a"]
    assert [each[-1] for each in there.log] == ["c"]


class Stub:
    """A plugin instance that does as it is told, and counts one event in each phase that it has."""

    def __init__(self, instance_id: str, config: Any) -> None:
        self.config = config
        self.held: list[Callable[[], None]] = []

    def configure(self, config: Any) -> None:
        self.config = config

    def access(self, request: AccessRequest, go_on: Callable[[], None]) -> int | Drop | None:
        if self.config == "hold":
            self.held.append(go_on)
            return None
        return self._made()

    def log(self, exchange: Exchange) -> int | Drop:
        return self._made() or 0

    def _made(self) -> int | Drop:
        if self.config == "fail":
            raise RuntimeError("a defect")
        return Drop("DRP-1", "nobody") if self.config == "drop" else 1

    def statistics(self) -> dict[str, Any]:
        return {"busy": False}

    async def idle(self) -> None: ...

    async def drain(self) -> None: ...

    def abandon(self) -> int:
        return 2

    async def close(self) -> None: ...


def hosted(config: str, lines: list[str] | None = None) -> MeteringRuntime:
    runtime = MeteringRuntime({"stub": (Stub, ("access", "log"))}, (lines if lines is not None else []).append)
    runtime.configure({"i": Configured("stub", config)})
    return runtime


def figures(runtime: MeteringRuntime) -> tuple[int, int, dict[str, int]]:
    one = runtime.statistics()["i"]
    return one["requests"], one["events"], one["dropped"]


def test_a_plugin_with_both_phases_counts_a_request_once_and_its_events_twice() -> None:
    runtime = hosted("")
    assert runtime.access("i", ACCESS, lambda: None)
    runtime.log("i", EXCHANGE)
    assert figures(runtime) == (1, 2, {})


def test_a_request_that_is_held_up_counts_as_one_event() -> None:
    runtime = hosted("hold")
    assert not runtime.access("i", ACCESS, lambda: None)
    assert figures(runtime) == (1, 1, {})


def test_a_drop_in_the_access_phase_lets_the_request_go_on_and_is_counted() -> None:
    runtime = hosted("drop")
    assert runtime.access("i", ACCESS, lambda: None)
    assert figures(runtime) == (1, 0, {"DRP-1: nobody": 1})


def test_a_plugins_defect_lets_the_request_go_on() -> None:
    lines: list[str] = []
    runtime = hosted("fail", lines)
    assert runtime.access("i", ACCESS, lambda: None)
    runtime.log("i", EXCHANGE)
    assert figures(runtime) == (1, 0, {"error": 2})
    assert all("RuntimeError: a defect" in line for line in lines)


def test_an_instance_nobody_knows_lets_the_request_go_on() -> None:
    assert hosted("hold").access("unknown", ACCESS, lambda: None)


def test_a_fast_stop_adds_up_what_the_instances_lose() -> None:
    async def main() -> None:
        runtime = hosted("")
        runtime.configure({"j": Configured("stub", "")})
        assert await runtime.stop(graceful=False) == 4

    asyncio.run(main())
