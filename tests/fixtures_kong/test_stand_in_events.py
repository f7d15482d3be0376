"""The stand-in's log phase: from what Kong 3.9 was recorded to say of a request to events in the queue."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from stand_in import StandIn

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("recorded_serialize.json").read_text("utf-8"))
BY_HEADER = {"subject": {"look_up_value_in": "header", "field": "X-Tenant-Id"}}
BY_QUERY = {"subject": {"look_up_value_in": "query", "field": "tenant"}}


def exchange(
    headers: list[tuple[str, str]] | None = None, query: str = "", status: int = 200, **more: Any
) -> dict[str, Any]:
    request = {"method": "GET", "path": "/a", "headers": headers or [], "query": query, "started_at": 1767225600.25}
    return {"request": request, "response": {"status": status, "ended_at": 1767225600.5}, **more}


def recorded_events(case: str, config: dict[str, Any]) -> list[dict[str, Any]]:
    stand_in = StandIn(config)
    recording = RECORDED[case]
    headers = [("Host", "127.0.0.1:18000"), *map(tuple, recording["sent"]["headers"])]
    stand_in.log_message(recording["message"], headers, "127.0.0.1")
    return [json.loads(entry) for entry in stand_in.entries()]


def test_a_recorded_request_becomes_an_event_with_every_field_kong_knows() -> None:
    message = RECORDED["post"]["message"]
    (event,) = recorded_events("post", {})
    assert event.pop("id")
    assert event.pop("time").startswith("2026-11-20T22:")
    assert event == {
        "specversion": "1.0",
        "source": "kong-gateway",
        "type": "kong.api_request",
        "subject": "alice",
        "datacontenttype": "application/json",
        "data": {
            "client_ip": "127.0.0.1",
            "request_host": "127.0.0.1",
            "request_method": "POST",
            "request_uri": "/anything/sub/path",
            "request_size_bytes": message["request"]["size"],
            "request_user_agent": message["request"]["headers"]["user-agent"],
            "response_http_status": 200,
            "response_size_bytes": message["response"]["size"],
            "upstream_status": 200,
            "route_id": message["route"]["id"],
            "route_name": "example-route",
            "service_id": message["service"]["id"],
            "service_name": "example-service",
            "service_port": 18100,
            "service_protocol": "http",
            "subject_type": "consumer_username",
        },
    }


def test_a_recorded_rejection_is_dropped_by_consumer_and_metered_by_header() -> None:
    assert recorded_events("rejected", {}) == []
    (event,) = recorded_events("rejected", {"subject": {"look_up_value_in": "header", "field": "apikey"}})
    assert (event["subject"], event["data"]["response_http_status"]) == ("wrong", 401)
    assert "upstream_status" not in event["data"]


def test_a_header_that_kong_redacts_in_its_log_is_read_from_the_request() -> None:
    (event,) = recorded_events("redacted", {"subject": {"look_up_value_in": "header", "field": "Authorization"}})
    assert event["subject"] == "Bearer alice-key"


@pytest.mark.parametrize(
    ("case", "field", "subject"),
    [
        ("custom_id", "custom_id", "bob-42"),
        ("custom_id", None, "bob"),
        ("only_custom_id", "custom_id", "only-custom"),
    ],
)
def test_the_subject_is_the_recorded_consumers_field(case: str, field: str | None, subject: str) -> None:
    (event,) = recorded_events(case, {"subject": {"field": field}})
    assert event["subject"] == subject


def test_a_recorded_consumer_without_a_username_is_no_subject() -> None:
    assert recorded_events("only_custom_id", {}) == []


def test_the_first_of_two_recorded_headers_counts() -> None:
    (event,) = recorded_events("repeated", {"subject": {"look_up_value_in": "header", "field": "apikey"}})
    assert event["subject"] == "alice-key"


def test_the_query_is_read_as_the_client_sent_it() -> None:
    (event,) = recorded_events("query", {"subject": {"look_up_value_in": "query", "field": "a"}})
    assert (event["subject"], event["data"]["request_uri"]) == ("1", "/anything")


def test_a_dropped_request_is_logged_at_debug_and_counted() -> None:
    stand_in = StandIn(BY_HEADER)
    for _ in range(3):
        stand_in.log(exchange())
    stand_in.log(exchange([("x-tenant-id", " ")]))
    assert stand_in.entries() == []
    assert [line.split("): ")[0] for line in stand_in.logged] == ["debug: no usage event (DRP-1"] * 3 + [
        "debug: no usage event (DRP-2"
    ]
    assert stand_in.logged[2].endswith("; 3 so far in this worker")


def test_header_names_match_without_case_but_not_across_dash_and_underscore() -> None:
    stand_in = StandIn({"subject": {"look_up_value_in": "header", "field": "x_tenant_id"}})
    assert stand_in.outcome(exchange([("X-Tenant-Id", "acme")]))["dropped"]["rule"] == "DRP-1"
    assert stand_in.outcome(exchange([("X_TENANT_ID", "acme")]))["events"][0]["subject"] == "acme"


def test_a_client_cannot_hide_the_subject_behind_a_hundred_headers() -> None:
    many = [(f"x-{number}", "1") for number in range(300)]
    (event,) = StandIn(BY_HEADER).outcome(exchange([*many, ("x-tenant-id", "acme")]))["events"]
    assert event["subject"] == "acme"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("%ff", "\ufffd"),
        ("a%C3", "a\ufffd"),
        ("%E2%82%AC", "€"),
        ("%E2%82x", "\ufffdx"),
        ("%E0%A0%80%E0%9F%BF", "\u0800\ufffd\ufffd\ufffd"),
        ("%ED%A0%80", "\ufffd\ufffd\ufffd"),
        ("%F0%9F%92%A9%80", "💩\ufffd"),
        ("%00%7F", "\x00\x7f"),
        ("%zz%4", "%zz%4"),
    ],
)
def test_bytes_that_are_no_text_never_make_an_event_that_is_no_json(written: str, read: str) -> None:
    (event,) = StandIn(BY_QUERY).outcome(exchange(query=f"tenant={written}"))["events"]
    assert event["subject"] == read


def attribute(source: str, key: str, name: str) -> dict[str, str]:
    return {"source": source, "look_up_value_in": key, "event_property_name": name}


def attribute_data(attributes: list[dict[str, str]], of: dict[str, Any]) -> dict[str, Any]:
    (event,) = StandIn({**BY_HEADER, "attributes": attributes}).outcome(of)["events"]
    return dict(event["data"])


TENANT = ("x-tenant-id", "acme")


def test_atr1_attributes_come_from_headers_and_the_decoded_query() -> None:
    attributes = [attribute("header", "X-Department", "department"), attribute("query", "a b", "project")]
    data = attribute_data(attributes, exchange([TENANT, ("x-department", " R&D ")], query="a+b=x%20y+z&a+b=no"))
    assert (data["department"], data["project"]) == ("R&D", "x y z")


def test_atr2_absent_and_empty_sources_leave_no_property() -> None:
    attributes = [attribute("header", "x-d", "department"), attribute("query", "p", "project")]
    assert not {"department", "project"} & set(
        attribute_data(attributes, exchange([TENANT, ("x-d", "")], query="p="))
    )


def test_atr4_a_built_in_field_wins_and_an_integer_is_never_text() -> None:
    attributes = [attribute("header", "x-d", name) for name in ("request_method", "upstream_status", "tokens")]
    data = attribute_data(attributes, exchange([TENANT, ("x-d", "7")]))
    assert data["request_method"] == "GET"
    assert not {"upstream_status", "tokens"} & set(data)


def test_of_two_attributes_with_one_name_the_first_that_has_a_value_wins() -> None:
    attributes = [attribute("header", name, "department") for name in ("x-none", "x-a", "x-b")]
    assert attribute_data(attributes, exchange([TENANT, ("x-a", "A"), ("x-b", "B")]))["department"] == "A"


def test_sub6_the_first_of_two_parameters_counts_even_when_it_is_empty() -> None:
    (event,) = StandIn(BY_QUERY).outcome(exchange(query="t%65nant=first&tenant=second"))["events"]
    assert event["subject"] == "first"
    assert StandIn(BY_QUERY).outcome(exchange(query="tenant&tenant=acme"))["dropped"]["rule"] == "DRP-2"


def test_header_bytes_that_are_no_text_are_replaced_in_the_data_too() -> None:
    stand_in = StandIn(BY_HEADER)
    message = {**RECORDED["post"]["message"]}
    stand_in.log_message(message, [TENANT, ("user-agent", "caf\xe9")])
    (entry,) = stand_in.entries()
    assert json.loads(entry)["data"]["request_user_agent"] == "caf\ufffd"


def test_events_wait_serialised_in_the_plugins_own_queue_with_its_settings() -> None:
    stand_in = StandIn({**BY_HEADER, "queue": {"max_batch_size": 20, "max_bytes": 4000}})
    stand_in.log(exchange([("x-tenant-id", "acme")]))
    settings = dict(stand_in.world["queue"]["conf"])
    assert settings == {
        "name": "plugin-1",
        "log_tag": "metering-and-billing plugin plugin-1",
        "max_batch_size": 20,
        "max_bytes": 4000,
        "max_coalescing_delay": 1,
        "max_entries": 10000,
        "max_retry_time": 60,
        "initial_retry_delay": 0.01,
        "max_retry_delay": 60,
        "concurrency_limit": 1,
        "failure_threshold": 0,
        "breaker_cooldown": 60,
    }


def test_instances_with_one_endpoint_have_queues_of_their_own() -> None:
    stand_in = StandIn(BY_HEADER)
    names = []
    for name in ("plugin-1", "plugin-2"):
        stand_in.world["plugin_id"] = name
        stand_in.log(exchange([("x-tenant-id", "acme")]))
        names.append(stand_in.world["queue"]["conf"]["name"])
    assert names == ["plugin-1", "plugin-2"]


def test_a_changed_configuration_is_used_from_the_next_request_on() -> None:
    stand_in = StandIn(BY_HEADER)
    stand_in.log(exchange([("x-tenant-id", "acme")]))
    stand_in.configure({**BY_QUERY, "queue": {"max_batch_size": 5}})
    stand_in.log(exchange([("x-tenant-id", "acme")], query="tenant=globex"))
    assert [json.loads(entry)["subject"] for entry in stand_in.entries()] == ["acme", "globex"]
    assert stand_in.world["queue"]["conf"]["max_batch_size"] == 5


def test_a_queue_that_asserts_costs_the_event_and_not_the_log_plugins_behind() -> None:
    stand_in = StandIn(BY_HEADER)
    stand_in.world["full"] = True
    stand_in.log(exchange([("x-tenant-id", "acme")]))
    (line,) = stand_in.logged
    assert re.match(r"err: usage event lost, it could not be queued: .*assertion failed", line)


def test_an_event_larger_than_the_queue_is_lost_and_logged() -> None:
    stand_in = StandIn({**BY_HEADER, "queue": {"max_bytes": 100}})
    stand_in.log(exchange([("x-tenant-id", "acme")]))
    assert stand_in.entries() == []
    assert stand_in.logged == [
        "err: usage event lost, it could not be queued: string to be queued is longer than the queue's max_bytes"
    ]


def test_a_stream_is_not_metered() -> None:
    stand_in = StandIn(BY_HEADER)
    stand_in.world["subsystem"] = "stream"
    stand_in.log(exchange([("x-tenant-id", "acme")]))
    assert (stand_in.entries(), stand_in.logged) == ([], [])


def test_the_first_worker_says_at_its_start_that_this_is_a_stand_in() -> None:
    stand_in = StandIn()
    stand_in.handler["init_worker"](stand_in.handler)
    stand_in.world["worker"] = 1
    stand_in.handler["init_worker"](stand_in.handler)
    (line,) = stand_in.logged
    assert line.startswith("notice: this is the open stand-in for Kong's metering-and-billing plugin, version 1.")
    assert "not Kong's plugin" in line


def test_the_plugin_runs_in_the_log_phase_alone_at_the_documented_priority() -> None:
    handler = StandIn().handler
    assert set(handler.keys()) == {"PRIORITY", "VERSION", "init_worker", "log"}
    assert handler["PRIORITY"] == 16


def ai_message(**ai: Any) -> dict[str, Any]:
    return {
        "started_at": 1767225600250,
        "request": {"method": "POST", "uri": "/chat", "id": "kong-request-id"},
        "response": {"status": 200},
        "consumer": {"username": "alice"},
        "ai": ai,
    }


def ai_data(**ai: Any) -> list[dict[str, Any]]:
    stand_in = StandIn({"meter_api_requests": False})
    stand_in.log_message(ai_message(**ai), [])
    return [json.loads(entry)["data"] for entry in stand_in.entries()]


def test_evt9_token_counts_as_kongs_ai_proxy_logs_them() -> None:
    meta = {"plugin_id": "p", "provider_name": "openai", "request_model": "gpt-4o", "response_model": "gpt-4o-2024"}
    usage = {"prompt_tokens": 120, "completion_tokens": 34, "total_tokens": 154, "cost": 0.1}
    common = {
        "ai_plugin_id": "p",
        "ai_plugin_name": "ai-proxy",
        "provider": "openai",
        "api_request_id": "kong-request-id",
        "http_status": 200,
        "subject_type": "consumer_username",
    }
    assert ai_data(proxy={"meta": meta, "usage": usage}) == [
        {**common, "type": "request", "tokens": 120, "model": "gpt-4o"},
        {**common, "type": "response", "tokens": 34, "model": "gpt-4o-2024"},
    ]


def test_evt9_what_the_ai_plugin_calls_unspecified_is_absent() -> None:
    meta = {"provider_name": "UNSPECIFIED", "request_model": "UNSPECIFIED", "response_model": "UNSPECIFIED"}
    for data in ai_data(proxy={"meta": meta, "usage": {"prompt_tokens": 0, "completion_tokens": 0}}):
        assert not {"provider", "model", "ai_plugin_id"} & set(data)
        assert data["tokens"] == 0


def test_evt9_of_several_ai_plugins_the_proxy_counts() -> None:
    other = {"meta": {}, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    proxy = {"meta": {}, "usage": {"prompt_tokens": 7, "completion_tokens": 8}}
    found = ai_data(**{"ai-request-transformer": other, "ai-proxy-advanced": proxy})
    assert [(data["ai_plugin_name"], data["tokens"]) for data in found] == [
        ("ai-proxy-advanced", 7),
        ("ai-proxy-advanced", 8),
    ]


@pytest.mark.parametrize("ai", [{}, {"proxy": {}}, {"proxy": {"payload": {"request": "…"}}}])
def test_evt10_an_ai_log_without_statistics_makes_no_token_events(ai: dict[str, Any]) -> None:
    assert ai_data(**ai) == []
