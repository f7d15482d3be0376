"""The Admin API: what it tells, and how it changes the configuration."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from admin_client import admin_call
from gateway_on_a_bench import Bench, bench, example_state

from plugin_emulator.documents import Problem
from plugin_emulator.gateway.admin_errors import invalid_configuration


def run(test: Any) -> None:
    async def inside() -> None:
        async with bench(admin=True) as b:
            await test(b)

    asyncio.run(inside())


def test_the_node_tells_its_version_status_and_counters() -> None:
    async def test(b: Bench) -> None:
        assert (await admin_call(b, "GET", "/")).json["version"] == "3.16.0"
        async with b.client() as client:
            await client.get("/open")
        assert (await admin_call(b, "GET", "/status")).json["server"]["total_requests"] == 1
        assert (await admin_call(b, "GET", "/metering")).json == {"requests": 1}

    run(test)


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nope", 404, "Not found"),
        ("DELETE", "/", 405, "Method not allowed"),
        ("PUT", "/config", 405, "Method not allowed"),
    ],
)
def test_what_it_does_not_know_is_refused_as_kong_does(method: str, path: str, status: int, message: str) -> None:
    async def test(b: Bench) -> None:
        response = await admin_call(b, method, path)
        assert (response.status, response.json) == (status, {"message": message})

    run(test)


@pytest.mark.parametrize("form", ["json", "wrapped", "yaml"])
def test_a_posted_configuration_takes_effect_at_once(form: str) -> None:
    async def test(b: Bench) -> None:
        state = example_state(b.upstream.port, route={"paths": ["/new"]})
        text = json.dumps(state)
        body = json.dumps({"config": text}) if form == "wrapped" else text
        content_type = "text/yaml" if form == "yaml" else "application/json"
        async with b.client() as client:
            assert (await client.get("/new", "apikey: alice-key")).status == 404
            response = await admin_call(b, "POST", "/config", body.encode(), content_type)
            assert response.status == 201
            assert {route["name"] for route in response.json["routes"].values()} == {"example-route", "open"}
            assert [each["key"] for each in response.json["keyauth_credentials"].values()] == ["alice-key"]
            assert (await client.get("/new", "apikey: alice-key")).status == 200

    run(test)


def test_an_invalid_configuration_changes_nothing_and_names_its_place() -> None:
    async def test(b: Bench) -> None:
        state = {"_format_version": "3.0", "services": [{"name": "s", "url": "http://h", "nope": 1}]}
        response = await admin_call(b, "POST", "/config", json.dumps(state).encode(), "application/json")
        assert response.status == 400
        assert response.json["code"] == 14
        assert response.json["name"] == "invalid declarative configuration"
        assert response.json["message"].startswith("declarative config is invalid: {services={{nope=")
        assert "nope" in response.json["fields"]["services"][0]
        async with b.client() as client:
            assert (await client.get("/anything", "apikey: alice-key")).status == 200

    run(test)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("{nope: []}", {"nope": "unknown field"}),
        ("{upstreams: [{}]}", {"upstreams": "entities of kind 'upstreams' are not emulated (remove them)"}),
        ("{a: 1, a: 2}", {"a": "key 'a' is given twice (keep one)"}),
        ("{routes: 7}", {"routes": "expected a list, got a number (write a list of routes, each with '- ')"}),
        (
            "{services: [{host: h, tls_verify: true}]}",
            {"services": [{"tls_verify": "field 'tls_verify' is not emulated (remove it; the emulated gateway would "
                                         "not honour it)"}]},
        ),
    ],
)  # fmt: skip
def test_what_only_the_emulated_gateway_refuses_is_told_in_its_own_words(text: str, fields: dict[str, Any]) -> None:
    async def test(b: Bench) -> None:
        body = text.replace("{", '{_format_version: "3.0", ', 1).encode()
        response = await admin_call(b, "POST", "/config", body)
        assert (response.status, response.json["fields"]) == (400, fields)

    run(test)


def test_a_regular_expression_that_cannot_be_used_changes_nothing() -> None:
    async def test(b: Bench) -> None:
        state = example_state(b.upstream.port, route={"paths": ["~/a("]})
        response = await admin_call(b, "POST", "/config", json.dumps(state).encode(), "application/json")
        assert response.status == 400
        async with b.client() as client:
            assert (await client.get("/anything", "apikey: alice-key")).status == 200

    run(test)


def test_a_body_that_is_no_json_is_refused() -> None:
    async def test(b: Bench) -> None:
        response = await admin_call(b, "POST", "/config", b"{oops", "application/json")
        assert (response.status, response.json) == (400, {"message": "Cannot parse JSON body"})

    run(test)


def test_problems_are_printed_the_way_kong_prints_them() -> None:
    problems = (
        Problem("unknown field", ("services", 0, "plugins", 1, "config", "nope")),
        Problem("value should be between 0 and 65535", ("services", 1, "port")),
    )
    answer = invalid_configuration(problems)
    assert answer["message"] == (
        'declarative config is invalid: {services={{plugins={[2]={config={nope="unknown field"}}}},'
        '{port="value should be between 0 and 65535"}}}'
    )
    assert answer["fields"]["services"][0]["plugins"] == [None, {"config": {"nope": "unknown field"}}]
