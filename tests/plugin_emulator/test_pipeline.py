"""From one exchange to its events (SPEC SUB, DRP, EVT, ATR, FLT-4), as tables."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_emulator.event_ids import id_source
from plugin_emulator.exchange import Exchange, Request, Response, Route
from plugin_emulator.metering_and_billing.config import load_config
from plugin_emulator.metering_and_billing.event_time import rfc3339
from plugin_emulator.metering_and_billing.events import last_upstream_status
from plugin_emulator.metering_and_billing.pipeline import Drop, Outcome, Pipeline

REQUEST = {"method": "GET", "path": "/anything", "headers": [], "started_at": 1_795_213_579.25}
ALICE = {"id": "c-1", "username": "alice", "custom_id": "A-1"}
APPLICATION = {"id": "app-1", "portal_id": "p-1", "api_id": "api-1", "name": "shop"}
AI = {
    "plugin_id": "ai-1",
    "plugin_name": "ai-proxy",
    "provider": "openai",
    "request_model": "gpt-4o",
    "response_model": "gpt-4o-2024",
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "request_id": "req-1",
}


def exchange(
    headers: list[tuple[str, str]] | None = None, query: str = "", status: int = 200, **more: Any
) -> Exchange:
    data: dict[str, Any] = {
        "request": {**REQUEST, "headers": headers or [], "query": query},
        "response": {"status": status, "ended_at": 1_795_213_579.75},
        "upstream_status": status,
        **more,
    }
    return msgspec.convert(data, Exchange)


def outcome(config: dict[str, Any], of: Exchange, gateway: str = "3.16", form: Any = "username") -> Outcome:
    full = {"ingest_endpoint": "http://ingest.test/events", "api_token": "t", **config}
    return Pipeline(load_config(full, gateway), gateway, form, id_source(1)).events(of)


def subject(config: dict[str, Any], of: Exchange, form: Any = "username") -> str | None:
    made = outcome({"subject": config}, of, form=form)
    return made.events[0]["subject"] if made.events else None


HEADER = {"look_up_value_in": "header", "field": "X-Tenant-Id"}
QUERY = {"look_up_value_in": "query", "field": "tenant"}


@pytest.mark.parametrize(
    ("rule", "config", "of", "expected"),
    [
        ("SUB-1 the username", {}, exchange(consumer=ALICE), "alice"),
        ("SUB-5 another Consumer field", {"field": "custom_id"}, exchange(consumer=ALICE), "A-1"),
        ("SUB-2 a header, without case", HEADER, exchange([("x-TENANT-id", "acme")]), "acme"),
        ("SUB-6 the first of two headers", HEADER, exchange([("x-tenant-id", "a"), ("X-Tenant-Id", "b")]), "a"),
        ("SUB-7 without surrounding blanks", HEADER, exchange([("x-tenant-id", " \ta b ")]), "a b"),
        ("SUB-3 a parameter, decoded", QUERY, exchange(query="x=1&tenant=a%20b%2Fc"), "a b/c"),
        ("SUB-3 a plus is a blank", QUERY, exchange(query="tenant=a+b"), "a b"),
        ("SUB-3 a parameter's name is decoded too", QUERY, exchange(query="t%65nant=acme"), "acme"),
        ("SUB-6 the first of two parameters", QUERY, exchange(query="tenant=a&tenant=b"), "a"),
        (
            "SUB-4 the application's id",
            {"look_up_value_in": "application"},
            exchange(application=APPLICATION),
            "app-1",
        ),
        (
            "SUB-5 another application field",
            {"look_up_value_in": "application", "field": "name"},
            exchange(application=APPLICATION),
            "shop",
        ),
    ],
)
def test_the_subject_is_what_the_rule_says(rule: str, config: Any, of: Exchange, expected: str) -> None:
    assert subject(config, of) == expected, rule


def test_sub1_and_sub4_prefixed_form() -> None:
    assert subject({}, exchange(consumer=ALICE), "prefixed-id") == "consumer:c-1"
    assert (
        subject({"look_up_value_in": "application"}, exchange(application=APPLICATION), "prefixed-id") == "app:app-1"
    )


@pytest.mark.parametrize(
    ("config", "of", "rule"),
    [
        ({}, exchange(), "DRP-1"),
        ({}, exchange(consumer={"id": "c", "custom_id": "x"}), "DRP-1"),
        ({"look_up_value_in": "application"}, exchange(), "DRP-1"),
        (HEADER, exchange([("x-tenant", "acme")]), "DRP-1"),
        (HEADER, exchange([("x-tenant-id", "  ")]), "DRP-2"),
        (QUERY, exchange(query="tenants=acme"), "DRP-1"),
        (QUERY, exchange(query="tenant="), "DRP-2"),
        (QUERY, exchange(query="tenant=&tenant=acme"), "DRP-2"),
        ({"look_up_value_in": "header"}, exchange([("x", "y")]), "DRP-1"),
    ],
)
def test_without_a_subject_there_is_no_event_and_a_reason(config: Any, of: Exchange, rule: str) -> None:
    made = outcome({"subject": config}, of)
    assert made.events == []
    assert made.drop is not None
    assert made.drop.rule == rule
    assert made.drop.reason


def test_evt6_all_fields_of_an_api_request_with_their_types() -> None:
    of = exchange(
        [("User-Agent", "curl/8"), ("Host", "localhost:8000")],
        query="a=1",
        status=201,
        consumer=ALICE,
        route={"id": "r-1", "name": "example-route"},
        service={"id": "s-1", "name": "example-service", "port": 80, "protocol": "http"},
        application={**APPLICATION, "api_package_id": "pkg", "api_product_version_id": "v"},
        control_plane_id="cp-1",
    )
    of = msgspec.structs.replace(
        of,
        request=msgspec.structs.replace(of.request, host="localhost", client_ip="127.0.0.1", size_bytes=120),
        response=msgspec.structs.replace(of.response, size_bytes=800),
        upstream_status="200",
    )
    (event,) = outcome({}, of).events
    assert event["type"] == "kong.api_request"
    assert event["data"] == {
        "client_ip": "127.0.0.1",
        "control_plane_id": "cp-1",
        "request_host": "localhost",
        "request_method": "GET",
        "request_uri": "/anything",
        "request_size_bytes": 120,
        "request_user_agent": "curl/8",
        "response_size_bytes": 800,
        "response_http_status": 201,
        "route_id": "r-1",
        "route_name": "example-route",
        "service_id": "s-1",
        "service_name": "example-service",
        "service_port": 80,
        "service_protocol": "http",
        "subject_type": "consumer_username",
        "upstream_status": 200,
        "application_id": "app-1",
        "portal_id": "p-1",
        "api_id": "api-1",
        "api_package_id": "pkg",
        "api_product_version_id": "v",
    }


def test_evt6_unknown_fields_are_absent() -> None:
    of = exchange([("User-Agent", "")], consumer=ALICE, route={"id": "", "name": None})
    (event,) = outcome({}, msgspec.structs.replace(of, upstream_status=""), "3.14").events
    assert event["data"] == {"request_method": "GET", "request_uri": "/anything", "response_http_status": 200}


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("200", 200),
        ("", None),
        ("-", None),
        ("502, 200", 200),
        ("502, 502, 504", 504),
        ("502, -", None),
        (None, None),
    ],
)
def test_evt13_upstream_status_is_the_last_one(text: str | None, status: int | None) -> None:
    assert last_upstream_status(text) == status


def test_sub8_subject_type_only_from_the_version_that_emits_it() -> None:
    of = exchange(consumer=ALICE)
    assert [
        ("subject_type" in outcome({}, of, gateway).events[0]["data"]) for gateway in ("3.14", "3.15", "3.16")
    ] == [
        False,
        False,
        True,
    ]


def test_evt9_an_ai_request_makes_three_events_that_share_a_request_id() -> None:
    api, prompt, completion = outcome({}, exchange(consumer=ALICE, ai=AI)).events
    assert [one["type"] for one in (api, prompt, completion)] == ["kong.api_request"] + ["kong.llm_request"] * 2
    assert (prompt["data"]["type"], prompt["data"]["tokens"], prompt["data"]["model"]) == ("request", 11, "gpt-4o")
    assert (completion["data"]["type"], completion["data"]["tokens"]) == ("response", 7)
    assert completion["data"]["model"] == "gpt-4o-2024"
    assert prompt["data"]["api_request_id"] == completion["data"]["api_request_id"] == "req-1"
    assert len({one["id"] for one in (api, prompt, completion)}) == 3


def test_evt9_only_the_meters_that_are_on_make_events() -> None:
    of = exchange(consumer=ALICE, ai=AI)
    assert [e["type"] for e in outcome({"meter_api_requests": False}, of).events] == ["kong.llm_request"] * 2
    assert [e["type"] for e in outcome({"meter_ai_token_usage": False}, of).events] == ["kong.api_request"]
    off = outcome({"meter_api_requests": False, "meter_ai_token_usage": False}, of)
    assert off.drop is not None


def test_evt10_a_plain_request_makes_no_llm_event() -> None:
    made = outcome({"meter_api_requests": False}, exchange(consumer=ALICE))
    assert made.drop == Drop("EVT-10", "only AI tokens are metered and this is no AI request")


def test_evt12_without_a_token_count_there_is_no_tokens_field() -> None:
    ai = {**AI, "prompt_tokens": None, "completion_tokens": 0}
    _, prompt, completion = outcome({}, exchange(consumer=ALICE, ai=ai)).events
    assert "tokens" not in prompt["data"]
    assert completion["data"]["tokens"] == 0


def attribute(source: str, key: str, name: str) -> dict[str, str]:
    return {"source": source, "look_up_value_in": key, "event_property_name": name}


def test_atr_attributes_come_from_header_and_query_on_every_event() -> None:
    config = {"attributes": [attribute("header", "X-Department", "department"), attribute("query", "p", "project")]}
    made = outcome(config, exchange([("x-department", "eng")], query="p=se%61rch", consumer=ALICE, ai=AI))
    assert [(e["data"]["department"], e["data"]["project"]) for e in made.events] == [("eng", "search")] * 3


def test_atr2_an_absent_or_empty_source_gives_no_property() -> None:
    config = {"attributes": [attribute("header", "x-a", "a"), attribute("query", "b", "b")]}
    (event,) = outcome(config, exchange([("x-a", " ")], consumer=ALICE)).events
    assert not {"a", "b"} & event["data"].keys()


def test_atr4_a_built_in_field_wins() -> None:
    names = ["request_method", "upstream_status", "subject_type"]
    config = {"attributes": [attribute("header", "x-a", name) for name in names]}
    of = msgspec.structs.replace(exchange([("x-a", "spoofed")], consumer=ALICE), upstream_status=None)
    (event,) = outcome(config, of).events
    assert "spoofed" not in event["data"].values()


@pytest.mark.parametrize(("status", "metered"), [(199, False), (200, True), (299, True), (300, False), (404, True)])
def test_flt4_only_allowed_status_codes_are_metered_both_ends_included(status: int, metered: bool) -> None:
    made = outcome({"allow_status_codes": ["200-299", "404-404"]}, exchange(status=status, consumer=ALICE))
    assert bool(made.events) is metered
    if not metered:
        assert made.drop is not None
        assert made.drop.rule == "FLT-4"


@given(st.floats(0, 4e9, allow_nan=False), st.floats(1e-3, 100))
def test_evt4_the_time_lies_within_the_request(start: float, duration: float) -> None:
    text = rfc3339(start)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    assert start - 1e-6 <= datetime.fromisoformat(text).timestamp() <= start + duration


@given(st.floats(0, 4e9), st.lists(st.floats(-2e-3, 2e-3) | st.sampled_from([1e-6, 0.001, 0.999999, 1.0, -1.0])))
def test_evt4_a_time_is_the_same_text_whatever_time_was_asked_for_before(start: float, steps: list[float]) -> None:
    for step in steps:
        start = max(start + step, 0.0)
        whole = Fraction(math.ceil((start - int(start)) * 1e6), 1_000_000) + int(start)
        expected = datetime.fromtimestamp(int(whole), UTC).replace(microsecond=int(whole % 1 * 1_000_000))
        assert rfc3339(start) == expected.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_evt3_ids_are_uuids_and_never_repeat() -> None:
    ids = [new_id() for new_id in (id_source(), id_source()) for _ in range(10_000)]
    assert len(set(ids)) == 20_000
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one) for one in ids
    )


@given(st.lists(st.tuples(st.text(), st.text()), max_size=6), st.text(), st.integers(100, 599))
def test_any_request_makes_events_or_a_drop_and_its_entries_are_the_same_events(
    headers: list[tuple[str, str]], query: str, status: int
) -> None:
    of = exchange([*headers, ("x-tenant-id", "acme")], query=query, status=status)
    config = {
        "ingest_endpoint": "http://ingest.test/",
        "api_token": "t",
        "subject": HEADER,
        "attributes": [attribute("query", "a", "a")],
    }
    made = Pipeline(load_config(config), new_id=id_source(7)).events(of)
    entries = Pipeline(load_config(config), new_id=id_source(7)).entries(of)
    assert bool(made.events) is (made.drop is None)
    if isinstance(entries, Drop):
        assert entries == made.drop
    else:
        assert [msgspec.json.decode(entry) for entry in entries] == made.events


HEADER_LISTS = [[("x-tenant-id", tenant), ("User-Agent", "a")] for tenant in ("acme", "globex", "")]


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "headers": st.sampled_from(HEADER_LISTS),
                "method": st.sampled_from(["GET", "POST"]),
                "path": st.sampled_from(["/a", "/b"]),
                "query": st.sampled_from(["", "a=1", "a=2"]),
                "host": st.sampled_from(["one", "two"]),
                "client_ip": st.sampled_from(["127.0.0.1", "::1"]),
                "size_bytes": st.sampled_from([1, 2]),
                "started_at": st.sampled_from([1.0, 2.5]),
                "status": st.sampled_from([200, 404]),
                "sent": st.sampled_from([7, 8]),
                "upstream_status": st.sampled_from([200, "502, 200", None]),
                "route": st.sampled_from([None, "r1", "r2"]),
            }
        ),
        min_size=2,
        max_size=30,
    )
)
def test_what_is_remembered_of_one_request_never_shows_in_the_event_of_another(drawn: list[dict[str, Any]]) -> None:
    full = {"ingest_endpoint": "http://ingest.test/", "api_token": "t", "subject": HEADER}
    config = load_config({**full, "attributes": [attribute("query", "a", "a")], "allow_status_codes": ["200-399"]})
    remembering, plain = Pipeline(config, new_id=id_source(7)), Pipeline(config, new_id=id_source(7))
    routes = {name: Route(id=name, name=name) for name in ("r1", "r2")}
    for one in drawn:
        headers = one["headers"]
        request = Request(
            one["method"],
            one["path"],
            headers,
            one["started_at"],
            one["query"],
            one["host"],
            one["client_ip"],
            one["size_bytes"],
        )
        response = Response(one["status"], one["started_at"] + 9, one["sent"])
        of = Exchange(request, response, one["upstream_status"], routes.get(one["route"] or ""))
        made, entries = plain.events(of), remembering.entries(of)
        if isinstance(entries, Drop):
            assert entries == made.drop
        else:
            assert [msgspec.json.decode(entry) for entry in entries] == made.events
