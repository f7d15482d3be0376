"""Whom key-auth lets in, and what it says to everyone else."""

from __future__ import annotations

import json

import pytest

from plugin_emulator.gateway.entities import Consumer, KeyAuthCredential
from plugin_emulator.gateway.http1 import parse_fields
from plugin_emulator.gateway.key_auth import Identity, KeyAuth, body_without, query_without
from plugin_emulator.gateway.key_auth_config import KeyAuthConfig

ALICE = Consumer("id-alice", "alice")
BOB = Consumer("id-bob", "bob", "bob-42")
GUEST = Consumer("id-guest", "guest")
NO_KEY, DUPLICATE, UNKNOWN = "No API key found in request", "Duplicate API key found", "Unauthorized"


def key_auth(config: KeyAuthConfig, anonymous: Identity | None = None) -> KeyAuth:
    credentials = [KeyAuthCredential("cred-a", "alice-key", ALICE), KeyAuthCredential("cred-b", "bob-key", BOB)]
    identities = {credential.key: Identity(credential.consumer, credential) for credential in credentials}
    return KeyAuth(config, identities, anonymous)


def outcome(
    headers: str = "",
    query: str | None = None,
    *,
    config: KeyAuthConfig | None = None,
    body: bytes = b"",
    method: str = "GET",
    anonymous: Identity | None = None,
) -> str | None:
    """Return the username let in, the refusal, or None when nothing was asked."""
    fields = parse_fields("".join(f"{line}\r\n" for line in headers.split("|") if line).encode("latin-1"))
    decision = key_auth(config or KeyAuthConfig(), anonymous).decide(method, fields, query, body)
    if decision.identity is None:
        return decision.refusal
    return decision.identity.consumer.username


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ("apikey: alice-key", None, "alice"),
        ("APIKEY: alice-key", None, "alice"),
        ("apikey:   alice-key  ", None, "alice"),
        ("apikey: ALICE-KEY", None, UNKNOWN),
        ("apikey: wrong", None, UNKNOWN),
        ("apikey:", None, NO_KEY),
        ("", None, NO_KEY),
        ("Authorization: Bearer alice-key", None, NO_KEY),
        ("apikey: alice-key|apikey: bob-key", None, DUPLICATE),
        ("", "apikey=alice-key&a=1", "alice"),
        ("", "a=1&apikey=alice%2Dkey", "alice"),
        ("", "%61pikey=alice-key", "alice"),
        ("", "APIKEY=alice-key", NO_KEY),
        ("", "apikey=", NO_KEY),
        ("", "apikey", NO_KEY),
        ("", "apikey=alice-key&apikey=bob-key", DUPLICATE),
        ("apikey: alice-key", "apikey=wrong", "alice"),
        ("apikey: wrong", "apikey=alice-key", UNKNOWN),
    ],
)
def test_a_key_is_found_in_a_header_first_and_in_the_query_second(
    headers: str, query: str | None, expected: str
) -> None:
    assert outcome(headers, query) == expected


@pytest.mark.parametrize(
    ("config", "headers", "query", "expected"),
    [
        (KeyAuthConfig(key_names=("x-api-key",)), "apikey: alice-key", None, NO_KEY),
        (KeyAuthConfig(key_names=("x-api-key",)), "x-api-key: alice-key", None, "alice"),
        (KeyAuthConfig(key_names=("one", "two")), "two: bob-key", None, "bob"),
        (KeyAuthConfig(key_names=("one", "two")), "two: bob-key", "one=alice-key", "alice"),
        (KeyAuthConfig(key_in_header=False), "apikey: alice-key", None, NO_KEY),
        (KeyAuthConfig(key_in_query=False), "", "apikey=alice-key", NO_KEY),
    ],
)
def test_the_configuration_says_where_a_key_may_stand(
    config: KeyAuthConfig, headers: str, query: str | None, expected: str
) -> None:
    assert outcome(headers, query, config=config) == expected


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json", b'{"apikey":"alice-key"}', "alice"),
        ("application/json", b'{"z":1}', NO_KEY),
        ("application/json", b"{oops", NO_KEY),
        ("application/json", b'["apikey"]', NO_KEY),
        ("application/x-www-form-urlencoded", b"a=1&apikey=bob-key", "bob"),
        (
            "multipart/form-data; boundary=B",
            b'--B\r\nContent-Disposition: form-data; name="apikey"\r\n\r\nalice-key\r\n--B--\r\n',
            "alice",
        ),
        ("text/plain", b"apikey=alice-key", NO_KEY),
    ],
)
def test_with_key_in_body_the_body_is_searched_last(content_type: str, body: bytes, expected: str) -> None:
    config = KeyAuthConfig(key_in_body=True)
    assert outcome(f"Content-Type: {content_type}", config=config, body=body) == expected
    assert outcome(f"Content-Type: {content_type}", body=body) == NO_KEY


