"""The Admin API: what it tells, and how it changes the configuration."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from admin_client import admin_call
from gateway_on_a_bench import Bench, bench, example_state
from hypothesis import given, settings
from hypothesis import strategies as st

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
        told = (await admin_call(b, "GET", "/status")).json["server"]
        # Its own calls count, as on every node: GET /, the one request, and this.
        assert (told["total_requests"], told["connections_accepted"]) == (3, 3)
        assert told["connections_active"] == told["connections_writing"] + told["connections_waiting"]
        assert told["connections_writing"] >= 1
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


def test_errors_are_flattened_entity_by_entity_when_asked_for() -> None:
    """decK asks for them so: nested entities are items of their own, places count from 1, secrets stay where sent."""
    state = {
        "_format_version": "3.0",
        "_nope": 1,
        "services": [
            {"id": "1", "name": "s", "tags": ["a"], "port": 0.5, "routes": [{"name": "r", "paths": ["/", "x"]}]},
            {"name": "sound", "url": "http://h"},
        ],
    }

    async def test(b: Bench) -> None:
        answers = []
        for wish in ("flatten_errors=1", "flatten_errors=true", "flatten_errors=0"):
            body = json.dumps(state).encode()
            answers.append(await admin_call(b, "POST", f"/config?{wish}", body, "application/json"))
        assert [answer.status for answer in answers] == [400, 400, 400]
        told = answers[0].json
        assert told == answers[1].json
        assert "flattened_errors" not in answers[2].json
        assert told["fields"] == {"_nope": "unknown field"}
        service, route = told["flattened_errors"]
        assert (service["entity_type"], service["entity_name"], service["entity_id"]) == ("service", "s", "1")
        assert service["entity_tags"] == ["a"]
        assert service["entity"] == {"id": "1", "name": "s", "tags": ["a"], "port": 0.5}
        assert {"port", "host", "id"} == {error["field"] for error in service["errors"]}
        assert route["entity_type"] == "route"
        assert route["errors"] == [
            {"type": "field", "field": "paths.2", "message": "should start with: / (fixed path) or ~/ (regex path)"}
        ]

    run(test)


def test_status_tells_of_a_database_only_where_there_is_one() -> None:
    async def told(db_less: bool) -> dict[str, Any]:
        async with bench(admin=True, db_less=db_less) as b:
            return (await admin_call(b, "GET", "/status")).json

    assert asyncio.run(told(db_less=False))["database"] == {"reachable": True}
    assert "database" not in asyncio.run(told(db_less=True))


AI_PROXY = {"route_type": "llm/v1/chat", "model": {"provider": "openai"}}


def test_every_emulated_plugin_is_listed_shows_its_schema_and_can_be_checked() -> None:
    """ai-proxy among them, in ``/``, ``/plugins/enabled`` and ``/schemas/plugins/…`` alike."""

    async def test(b: Bench) -> None:
        enabled = (await admin_call(b, "GET", "/plugins/enabled")).json["enabled_plugins"]
        assert {"key-auth", "ai-proxy", "metering-and-billing", "amberflo"} <= set(enabled)
        assert (await admin_call(b, "GET", "/")).json["plugins"]["available_on_server"] == dict.fromkeys(
            enabled, True
        )
        for name in enabled:
            fields = (await admin_call(b, "GET", f"/schemas/plugins/{name}")).json["fields"]
            assert {"protocols", "config"} <= {each for field in fields for each in field}

        async def checked(config: Any) -> Any:
            body = json.dumps({"name": "ai-proxy", "config": config}).encode()
            return await admin_call(b, "POST", "/schemas/plugins/validate", body, "application/json")

        assert (await checked(AI_PROXY)).status == 200
        refused = await checked({"model": {}})
        assert refused.status == 400
        missing = "required field missing"
        assert refused.json["fields"] == {"config": {"route_type": missing, "model": {"provider": missing}}}

    run(test)


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.text(st.sampled_from('a/\\"\u00e9~') | st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1))
def test_any_text_comes_back_as_it_was_given_though_slashes_are_escaped(name: str) -> None:
    async def test(b: Bench) -> None:
        body = json.dumps({"custom_id": name}).encode()
        answer = await admin_call(b, "POST", "/consumers", body, "application/json")
        assert answer.json["custom_id"] == name
        assert re.search(rb"(?<!\\)/", answer.body) is None

    run(test)
