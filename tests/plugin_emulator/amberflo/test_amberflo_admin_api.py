"""The Amberflo plugin by the Admin API: its schema, its defaults, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from admin_client import admin_call, created, send_json
from gateway_on_a_bench import Bench, bench

CONFIG = {"apiKey": "k", "meterApiName": "m", "customerHeader": "x-consumer-username"}


def run(test: Callable[[Bench], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with bench(admin=True, plugins=[]) as b:
            await test(b)

    asyncio.run(inside())


@pytest.mark.parametrize("name", ["amberflo", "metering"])
def test_an_instance_is_given_back_with_every_default_and_runs(name: str) -> None:
    async def test(b: Bench) -> None:
        made = await created(b, "/routes/open/plugins", {"name": name, "config": CONFIG})
        unset = ("methodDimension", "hostDimension", "routeDimension", "serviceDimension", "dimensionHeaders")
        assert made["config"] == CONFIG | dict.fromkeys(unset) | {
            "intervalSeconds": 1,
            "batchSize": 10,
            "debug": False,
            "replacements": {"/": ":"},
        }
        configured = b.runtime.instances[made["id"]]
        assert (configured.plugin, configured.config.batch_size) == (name, 10)

    run(test)


def test_a_change_replaces_a_map_as_a_whole() -> None:
    async def test(b: Bench) -> None:
        made = await created(b, "/plugins", {"name": "amberflo", "config": CONFIG | {"replacements": {"a": "b"}}})
        change = {"config": {"replacements": {".": "-"}, "batchSize": 7}}
        changed = (await send_json(b, "PATCH", f"/plugins/{made['id']}", change)).json
        assert changed["config"]["replacements"] == {".": "-"}
        configured = b.runtime.instances[made["id"]].config
        assert (configured.replacements, configured.batch_size) == (((".", "-"),), 7)

    run(test)


def test_what_is_not_valid_is_refused_by_name() -> None:
    async def test(b: Bench) -> None:
        answer = await send_json(b, "POST", "/plugins", {"name": "amberflo", "config": CONFIG | {"batchsize": 1}})
        assert answer.status == 400
        assert answer.json["fields"] == {"config": {"batchsize": "unknown field"}}

    run(test)


def test_the_schema_shows_maps_as_kong_does() -> None:
    async def test(b: Bench) -> None:
        shown: dict[str, Any] = (await admin_call(b, "GET", "/schemas/plugins/amberflo")).json
        (config,) = (field["config"] for field in shown["fields"] if "config" in field)
        fields = {name: field for each in config["fields"] for name, field in each.items()}
        assert fields["apiKey"]["required"] is True
        replacements = fields["replacements"]
        assert (replacements["type"], replacements["default"]) == ("map", {"/": ":"})
        assert replacements["keys"] == replacements["values"] == {"type": "string"}

    run(test)