@pytest.mark.parametrize("headers", ["", "apikey: wrong", "apikey: alice-key|apikey: bob-key"])
def test_an_anonymous_consumer_stands_in_whenever_authentication_fails(headers: str) -> None:
    guest = Identity(GUEST, None)
    assert outcome(headers, config=KeyAuthConfig(anonymous="guest"), anonymous=guest) == "guest"
    assert outcome("apikey: alice-key", config=KeyAuthConfig(anonymous="guest"), anonymous=guest) == "alice"


def test_an_anonymous_consumer_that_does_not_exist_is_an_error_of_the_gateway() -> None:
    decision = key_auth(KeyAuthConfig(anonymous="nobody")).decide("GET", parse_fields(b""), None)
    assert (decision.status, decision.refusal) == (500, "An unexpected error occurred")


def test_preflight_requests_pass_unasked_only_when_configured() -> None:
    assert outcome(method="OPTIONS") == NO_KEY
    assert outcome(method="OPTIONS", config=KeyAuthConfig(run_on_preflight=False)) is None


def test_the_identity_headers_name_only_what_the_consumer_has() -> None:
    assert Identity(ALICE, KeyAuthCredential("c", "k", ALICE)).pairs == [
        ("X-Consumer-ID", "id-alice"),
        ("X-Consumer-Username", "alice"),
        ("X-Credential-Identifier", "c"),
    ]
    assert Identity(Consumer("i", None, "only-custom"), None).pairs == [
        ("X-Consumer-ID", "i"),
        ("X-Consumer-Custom-ID", "only-custom"),
        ("X-Anonymous-Consumer", "true"),
    ]


def test_the_challenge_names_the_realm() -> None:
    assert key_auth(KeyAuthConfig()).challenge == "Key"
    assert key_auth(KeyAuthConfig(realm="my realm")).challenge == 'Key realm="my realm"'


@pytest.mark.parametrize(
    ("query", "rest"),
    [
        ("x-api-key=k&b=2", "b=2"),
        ("b=2&a=1&x-api-key=k", "a=1&b=2"),
        ("x-api-key=k", ""),
        ("b=1&x-api-key=k&b=2", "b=1&b=2"),
        ("flag&x-api-key=k&s=a+b%2F", "flag&s=a%20b%2F"),
    ],
)
def test_hidden_credentials_leave_the_query_sorted_and_encoded_anew(query: str, rest: str) -> None:
    assert query_without(query, "x-api-key") == rest


def test_hidden_credentials_leave_the_body() -> None:
    assert json.loads(body_without("application/json", b'{"k":"secret","z":1}', "k")) == {"z": 1}
    assert body_without("application/x-www-form-urlencoded", b"k=secret&z=1", "k") == b"z=1"
    assert body_without("application/json", b'{"z":1}', "k") == b'{"z":1}'


def test_no_key_is_in_the_repr_of_a_decision() -> None:
    fields = parse_fields(b"apikey: alice-key\r\n")
    assert "alice-key" not in repr(key_auth(KeyAuthConfig()).decide("GET", fields, None))
