"""The stand-in's sender: what Kong's queue calls with a batch, and what goes to the ingest endpoint."""

from __future__ import annotations

import json
from typing import Any

import pytest
from stand_in import StandIn

ONE = b'{"id":"1"}'
TWO = b'{"id":"2"}'
EXCHANGE = {
    "request": {"method": "GET", "path": "/a", "headers": [["x-tenant-id", "acme"]], "started_at": 1767225600.25},
    "response": {"status": 200, "ended_at": 1767225600.5},
}


def sending(**config: Any) -> StandIn:
    """Return a plugin that has queued one event and answers 202 to whatever it sends."""
    stand_in = StandIn({"subject": {"look_up_value_in": "header", "field": "x-tenant-id"}, **config})
    stand_in.log(EXCHANGE)
    return stand_in


def answering(stand_in: StandIn, status: int | None, failure: str | None = None) -> None:
    stand_in.world["answer"] = lambda *_: (status, failure)


def header(stand_in: StandIn, name: str) -> str:
    value = stand_in.posts[-1]["params"]["headers"][name]
    assert isinstance(value, str)
    return value


def test_dlv1_one_event_goes_as_a_bare_object_with_its_token() -> None:
    stand_in = sending()
    (entry,) = stand_in.entries()
    assert stand_in.send(entry) == (True, None)
    (post,) = stand_in.posts
    assert (post["url"], post["timeout"]) == ("http://ingest.test:80/v3/openmeter/events", 10000)
    assert post["params"]["method"] == "POST"
    assert post["params"]["body"].encode("latin-1") == entry
    assert header(stand_in, "Authorization") == "Bearer token-of-the-test"
    assert header(stand_in, "Content-Type") == "application/cloudevents+json"


@pytest.mark.parametrize("batch", [[ONE], [ONE, TWO]])
def test_bat10_a_larger_batch_size_always_sends_an_array(batch: list[bytes]) -> None:
    stand_in = sending(queue={"max_batch_size": 10})
    stand_in.send(*batch)
    assert json.loads(stand_in.posts[0]["params"]["body"]) == [json.loads(entry) for entry in batch]
    assert header(stand_in, "Content-Type") == "application/cloudevents-batch+json"


def test_lif3_a_batch_that_formed_before_the_batch_size_became_one_goes_as_an_array() -> None:
    stand_in = sending()
    stand_in.send(ONE, TWO)
    assert header(stand_in, "Content-Type") == "application/cloudevents-batch+json"
    assert json.loads(stand_in.posts[0]["params"]["body"]) == [{"id": "1"}, {"id": "2"}]


def test_ret4_every_try_sends_the_same_bytes() -> None:
    stand_in = sending()
    answering(stand_in, 503)
    (entry,) = stand_in.entries()
    for _ in range(3):
        assert stand_in.send(entry)[0] is None
    assert {post["params"]["body"].encode("latin-1") for post in stand_in.posts} == {entry}


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_ret6_a_2xx_answer_is_success(status: int) -> None:
    stand_in = sending()
    answering(stand_in, status)
    assert stand_in.send(ONE) == (True, None)


@pytest.mark.parametrize("status", [100, 199, 300, 301, 307, 400, 401, 413, 429, 500, 503])
def test_ret6_any_other_answer_is_a_failure_said_in_words(status: int) -> None:
    stand_in = sending()
    answering(stand_in, status)
    assert stand_in.send(ONE) == (None, f"ingest endpoint ingest.test:80 answered {status}")


@pytest.mark.parametrize("failure", ["timeout", "connection refused", "18: self-signed certificate"])
def test_ret6_no_answer_is_a_failure_said_in_words(failure: str) -> None:
    stand_in = sending()
    answering(stand_in, None, failure)
    assert stand_in.send(ONE) == (None, f"request to ingest endpoint ingest.test:80 failed: {failure}")


def test_dlv3_and_dlv4_the_client_is_told_about_certificates_and_idle_connections() -> None:
    stand_in = sending(ssl_verify=False, keepalive=1500, timeout=250, ingest_endpoint="https://ingest.test/events")
    stand_in.send(ONE)
    (post,) = stand_in.posts
    params = post["params"]
    assert (post["url"], post["timeout"]) == ("https://ingest.test:443/events", 250)
    assert (params["ssl_verify"], params["ssl_server_name"]) == (False, "ingest.test")
    assert (params["keepalive"], params["keepalive_timeout"]) == (True, 1500)


def test_a_certificate_is_verified_by_default() -> None:
    stand_in = sending()
    stand_in.send(ONE)
    assert stand_in.posts[0]["params"]["ssl_verify"] is True


def test_keepalive_zero_keeps_no_connection() -> None:
    stand_in = sending(keepalive=0)
    stand_in.send(ONE)
    assert stand_in.posts[0]["params"]["keepalive"] is False


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("http://h/p?source=kong&x=a%20b", "http://h:80/p?source=kong&x=a%20b"),
        ("HTTPS://Ingest.Test", "https://ingest.test:443/"),
        ("http://h?x=1", "http://h:80/?x=1"),
        ("http://h:8080/%41/%25d#part", "http://h:8080/%41/%25d"),
        ("http://[::1]:8888/e", "http://[::1]:8888/e"),
        ("http://[2001:DB8::1]", "http://[2001:db8::1]:80/"),
        ("http://us%65r:p%40ss@h/e", "http://h:80/e"),
        ("http://h/é", "http://h:80/%C3%A9"),
    ],
)
def test_dlv7_an_odd_endpoint_is_delivered_to_as_written(written: str, asked: str) -> None:
    stand_in = sending(ingest_endpoint=written)
    assert stand_in.send(ONE) == (True, None)
    assert stand_in.posts[0]["url"] == asked
    assert header(stand_in, "Authorization") == "Bearer token-of-the-test"


