"""Conditions in the gateway: when they are asked, what they see, what a failing one does (CND-1, CND-3, FLT-6)."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from gateway_on_a_bench import Bench, bench, example_state, load, metering

from plugin_emulator.gateway.snapshot import Snapshot
from plugin_emulator.metering_and_billing.config import MeteringConfig
from plugin_emulator.metering_plugin import Configured
from plugin_emulator.metering_plugins import metering_runtime

KEY = "apikey: alice-key"


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


def conditioned(text: str, **scope: Any) -> dict[str, Any]:
    return metering(condition=text, **scope)


async def metered(b: Bench) -> list[str]:
    """Return the paths of the requests that were logged to a metering instance, kept-out ones being known at once."""
    await asyncio.sleep(0)
    b.gateway._statistics()  # logs what is finished
    return [exchange.request.path for _, exchange in b.runtime.logged]


@pytest.mark.parametrize(
    ("version", "text"),
    [("3.16", 'http.path.startsWith("/open/v1")'), ("3.14", 'http.path ^= "/open/v1"')],
)
@in_a_loop
async def test_flt_6_a_request_for_which_the_condition_is_false_is_answered_and_not_metered(
    version: str, text: str
) -> None:
    async with bench(version=version, plugins=[conditioned(text)]) as b, b.client() as client:
        for path in ("/open/v1", "/open/v2", "/open/x/../v1/a"):
            assert (await client.get(path)).status == 200
        assert await metered(b) == ["/open/v1", "/open/x/../v1/a"]
        (instance,) = b.runtime.instances
        assert b.runtime.kept_out == [(instance, "FLT-6")]
        assert b.log == []


@in_a_loop
async def test_cnd_1_the_condition_is_asked_after_authentication_with_the_headers_of_the_consumer() -> None:
    text = (
        'consumer.username == "alice" && http.headers.x_consumer_username == "alice"'
        " && plugins.key_auth.access_has_executed && !plugins.metering_and_billing.access_has_executed"
        " && plugins.metering_and_billing.is_matched && !has(http.headers.apikey)"
    )
    plugin = conditioned(text)
    async with bench(key_auth={"hide_credentials": True}, plugins=[plugin]) as b, b.client() as client:
        await client.get("/anything/mine", KEY, "X-Consumer-Username: bob")
        await client.get("/open/theirs", "X-Consumer-Username: alice")
        assert await metered(b) == ["/anything/mine"]
        assert len(b.runtime.kept_out) == 1


@in_a_loop
async def test_the_condition_sees_route_service_addresses_query_and_text_beyond_ascii() -> None:
    text = (
        'route.name == "open" && route.tags == ["blue"] && service.name == "open" && service.tags == null'
        ' && http.host == "gateway.test" && net.src.ip == "127.0.0.1" && net.src.port > 0'
        ' && net.dst.ip == "127.0.0.1" && net.dst.port > 0 && net.protocol == "http"'
        ' && http.queries.q == "ä" && http.headers.x_name == "ü" && http.path == "/open/ö"'
    )
    async with bench(plugins=[conditioned(text)]) as b:
        state = example_state(b.upstream.port, plugins=[conditioned(text)])
        state["services"][1]["routes"][0]["tags"] = ["blue"]
        await b.gateway.apply(load(state))
        async with b.client() as client:
            head = "GET /open/%C3%B6?q=%C3%A4 HTTP/1.1\r\nHost: GateWay.test:8000\r\nX-Name: ü\r\n\r\n"
            await client.send(head.encode())
            assert (await client.response()).status == 200
            assert await metered(b) == ["/open/%C3%B6"]


@in_a_loop
async def test_a_rejected_or_unrouted_request_is_judged_without_consumer_when_it_is_logged() -> None:
    text = '!has(consumer.id) && http.headers.x_tenant_id == "acme"'
    async with bench(plugins=[conditioned(text)]) as b, b.client() as client:
        assert (await client.get("/anything/401", "x-tenant-id: acme")).status == 401
        assert (await client.get("/anything/no", "x-tenant-id: globex")).status == 401
        assert (await client.get("/nowhere", "x-tenant-id: acme")).status == 404
        assert (await client.get("/nobody")).status == 404
        assert await metered(b) == ["/anything/401", "/nowhere"]
        assert len(b.runtime.kept_out) == 2


@in_a_loop
async def test_the_most_specific_instance_is_chosen_before_its_condition_and_nothing_takes_its_place() -> None:
    plugins = [metering(), conditioned('http.method == "POST"', route="open")]
    async with bench(plugins=plugins) as b, b.client() as client:
        await client.get("/open/get")
        await client.get("/open/post", method="POST")
        await client.get("/anything", KEY)
        assert await metered(b) == ["/open/post", "/anything"]
        specific, general = (instance for instance, _ in b.runtime.logged)
        assert b.runtime.kept_out == [(specific, "FLT-6")]
        assert specific != general


@in_a_loop
async def test_cnd_3_a_condition_that_fails_answers_500_is_logged_once_and_nothing_is_metered() -> None:
    plugin = conditioned('http.headers.x_tenant_id.startsWith("ac")', instance_name="billing")
    async with bench(plugins=[plugin]) as b, b.client() as client:
        assert (await client.get("/open/a", "x-tenant-id: acme")).status == 200
        for _ in range(3):
            response = await client.get("/open/b", "authorization: Bearer s3cret")
            assert (response.status, response.json["message"]) == (500, "An unexpected error occurred")
            assert response.header("X-Kong-Request-Id") == response.json["request_id"]
        assert (await client.get("/open/c", "x-tenant-id: acme")).status == 200
        assert [request.line for request in b.upstream.received] == ["GET /a HTTP/1.1", "GET /c HTTP/1.1"]
        assert await metered(b) == ["/open/a", "/open/c"]
        (instance,) = b.runtime.instances
        assert b.runtime.kept_out == [(instance, "CND-3")] * 3
        (line,) = b.log
        assert line.startswith(
            f"error evaluating the condition of plugin 'metering-and-billing' (id {instance}): no "
        )
        assert "s3cret" not in line


@in_a_loop
async def test_a_fallback_keeps_the_client_from_a_500() -> None:
    plugin = conditioned('default(http.headers.x_tenant_id.startsWith("ac"), false)')
    async with bench(plugins=[plugin]) as b, b.client() as client:
        assert (await client.get("/open/a", "x-tenant-id: acme")).status == 200
        assert (await client.get("/open/b")).status == 200
        assert await metered(b) == ["/open/a"]


@in_a_loop
async def test_key_auth_lets_a_request_through_unauthenticated_when_its_condition_is_false() -> None:
    entity = {"condition": 'http.path != "/anything/health" && !plugins.key_auth.access_has_executed'}
    plugin = conditioned('plugins.key_auth.access_has_executed || http.path == "/anything/health"')
    async with bench(key_auth_entity=entity, plugins=[plugin]) as b, b.client() as client:
        assert (await client.get("/anything/health")).status == 200
        assert (await client.get("/anything/health", KEY)).status == 200
        assert (await client.get("/anything")).status == 401
        assert (await client.get("/anything", KEY)).status == 200
        await metered(b)
        consumers = [exchange.consumer and exchange.consumer.username for _, exchange in b.runtime.logged]
        assert consumers == [None, None, None, "alice"]


@in_a_loop
async def test_key_auth_whose_condition_fails_answers_500_and_the_request_is_metered_with_it() -> None:
    entity = {"condition": 'kong.ctx.shared.flag == "on"'}
    async with bench(key_auth_entity=entity) as b, b.client() as client:
        for _ in range(2):
            assert (await client.get("/anything", KEY)).status == 500
        assert await metered(b) == ["/anything"] * 2
        assert [exchange.response.status for _, exchange in b.runtime.logged] == [500, 500]
        (line,) = b.log
        assert "plugin 'key-auth'" in line and "no such key: flag" in line


@in_a_loop
async def test_a_condition_on_key_auth_holds_for_keys_in_the_body_too() -> None:
    entity = {"condition": 'http.method == "PUT"'}
    body = json.dumps({"apikey": "alice-key"})
    async with bench(key_auth={"key_in_body": True}, key_auth_entity=entity) as b, b.client() as client:
        for method, sent, status in (("PUT", body, 200), ("PUT", "{}", 401), ("PATCH", "{}", 200)):
            await client.send(
                f"{method} /anything HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(sent)}\r\n\r\n{sent}"
            )
            assert (await client.response()).status == status


@in_a_loop
async def test_a_new_configuration_brings_its_conditions_with_it() -> None:
    async with bench(plugins=[conditioned('http.method == "POST"')]) as b, b.client() as client:
        await client.get("/open/1")
        await b.gateway.apply(load(example_state(b.upstream.port, plugins=[metering()])))
        await client.get("/open/2")
        await b.gateway.apply(load(example_state(b.upstream.port, plugins=[conditioned('http.method == "PUT"')])))
        await client.get("/open/3")
        assert await metered(b) == ["/open/2"]


def test_routes_whose_plugins_have_no_condition_carry_none() -> None:
    state = load(example_state(1, plugins=[conditioned("true", route="open"), metering()]))
    snapshot = Snapshot(state, via="kong", proxy_port=8000)
    assert [chain.conditions is not None for chain in snapshot._chains.values()] == [False, True]
    assert snapshot.unrouted.conditions is None


def test_a_disabled_instance_with_a_condition_is_no_plugin_of_the_route() -> None:
    plugins = [conditioned("plugins.key_auth.is_matched == true"), {"name": "key-auth", "enabled": False}]
    state = load(example_state(1, plugins=plugins))
    conditions = Snapshot(state, via="kong", proxy_port=8000).unrouted.conditions
    assert conditions is not None
    assert {name: plugin.is_matched for name, plugin in conditions.plugins.items()} == {
        "key_auth": False,  # the one on the Service
        "metering_and_billing": True,
    }


@in_a_loop
async def test_drp_4_what_a_condition_keeps_out_is_counted_with_its_rule() -> None:
    runtime = metering_runtime()
    runtime.configure({"i": Configured("metering-and-billing", MeteringConfig("http://127.0.0.1:9/", "t"))})
    runtime.keep_out("i", "FLT-6", "the condition is false")
    runtime.keep_out("i", "FLT-6", "the condition is false")
    runtime.keep_out("gone", "FLT-6", "the condition is false")
    counted = runtime.statistics()["i"]
    assert (counted["requests"], counted["events"]) == (2, 0)
    assert counted["dropped"] == {"FLT-6: the condition is false": 2}
    await runtime.stop(graceful=False)
