"""Conditions in Kong's router expression language: fields, operators, types, refusals (CND-4, CND-5)."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugin_emulator.conditions import (
    ConsumerFacts,
    EntityFacts,
    Facts,
    InvalidCondition,
    compile_condition,
)

REQUEST = Facts(
    method="POST",
    path="/v1/orders/42/",
    host="api.example.com",
    headers=[("X-Tenant-Id", "Acme"), ("x-roles", "reader"), ("X-Roles", "editor"), ("X-Quote", 'a"b\\c')],
    query="page=1&page=2&flag",
    src_ip="10.1.2.3",
    src_port=40000,
    dst_ip="fd00::1",
    dst_port=8000,
    route=EntityFacts("r-1", "orders", ("internal",)),
    service=EntityFacts("s-1", "shop"),
    consumer=ConsumerFacts("c-1", "alice"),
)
EMPTY = Facts(protocol=None, path="/")


def holds(text: str, facts: Facts = REQUEST) -> bool:
    return compile_condition(text, "3.14").holds(facts)


def refused(text: str) -> InvalidCondition:
    with pytest.raises(InvalidCondition) as error:
        compile_condition(text, "3.14")
    return error.value


@pytest.mark.parametrize(
    "text",
    [
        'http.method == "POST"',
        'http.method != "GET"',
        'http.host =^ ".example.com"',
        'http.path ^= "/v1/"',
        'http.path contains "orders"',
        r'http.path ~ r#"^/v\d+/orders/[0-9]+/$"#',
        r'http.path ~ "^/v\\d/"',
        'http.path ~ "orders"',
        'http.path.segments.0 == "v1"',
        'http.path.segments.0_1 == "v1/orders"',
        "http.path.segments.len == 3",
        'http.headers.x_tenant_id == "Acme"',
        'lower(http.headers.x_tenant_id) == "acme"',
        r'http.headers.x_quote == "a\"b\\c"',
        'any(http.queries.page) == "2"',
        'http.queries.flag == ""',
        "net.src.ip == 10.1.2.3",
        "net.src.ip != 10.1.2.4",
        "net.src.ip in 10.0.0.0/8",
        "net.src.ip not in 192.168.0.0/16",
        "net.src.ip\nnot   in\tfd00::/8",
        "net.dst.ip in fd00::/64",
        "net.dst.ip == fd00:0::1",
        "net.src.port > 1024",
        "net.src.port >= 40000 && net.src.port <= 0x9c40 && net.dst.port == 017500",
        "net.src.port < 65536 && net.src.port != -1",
        'net.protocol == "http"',
        'route.id == "r-1" && route.name == "orders"',
        'service.id == "s-1" && service.name == "shop"',
        'consumer.id == "c-1" && consumer.username == "alice"',
        '(http.method == "GET" || http.method == "POST") && !(http.path ^= "/health")',
        '!(http.method == "GET" && http.path == "/")',
    ],
)
def test_cnd_4_each_field_and_operator_says_what_the_request_is(text: str) -> None:
    assert holds(text) is True
    assert holds(f"!({text})") is False
    assert holds(f"!(!(({text})))") is True


@pytest.mark.parametrize(
    "predicate",
    [
        *('http.host == "a"', 'http.host != "a"', 'http.headers.x_nope != "a"', 'any(http.headers.x_nope) != "a"'),
        *('http.queries.q ~ ".*"', 'http.path.segments.0 contains ""', 'http.path.segments.0_1 != "x"'),
        *("net.src.ip == 10.0.0.1", "net.src.ip not in 10.0.0.0/8", "net.src.port != 1", "net.dst.port >= 0"),
        *('net.protocol != "http"', 'tls.sni != "x"', 'net.tls.sni != "x"', 'consumer.custom_id != "x"'),
        *('route.name != "x"', 'service.name ^= ""', 'consumer.username =^ ""', 'kong.ctx.shared.flag != "on"'),
    ],
)
def test_cnd_4_an_absent_field_makes_its_predicate_false_and_its_negation_true(predicate: str) -> None:
    assert holds(predicate, EMPTY) is False
    assert holds(f"!({predicate})", EMPTY) is True


def test_every_value_of_a_header_or_parameter_must_fit_and_with_any_one() -> None:
    assert not holds('http.headers.x_roles == "editor"')
    assert holds('any(http.headers.x_roles) == "editor"')
    assert holds('http.headers.x_roles ~ "^(reader|editor)$"')
    assert holds('http.headers.x_roles != "admin"')
    assert not holds('http.headers.x_roles != "editor"')
    assert holds('any(http.headers.x_roles) != "editor"')
    assert holds('any(lower(http.headers.x_roles)) =^ "or"') and holds('lower(any(http.headers.x_roles)) =^ "or"')


def test_addresses_of_different_families_are_unequal_and_outside() -> None:
    assert not holds("net.src.ip == fd00::1")
    assert not holds("net.src.ip in fd00::/8")
    assert holds("net.src.ip not in fd00::/8")
    assert not holds("net.src.ip not in 10.0.0.0/8", Facts(src_ip="unix:"))


def test_or_binds_more_tightly_than_and_as_in_kongs_parser() -> None:
    true, false = 'http.method == "POST"', 'http.method == "GET"'
    assert not holds(f"{true} || {true} && {false}")
    assert holds(f"{true} || ({true} && {false})")
    assert not holds(f"{false} && {true} || {true}")
    assert holds(f"({false} && {true}) || {true}")


@pytest.mark.parametrize(
    ("text", "reason", "place"),
    [
        ("http.method ==", "is no router expression: unexpected end", (1, 15)),
        ("http.method", "is no router expression: unexpected end", (1, 12)),
        ('http.path.startsWith("/v1")', "is no router expression: unexpected string", (1, 22)),
        ('"GET" == http.method', "is no router expression: unexpected string", (1, 1)),
        ('! http.method == "GET"', "is no router expression: unexpected 'http.method'", (1, 3)),
        ('http.headers.x-tenant-id == "a"', "is no router expression: unexpected '-'", (1, 15)),
        ("http.method == 'GET'", 'is no router expression: unexpected "\'"', (1, 16)),
        ('http.method == "GET', "is no router expression: a string without its end, or out of place", (1, 16)),
        ('http.path == "/" &&\n  http.pth == "/"', "unknown field 'http.pth'", (2, 3)),
        ('http.path.segments.2_1 == "a"', "unknown field 'http.path.segments.2_1'", (1, 1)),
        ('route.tags == "a"', "unknown field 'route.tags'", (1, 1)),
        ('plugins.key_auth.is_matched == "a"', "unknown field 'plugins.key_auth.is_matched'", (1, 1)),
        ('upper(http.path) == "/"', "unknown transformation 'upper'", (1, 1)),
        ("lower(net.src.port) == 1", "lower() of a field of type Int", (1, 1)),
        (r'http.path ~ "\d"', "unknown escape in a string", (1, 14)),
        ('http.path ~ "("', "no regular expression", (1, 13)),
        (r'http.path ~ r#"(?=a)"#', "no regular expression", (1, 13)),
        ("net.src.ip in 10.1.0.0/8", "a CIDR whose host part is not zero", (1, 15)),
        ("net.src.ip == 10.0.0", "neither a number nor an IP address", (1, 15)),
        ("net.src.port == 9223372036854775808", "a number beyond 64 bits", (1, 17)),
        ('net.src.port == "1"', "'==' does not go with a field of type Int and a string", (1, 14)),
        ("http.path == 1", "'==' does not go with a field of type String and a number", (1, 11)),
        ('http.path > "a"', "'>' does not go with a field of type String and a string", (1, 11)),
        ('http.path in "abc"', "'in' does not go with a field of type String and a string", (1, 11)),
        (
            "http.headers.a not in 10.0.0.0/8",
            "'not in' does not go with a field of type String[] and a CIDR",
            (1, 16),
        ),
        ('net.src.ip ~ "10"', "'~' does not go with a field of type IpAddr and a string", (1, 12)),
        ("net.src.ip == 10.0.0.0/8", "'==' does not go with a field of type IpAddr and a CIDR", (1, 12)),
        ("net.src.ip in 10.0.0.1", "'in' does not go with a field of type IpAddr and an address", (1, 12)),
    ],
)
def test_cnd_5_a_mistake_is_refused_with_its_place(text: str, reason: str, place: tuple[int, int]) -> None:
    error = refused(text)
    assert (error.reason, (error.line, error.column)) == (reason, place)
    assert error.problem().hint


def test_a_refusal_never_quotes_a_string_of_the_condition() -> None:
    for text in ('http.path == "s3cret" "s3cret"', 'http.path > "s3cret"', 'http.path == "s3cret', '"s3cret"'):
        assert "s3cret" not in str(refused(text).problem())


def test_brackets_and_negations_as_deep_as_the_length_allows_are_answered() -> None:
    assert holds("(" * 400 + 'http.method == "POST"' + ")" * 400)
    assert holds("!(" * 330 + 'http.method == "POST"' + ")" * 330)
    assert not holds("!(" * 331 + 'http.method == "POST"' + ")" * 331)


# ------------------------------------------------------------------------------- against plain Python

_STRINGS = st.text(st.characters(codec="utf-8"), max_size=5)


def _quoted(text: str) -> str:
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(character, character) for character in text) + '"'


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(_STRINGS, min_size=1, max_size=3), _STRINGS)
def test_string_operators_do_what_pythons_do_for_any_text(values: list[str], constant: str) -> None:
    values = [value.strip(" \t") for value in values]
    facts = Facts(headers=[("X-Any", value) for value in values])
    for operator, test in {
        "==": lambda value: value == constant,
        "!=": lambda value: value != constant,
        "^=": lambda value: value.startswith(constant),
        "=^": lambda value: value.endswith(constant),
        "contains": lambda value: constant in value,
    }.items():
        assert holds(f"http.headers.x_any {operator} {_quoted(constant)}", facts) is all(map(test, values))
        assert holds(f"any(http.headers.x_any) {operator} {_quoted(constant)}", facts) is any(map(test, values))


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.integers(0, 65535), st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(0, 65535))
def test_number_operators_do_what_pythons_do(port: int, constant: int) -> None:
    facts = Facts(src_port=port)
    for written in (str(constant), f"{'-' if constant < 0 else ''}0x{abs(constant):x}"):
        assert holds(f"net.src.port == {written}", facts) is (port == constant)
        assert holds(f"net.src.port > {written}", facts) is (port > constant)
        assert holds(f"net.src.port <= {written}", facts) is (port <= constant)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 32))
def test_cidr_membership_is_that_of_the_ipaddress_module(
    client: ipaddress.IPv4Address | ipaddress.IPv6Address,
    base: ipaddress.IPv4Address | ipaddress.IPv6Address,
    prefix: int,
) -> None:
    network = ipaddress.ip_network(f"{base}/{prefix}", strict=False)
    facts = Facts(src_ip=str(client))
    assert holds(f"net.src.ip in {network}", facts) is (client in network)
    assert holds(f"net.src.ip not in {network}", facts) is (client not in network)
