"""Entities by the Admin API of a gateway with a database: made, read, changed, removed, refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from admin_client import admin_call, created, send_form, send_json
from gateway_on_a_bench import Bench, bench, metering
from hypothesis import given, settings
from hypothesis import strategies as st

from plugin_emulator.gateway import admin

ABSENT = "00000000-0000-4000-8000-000000000000"
SERVICE = {"name": "s", "url": "http://127.0.0.1:9/x"}


def run(test: Callable[[Bench], Awaitable[None]], **options: Any) -> None:
    async def inside() -> None:
        async with bench(admin=True, **options) as b:
            await test(b)

    asyncio.run(inside())


async def everything(b: Bench) -> Any:
    return (await admin_call(b, "GET", "/config")).json


def test_what_the_state_file_declares_is_there_with_kongs_defaults() -> None:
    async def test(b: Bench) -> None:
        service = (await admin_call(b, "GET", "/services/example-service")).json
        assert (service["protocol"], service["host"], service["port"]) == ("http", "127.0.0.1", b.upstream.port)
        assert (service["retries"], service["path"], service["tags"], service["enabled"]) == (5, None, None, True)
        (plugin,) = (await admin_call(b, "GET", "/services/example-service/plugins")).json["data"]
        assert (plugin["name"], plugin["service"], plugin["route"]) == ("key-auth", {"id": service["id"]}, None)
        assert plugin["config"]["key_names"] == ["apikey"]
        assert (await admin_call(b, "GET", "/routes/example-route/service")).json == service
        (key,) = (await admin_call(b, "GET", "/consumers/alice/key-auth")).json["data"]
        assert (await admin_call(b, "GET", f"/key-auths/{key['id']}/consumer")).json["username"] == "alice"

    run(test)


def test_a_plugin_is_given_back_with_its_token_and_every_default() -> None:
    async def test(b: Bench) -> None:
        config = {"ingest_endpoint": "http://127.0.0.1:9/e", "api_token": "{vault://env/none}"}
        made = await created(
            b, "/routes/open/plugins/", {"name": "metering-and-billing", "config": config, "tags": []}
        )
        assert UUID(made["id"]).version == 4
        assert made["config"]["api_token"] == "{vault://env/none}"
        assert made["config"]["queue"]["max_bytes"] is None
        assert made["config"]["subject"] == {"look_up_value_in": "consumer", "field": None}
        assert (made["tags"], made["enabled"], made["consumer"], made["condition"]) == ([], True, None, None)
        assert made["protocols"] == ["grpc", "grpcs", "http", "https"]
        assert made["created_at"] == made["updated_at"]
        assert (await admin_call(b, "GET", f"/plugins/{made['id']}/")).json == made
        assert b.runtime.instances[made["id"]].config.api_token == ""  # what cannot be looked up is empty

    run(test)


def test_changes_take_effect_for_the_next_request() -> None:
    async def test(b: Bench) -> None:
        async with b.client() as client:
            assert (await client.get("/new")).status == 404
            service = await created(b, "/services", {**SERVICE, "url": f"http://127.0.0.1:{b.upstream.port}"})
            route = await created(b, "/routes", {"paths": ["/new"], "service": {"name": "s"}})
            assert route["service"] == {"id": service["id"]}
            assert (await client.get("/new")).status == 200
            await send_json(b, "PATCH", f"/routes/{route['id']}", {"paths": ["/newer"]})
            assert ((await client.get("/new")).status, (await client.get("/newer")).status) == (404, 200)
            await created(b, "/services/s/plugins", {"name": "key-auth"})
            assert (await client.get("/newer")).status == 401
            await created(b, "/consumers/guest/key-auth", {"key": "guest-key"})
            assert (await client.get("/newer", "apikey: guest-key")).status == 200
            assert (await admin_call(b, "DELETE", "/consumers/guest")).status == 204
            assert (await client.get("/newer", "apikey: guest-key")).status == 401
            assert (await admin_call(b, "DELETE", f"/routes/{route['id']}")).status == 204
            assert (await client.get("/newer")).status == 404

    run(test)


def test_put_makes_and_replaces_and_patch_merges_records() -> None:
    async def test(b: Bench) -> None:
        made = await send_json(b, "PUT", "/consumers/bob", {"custom_id": "b-1"})
        assert (made.status, made.json["username"]) == (200, "bob")
        replaced = (await send_json(b, "PUT", f"/consumers/{made.json['id']}", {"username": "bob"})).json
        assert (replaced["id"], replaced["custom_id"]) == (made.json["id"], None)
        own_id = "6F1F2F7C-6D5A-4A52-9D0A-0C0F3A1B2C3D"
        plugin = metering(service={"name": "open"}, config={**metering()["config"], "queue": {"max_batch_size": 7}})
        assert (await send_json(b, "PUT", f"/plugins/{own_id}", plugin)).json["id"] == own_id.lower()
        change = {"config": {"queue": {"max_entries": 9}}, "enabled": False}
        changed = (await send_json(b, "PATCH", f"/services/open/plugins/{own_id}", change)).json
        assert (changed["config"]["queue"]["max_batch_size"], changed["config"]["queue"]["max_entries"]) == (7, 9)
        assert changed["config"]["api_token"] == "t"
        assert own_id.lower() not in b.runtime.instances  # disabled
        service = await send_json(b, "PATCH", "/services/open", {"url": "http://127.0.0.1:10"})
        assert (service.json["port"], service.json["path"], service.json["retries"]) == (10, None, 5)
        service = await send_json(b, "PATCH", "/routes/open/service", {"retries": 0})
        assert (service.json["name"], service.json["retries"]) == ("open", 0)

    run(test)


def test_what_a_client_read_it_can_write_back_unchanged() -> None:
    async def test(b: Bench) -> None:
        for path in ("/services", "/routes", "/consumers", "/key-auths", "/plugins"):
            for row in (await admin_call(b, "GET", path)).json["data"]:
                again = await send_json(b, "PUT", f"{path}/{row['id']}", row)
                assert again.status == 200, again.body
                assert {**again.json, "updated_at": 0} == {**row, "updated_at": 0}

    run(test)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "answer"),
    [
        ("POST", "/services", {}, 400,
         {"code": 2, "name": "schema violation", "message": "schema violation (host: required field missing)",
          "fields": {"host": "required field missing"}}),
        ("POST", "/plugins", {}, 400,
         {"code": 2, "name": "schema violation", "message": "schema violation (name: required field missing)",
          "fields": {"name": "required field missing"}}),
        ("POST", "/plugins", {"name": "metering-and-billing"}, 400,
         {"code": 2, "name": "schema violation",
          "message": "2 schema violations (config.api_token: required field missing; "
          "config.ingest_endpoint: required field missing)",
          "fields": {"config": dict.fromkeys(("api_token", "ingest_endpoint"), "required field missing")}}),
        ("POST", "/consumers", {"tags": ["a"]}, 400,
         {"code": 2, "name": "schema violation",
          "message": "schema violation (at least one of these fields must be non-empty: 'custom_id', 'username')",
          "fields": {"@entity": ["at least one of these fields must be non-empty: 'custom_id', 'username'"]}}),
        ("POST", "/routes", {"paths": ["/a", "b"]}, 400,
         {"code": 2, "name": "schema violation",
          "message": "schema violation (paths.2: should start with: / (fixed path) or ~/ (regex path))",
          "fields": {"paths": [None, "should start with: / (fixed path) or ~/ (regex path)"]}}),
        ("POST", "/consumers/guest/plugins", {"name": "key-auth"}, 400,
         {"code": 2, "name": "schema violation", "message": "schema violation (consumer: value must be null)",
          "fields": {"consumer": "value must be null"}}),
        ("POST", "/services", {**SERVICE, "routes": []}, 400,
         {"code": 2, "name": "schema violation", "message": "schema violation (routes: unknown field)",
          "fields": {"routes": "unknown field"}}),
        ("POST", "/consumers", {"username": "alice"}, 409,
         {"code": 5, "name": "unique constraint violation",
          "message": "UNIQUE violation detected on '{username=\"alice\"}'", "fields": {"username": "alice"}}),
        ("POST", "/plugins", metering(), 409,
         {"code": 5, "name": "unique constraint violation",
          "message": "UNIQUE violation detected on "
          "'{consumer=null,name=\"metering-and-billing\",route=null,service=null}'",
          "fields": {"consumer": None, "name": "metering-and-billing", "route": None, "service": None}}),
        ("POST", "/routes", {"paths": ["/a"], "service": {"id": ABSENT}}, 400,
         {"code": 4, "name": "foreign key violation",
          "message": f"the foreign key '{{id=\"{ABSENT}\"}}' does not reference an existing 'services' entity.",
          "fields": {"service": {"id": ABSENT}}}),
        ("POST", "/routes", {"paths": ["/a"], "service": {"name": "none"}}, 400,
         {"code": 13, "name": "foreign keys unresolved",
          "message": "foreign key unresolved (service.name: the foreign key cannot be resolved with "
          "'{name=\"none\"}' for an existing 'services' entity)",
          "fields": {"service": {"name": "the foreign key cannot be resolved with '{name=\"none\"}' for an existing "
                                         "'services' entity"}}}),
        ("DELETE", "/services/open", None, 400,
         {"code": 4, "name": "foreign key violation",
          "message": "an existing 'routes' entity references this 'services' entity",
          "fields": {"@referenced_by": "routes"}}),
        ("GET", "/services?size=0", None, 400,
         {"code": 9, "name": "invalid size", "message": "size must be an integer between 1 and 1000"}),
        ("GET", "/services?offset=%21", None, 400,
         {"code": 7, "name": "invalid offset", "message": "'!' is not a valid offset: bad base64 encoding"}),
        ("POST", "/services/none/plugins", {"name": "key-auth"}, 404, {"message": "Not found"}),
        ("PATCH", "/services/none", {}, 404, {"message": "Not found"}),
        ("GET", "/services/open/routes/example-route", None, 404, {"message": "Not found"}),
        ("GET", "/routes/none/service", None, 404, {"message": "Not found"}),
        ("DELETE", "/routes/open/service", None, 405, {"message": "Method not allowed"}),
        ("PUT", "/services", {}, 405, {"message": "Method not allowed"}),
        ("POST", "/upstreams", {}, 405, {"message": "Method not allowed"}),
        ("GET", "/services/open/routes/open/plugins", None, 404, {"message": "Not found"}),
    ],
)  # fmt: skip
def test_what_is_refused_is_refused_in_kongs_words_and_changes_nothing(
    method: str, path: str, body: Any, status: int, answer: dict[str, Any]
) -> None:
    async def test(b: Bench) -> None:
        before = await everything(b)
        response = await send_json(b, method, path, body)
        assert (response.status, response.json) == (status, answer)
        assert await everything(b) == before

    run(test)


def test_a_regular_expression_that_cannot_be_used_is_refused_and_changes_nothing() -> None:
    async def test(b: Bench) -> None:
        before = await everything(b)
        response = await send_json(b, "POST", "/routes", {"headers": {"x": ["~*("]}, "service": {"name": "open"}})
        assert (response.status, response.json["code"]) == (400, 2)
        assert await everything(b) == before
        async with b.client() as client:
            assert (await client.get("/open")).status == 200

    run(test)


def test_a_removed_parent_takes_its_plugins_and_keys_along() -> None:
    async def test(b: Bench) -> None:
        await created(b, "/consumers/alice/plugins", metering())
        assert (await admin_call(b, "DELETE", "/consumers/alice")).status == 204
        assert (await admin_call(b, "GET", "/key-auths")).json["data"] == []
        assert len((await admin_call(b, "GET", "/plugins")).json["data"]) == 2
        assert (await admin_call(b, "DELETE", "/consumers/alice")).status == 204  # it is not there: so be it

    run(test)


def test_pages_show_every_entity_once_and_tags_choose_among_them() -> None:
    async def test(b: Bench) -> None:
        for number in range(7):
            tags = ["all", "odd" if number % 2 else "even"]
            await created(b, "/consumers", {"username": f"user-{number}", "tags": tags})
        path, seen = "/consumers?size=2&tags=all", []
        while path:
            answer = (await admin_call(b, "GET", path)).json
            assert len(answer["data"]) <= 2
            assert ("offset" in answer) == (answer["next"] is not None)
            seen += [row["username"] for row in answer["data"]]
            path = answer["next"]
        assert sorted(seen) == [f"user-{number}" for number in range(7)]

        async def count(tags: str) -> int:
            return len((await admin_call(b, "GET", f"/consumers?tags={tags}")).json["data"])

        assert [await count(tags) for tags in ("all,odd", "odd/even", "odd,even", "none")] == [3, 7, 0, 0]
        assert (await admin_call(b, "GET", "/consumers?tags=a,b/c")).status == 400
        assert (await admin_call(b, "GET", "/consumers?custom_id=nobody")).json["data"] == []

    run(test)


def test_forms_carry_numbers_lists_and_nested_fields() -> None:
    async def test(b: Bench) -> None:
        fields = [("name", "s"), ("url", "http://h:81/p"), ("retries", "2"), ("tags[]", "a"), ("tags[]", "b")]
        service = (await send_form(b, "POST", "/services", *fields)).json
        assert (service["port"], service["retries"], service["tags"]) == (81, 2, ["a", "b"])
        fields = [("paths", "/a"), ("strip_path", "false"), ("service.name", "s"), ("headers.x-version", "v1")]
        route = (await send_form(b, "POST", "/routes", *fields)).json
        assert (route["paths"], route["strip_path"], route["headers"]) == (["/a"], False, {"x-version": ["v1"]})
        assert route["service"] == {"id": service["id"]}
        refused = await send_form(b, "PATCH", "/services/s", ("retries", "many"))
        assert refused.json["fields"] == {"retries": "expected an integer"}
        emptied = await send_form(b, "PATCH", "/services/s", ("path", ""))
        assert emptied.json["path"] is None

    run(test)


@pytest.mark.parametrize("segment", ["b%C3%BCcher", "bücher", "b%c3%bccher"])
def test_a_name_beyond_ascii_is_found_by_its_utf_8_bytes(segment: str) -> None:
    async def test(b: Bench) -> None:
        made = await created(b, "/services", {**SERVICE, "name": "bücher"})
        assert (await admin_call(b, "GET", f"/services/{segment}")).json == made

    run(test)


def test_a_key_taken_over_by_another_consumer_is_theirs_at_once() -> None:
    async def test(b: Bench) -> None:
        async with b.client() as client:
            await client.get("/anything", "apikey: alice-key")
            (key,) = (await admin_call(b, "GET", "/key-auths")).json["data"]
            await send_json(b, "PATCH", f"/key-auths/{key['id']}", {"consumer": {"username": "guest"}})
            await client.get("/anything", "apikey: alice-key")
            await send_json(b, "PATCH", "/consumers/guest", {"username": "visitor"})
            await client.get("/anything", "apikey: alice-key")
        consumers = [exchange.consumer for exchange in await b.runtime.exchanges(3)]
        assert [each.username for each in consumers if each] == ["alice", "guest", "visitor"]

    run(test)


def test_a_key_that_is_not_given_is_made_up() -> None:
    async def test(b: Bench) -> None:
        key = (await created(b, "/consumers/guest/key-auth", {}))["key"]
        assert len(key) == 32
        async with b.client() as client:
            assert (await client.get("/anything", f"apikey: {key}")).status == 200

    run(test)


def test_head_and_options_and_bad_json_are_answered_as_kong_does() -> None:
    async def test(b: Bench) -> None:
        head = await admin_call(b, "HEAD", "/services/open")
        assert (head.status, head.body) == (200, b"")
        options = await admin_call(b, "OPTIONS", "/services/open/")
        assert (options.status, options.header("Allow")) == (204, "DELETE, GET, HEAD, OPTIONS, PATCH, PUT")
        for text in (b"{oops", b"7", b'"x"', b"\xff"):
            refused = await admin_call(b, "POST", "/services", text, "application/json")
            assert (refused.status, refused.json) == (400, {"message": "Cannot parse JSON body"})

    run(test)


def test_what_was_applied_without_the_api_is_what_it_shows_and_changes() -> None:
    async def test(b: Bench) -> None:
        state = {"_format_version": "3.0", "consumers": [{"username": "carol"}]}
        assert (await send_json(b, "POST", "/config", state)).status == 201
        await created(b, "/consumers", {"username": "dave"})
        names = [row["username"] for row in (await admin_call(b, "GET", "/consumers")).json["data"]]
        assert sorted(names) == ["carol", "dave"]
        assert (await admin_call(b, "GET", "/plugins")).json["data"] == []

    run(test)


def test_the_configuration_it_shows_can_be_posted_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only ``updated_at`` is then another: the time at which it was posted."""
    now = 1_700_000_000.0
    monkeypatch.setattr(admin, "time", lambda: now)

    async def test(b: Bench) -> None:
        nonlocal now
        shown = await everything(b)
        now += 60
        assert (await send_json(b, "POST", "/config", shown)).status == 201
        before, after = (f"updated_at: {seconds}" for seconds in (1_700_000_000, 1_700_000_060))
        assert before in shown["config"]
        assert (await everything(b))["config"].splitlines() == shown["config"].replace(before, after).splitlines()
        async with b.client() as client:
            assert (await client.get("/anything", "apikey: alice-key")).status == 200

    run(test)