def test_an_endpoint_that_a_vault_resolved_to_nothing_is_a_failure_and_no_crash() -> None:
    stand_in = sending()
    stand_in.conf["ingest_endpoint"] = ""
    assert stand_in.send(ONE) == (None, "ingest_endpoint is not an absolute http(s) URL")


def test_a_token_that_a_vault_changed_is_used_for_the_next_try() -> None:
    stand_in = sending()
    stand_in.conf["api_token"] = "rotated"
    stand_in.send(ONE)
    assert header(stand_in, "Authorization") == "Bearer rotated"


def test_a_token_that_would_break_out_of_its_header_is_not_sent() -> None:
    stand_in = sending(api_token="secret\r\nX-Injected: 1")
    assert stand_in.send(ONE) == (None, "api_token has characters that no header can carry")
    assert stand_in.posts == []


@pytest.mark.parametrize("status", [401, None])
def test_neither_token_nor_userinfo_is_ever_logged(status: int | None) -> None:
    stand_in = sending(api_token="s3cr3t-token", ingest_endpoint="http://user:s3cr3t-password@h/e", queue=BREAKER)
    answering(stand_in, status, "timeout")
    _, why = stand_in.send(ONE)
    assert "s3cr3t" not in "".join([str(why), *stand_in.logged])


# The circuit breaker, which Kong 3.9's queue does not have ---------------------------------------------------------

BREAKER = {"max_retry_time": -1, "failure_threshold": 2, "breaker_cooldown": 10}


def test_brk1_a_success_between_failures_keeps_the_breaker_closed() -> None:
    stand_in = sending(queue=BREAKER)
    for status in (503, 202, 503, 202):
        answering(stand_in, status)
        stand_in.send(ONE)
        stand_in.world["now"] += 1
    assert len(stand_in.posts) == 4
    assert not [line for line in stand_in.logged if "breaker" in line]


def test_brk1_a_batch_that_is_still_retried_is_not_counted() -> None:
    stand_in = sending(queue={**BREAKER, "max_retry_time": 5, "failure_threshold": 1})
    answering(stand_in, 503)
    queue = stand_in.world["queue"]
    batch = stand_in.lua.table_from(["{}"])
    for now in (0, 1, 5, 5.5):
        stand_in.world["now"] = now
        assert queue["handler"](queue["order"], batch)[0] is None
        opened = [line for line in stand_in.logged if "circuit breaker open" in line]
        assert len(opened) == (now > 5)


def test_brk3_a_failed_probe_is_not_retried_and_opens_the_breaker_again() -> None:
    stand_in = sending(queue={"max_retry_time": 60, "failure_threshold": 1, "breaker_cooldown": 10})
    answering(stand_in, 503)
    queue = stand_in.world["queue"]
    batch = stand_in.lua.table_from(["{}"])
    assert queue["handler"](queue["order"], batch)[0] is None
    stand_in.world["now"] = 61
    assert queue["handler"](queue["order"], batch)[0] is None
    stand_in.world["now"] = 72
    assert stand_in.send(TWO) == (True, None)
    assert "1 usage event(s) lost with the circuit breaker's probe" in stand_in.logged[-1]
    stand_in.world["now"] = 81
    assert stand_in.send(ONE) == (True, None)
    assert len(stand_in.posts) == 3


def test_without_a_threshold_nothing_is_ever_dropped() -> None:
    stand_in = sending(queue={"max_retry_time": -1})
    answering(stand_in, 503)
    for _ in range(100):
        assert stand_in.send(ONE)[0] is None
    assert len(stand_in.posts) == 100
    stand_in.log(EXCHANGE)
    assert len(stand_in.entries()) == 2


def test_the_breaker_keeps_its_settings_while_its_queue_has_entries() -> None:
    stand_in = sending(queue={**BREAKER, "failure_threshold": 1})
    stand_in.world["existing"]["plugin-1"] = True
    stand_in.configure({"queue": {"failure_threshold": 0}, "subject": {"look_up_value_in": "header", "field": "x-t"}})
    changed = {**EXCHANGE, "request": {**EXCHANGE["request"], "headers": [["x-t", "acme"]]}}  # type: ignore[dict-item]
    stand_in.log(changed)
    answering(stand_in, 503)
    stand_in.send(ONE)
    stand_in.log(changed)
    assert stand_in.logged[-1] == "warn: circuit breaker is open: 1 usage event(s) dropped"
    stand_in.world["existing"]["plugin-1"] = False
    stand_in.entries()
    stand_in.log(changed)
    assert len(stand_in.entries()) == 1


def test_an_open_breaker_of_one_instance_leaves_the_other_alone() -> None:
    stand_in = sending(queue={**BREAKER, "failure_threshold": 1})
    answering(stand_in, 503)
    stand_in.send(ONE)
    stand_in.entries()
    stand_in.world["plugin_id"] = "plugin-2"
    stand_in.log(EXCHANGE)
    assert len(stand_in.entries()) == 1
    answering(stand_in, 202)
    assert stand_in.send(ONE) == (True, None)