def test_no_secret_is_logged() -> None:
    async def test(b: Bench) -> None:
        secret = "spat_very_secret"
        plugin = metering(route={"name": "open"}, config={"ingest_endpoint": "nowhere", "api_token": secret})
        assert (await send_json(b, "POST", "/plugins", plugin)).status == 400
        plugin["config"]["ingest_endpoint"] = "{vault://env/none}"
        await created(b, "/plugins", plugin)
        await created(b, "/consumers/guest/key-auth", {"key": secret})
        assert (await send_json(b, "POST", "/consumers/alice/key-auth", {"key": secret})).status == 409
        assert b.log and all(secret not in line for line in b.log)

    run(test)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    ["name", "url", "host", "port", "paths", "headers", "service", "consumer", "config", "username", "key", "tags",
     "id", "protocols", "condition", "instance_name", "custom_id", "created_at", "ordering", "snis", "routes"]
)  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from(["POST", "PUT", "PATCH"]),
            st.sampled_from(["services", "routes", "consumers", "plugins", "key-auths"]),
            st.dictionaries(names, json_values | st.just("key-auth") | st.just({"name": "open"}), max_size=4),
        ),
        min_size=5,
        max_size=5,
    )
)
def test_any_json_is_either_taken_or_refused_with_a_code_and_the_gateway_goes_on(calls: list[Any]) -> None:
    async def test(b: Bench) -> None:
        for method, kind, body in calls:
            path = f"/{kind}" if method == "POST" else f"/{kind}/{'alice' if kind == 'consumers' else 'open'}"
            response = await send_json(b, method, path, json.loads(json.dumps(body)))
            assert response.status in (200, 201, 400, 404, 409), response.body
            if response.status in (400, 409):
                assert "code" in response.json or response.json == {"message": "Cannot parse JSON body"}
        assert (await admin_call(b, "GET", "/status")).status == 200

    run(test)


form_names = st.sampled_from(["config", "queue", "tags", "paths", ".", "[]", "[1]", "[9]", "[", "x"])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    fields=st.lists(
        st.tuples(
            st.lists(form_names, max_size=6).map("".join),
            st.text(max_size=5),
        ),
        max_size=6,
    )
)
def test_any_form_is_either_taken_or_refused(fields: list[tuple[str, str]]) -> None:
    async def test(b: Bench) -> None:
        for path in ("/plugins", "/routes"):
            response = await send_form(b, "POST", path, *fields)
            assert response.status in (201, 400), response.body

    run(test)
