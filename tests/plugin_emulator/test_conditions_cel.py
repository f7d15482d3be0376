"""Conditions in CEL: fields, null, has(), default(), failures, refusals (CND-2, CND-3, CND-5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugin_emulator.conditions import (
    Condition,
    ConditionFailed,
    ConsumerFacts,
    EntityFacts,
    Facts,
    InvalidCondition,
    PluginFacts,
    compile_condition,
)

REQUEST = Facts(
    method="POST",
    path="/v1/orders/42/",
    host="api.example.com",
    headers=[
        ("Host", "api.example.com"),
        ("X-Tenant-Id", " acme\t"),
        ("x-roles", "reader"),
        ("X-Roles", "editor"),
        ("X_Under", "line"),
        ("Authorization", "Bearer s3cret"),
    ],
    query="page=1&page=2&flag&name=a%20b+c&=nameless",
    src_ip="10.1.2.3",
    src_port=40000,
    dst_ip="127.0.0.1",
    dst_port=8000,
    route=EntityFacts("r-1", "orders", ("internal",)),
    service=EntityFacts("s-1", "shop"),
    consumer=ConsumerFacts("c-1", "alice", None, ("vip", "eu")),
    plugins={
        "key_auth": PluginFacts(is_matched=True, priority=1250, access_has_executed=True),
        "metering_and_billing": PluginFacts(is_matched=False, priority=16, access_has_executed=False),
    },
)
EMPTY = Facts(protocol=None)


def cel(text: str, gateway: str = "3.16") -> Condition:
    return compile_condition(text, gateway)


def refused(text: str) -> InvalidCondition:
    with pytest.raises(InvalidCondition) as error:
        cel(text)
    return error.value


def failure(text: str, facts: Facts = REQUEST) -> str:
    with pytest.raises(ConditionFailed) as error:
        cel(text).holds(facts)
    return str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        'http.method == "POST"',
        'http.host == "api.example.com"',
        'http.path == "/v1/orders/42/"',
        'http.path_segments == ["v1", "orders", "42"]',
        'http.path_segments[1] == "orders"',
        '"orders" in http.path_segments',
        "size(http.path_segments) == 3",
        'http.headers.x_tenant_id == "acme"',
        'http.headers["x_tenant_id"] == "acme"',
        'http.headers.x_under == "line"',
        'http.headers.x_roles == "reader"',
        'http.headers_list.x_roles == ["reader", "editor"]',
        '"editor" in http.headers_list.x_roles',
        'http.headers_list.x_roles.exists(role, role == "editor")',
        "http.headers_list.x_roles.all(role, role.size() == 6)",
        'http.queries.page == "1"',
        'http.queries_list.page == ["1", "2"]',
        'http.queries.flag == ""',
        'http.queries.name == "a b c"',
        'net.protocol == "http"',
        "net.tls.sni == null",
        'net.src.ip == "10.1.2.3" && net.src.port > 1024',
        'net.dst.ip == "127.0.0.1" && net.dst.port == 8000',
        'route.id == "r-1" && route.name == "orders" && "internal" in route.tags',
        'service.id == "s-1" && service.name == "shop" && service.tags == null',
        'consumer.id == "c-1" && consumer.username == "alice" && consumer.custom_id == null',
        '"vip" in consumer.tags',
        "consumer_group.names == null && consumer_group.ids == null",
        "principal.id == null && principal.metadata == null",
        "plugins.key_auth.is_matched == true && plugins.key_auth.priority > 1000",
        "plugins.key_auth.access_has_executed",
        "plugins.metering_and_billing.is_matched == false && plugins.metering_and_billing.priority == null",
        "plugins.rate_limiting.is_matched == null && plugins.rate_limiting.access_has_executed == null",
        "size(kong.ctx.shared) == 0",
        'http.path.startsWith("/v1") && http.path.endsWith("/") && http.path.contains("orders")',
        r'http.path.matches("^/v\\d+/orders/[0-9]+/$")',
        r"http.path.matches(r'/v\d/')",
        '(http.method == "GET" || http.method == "POST") && !(http.path == "/health")',
        'http.method == "GET" || http.method == "POST" && true',
        '"x" + http.method == "xPOST"  // the method, marked',
        "[1, 2].map(n, n * 2).filter(n, n > 2) == [4]",
        'http.method == "POST" ? true : false',
        "[true, false].exists(route, route)",
    ],
)
def test_cnd_2_each_field_and_function_says_what_the_request_is(text: str) -> None:
    assert cel(text).holds(REQUEST) is True
    assert cel(f"!({text})".replace("  // the method, marked", "")).holds(REQUEST) is False


@pytest.mark.parametrize(
    "field",
    [
        *("http.host", "http.headers.x_tenant_id", "http.headers_list.x_tenant_id", "http.queries.a"),
        *("http.queries_list.a", "net.protocol", "net.tls.sni", "net.src.ip", "net.src.port", "net.dst.ip"),
        *("net.dst.port", "route.id", "route.name", "route.tags", "service.id", "service.name", "service.tags"),
        *("consumer.id", "consumer.username", "consumer.custom_id", "consumer.tags", "consumer_group.names"),
        *("consumer_group.ids", "plugins.key_auth.is_matched", "plugins.key_auth.priority", "principal.id"),
    ],
)
def test_cnd_2_a_field_that_the_request_does_not_have_is_null_and_has_says_so(field: str) -> None:
    assert cel(f"{field} == null").holds(EMPTY)
    assert cel(f'{field} != "x"').holds(EMPTY)
    assert not cel(f"has({field})").holds(EMPTY)


def test_cnd_2_has_of_a_field_is_true_where_the_request_has_it() -> None:
    assert cel("has(http.headers.x_tenant_id) && has( consumer.tags )").holds(REQUEST)
    assert cel("!has(http.headers.nope) || http.headers.nope == null").holds(REQUEST)
    assert cel('has({"a": 1}.a) && !has({"a": 1}.b) && !has(kong.ctx.shared.flag)').holds(REQUEST)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('kong.ctx.shared.my_flag == "on"', "no such key: my_flag"),
        ("consumer.name == null", "no such key: name"),
        ('http.headers.nope.startsWith("a")', "no such overload"),
        ("size(http.headers.nope) == 0", "no such overload"),
        ('"vip" in http.headers_list.nope', "no such overload"),
        ("http.method > 3", "no such overload"),
        ("http.path_segments[9] == http.path", "index out of bounds"),
        ("net.src.port / 0 == 1", "division by zero"),
        ("net.src.port + 9223372036854775807 > 0", "a number is out of range"),
        ("http.path", "the result is neither true nor false"),
        ("null", "the result is neither true nor false"),
        ("request.method == http.method", "undeclared reference to 'request'"),
        ("http.headers.x-tenant-id == null", "undeclared reference to 'tenant'"),
        ('http.path.starts_with("/v1")', "undeclared reference to 'starts_with'"),
        ('http.path.matches("(")', "the argument of matches() is no regular expression"),
    ],
)
def test_cnd_3_an_expression_without_an_answer_fails_and_says_why(text: str, said: str) -> None:
    assert failure(text).startswith(said)


@pytest.mark.parametrize(
    "text",
    [
        '{"k": 1}[http.headers.authorization] == 1',
        'http.path.matches(http.headers.authorization + "(")',
        "int(http.headers.authorization) == 1",
        "timestamp(http.headers.authorization) == timestamp(http.path)",
        'http.headers.authorization == "Bearer s3cret" && 1 / 0 == 1',
    ],
)
def test_a_failure_never_quotes_the_request_nor_a_string_of_the_condition(text: str) -> None:
    assert "s3cret" not in failure(text)


def test_and_and_or_take_the_side_that_decides_whatever_the_other_does() -> None:
    assert not cel('http.method == "GET" && kong.ctx.shared.a == "1"').holds(REQUEST)
    assert not cel('kong.ctx.shared.a == "1" && http.method == "GET"').holds(REQUEST)
    assert cel('kong.ctx.shared.a == "1" || http.method == "POST"').holds(REQUEST)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('default(kong.ctx.shared.flag == "on", false)', False),
        ('default(kong.ctx.shared.flag == "on", true)', True),
        ('default(http.method == "POST", false)', True),
        (' default ( http.headers.nope.size() > 3 ,\n http.method == "POST" )', True),
        ("default(has(kong.ctx.shared.a) && [1, 2].exists(n, n == 2), true)", False),
    ],
)
def test_cnd_2_default_gives_the_fallback_where_the_expression_fails(text: str, answer: bool) -> None:
    assert cel(text).holds(REQUEST) is answer


def test_a_fallback_that_fails_is_a_failure() -> None:
    assert failure("default(1 / 0 == 1, kong.ctx.shared.x)") == "no such key: x"


@pytest.mark.parametrize(
    ("text", "reason", "place"),
    [
        ("http.method ==", "is no CEL expression: unexpected end", (1, 15)),
        ('http.path ^= "/v1"', "is no CEL expression: unexpected '^'", (1, 11)),
        ('http.path ~ r#"^/v1"#', "is no CEL expression: unexpected '~'", (1, 11)),
        ('true &&\n  http.path contains "x"', "is no CEL expression: unexpected 'contains'", (2, 13)),
        ("true false", "is no CEL expression: unexpected 'false'", (1, 6)),
        ('"é" "b"', "is no CEL expression: unexpected string", (1, 5)),
        ("http.path == 'open", 'is no CEL expression: unexpected "\'"', (1, 14)),
        ("has(http)", "is no CEL expression: invalid argument to has() macro", (1, 5)),
        ("1 == 99999999999999999999", "is no CEL expression: invalid int literal", (1, 6)),
        ("true && default(true, false)", "default() inside an expression", (1, 9)),
        ("default(default(true, false), false)", "default() inside an expression", (1, 9)),
        ("default(true)", "default() with 1 argument", (1, 1)),
        ("default(true, false, true)", "default() with 3 arguments", (1, 1)),
        ("size(http.headers) > 3", "'http.headers' as a whole is not emulated", (1, 6)),
        ("http.headers[http.path] == null", "'http.headers' as a whole is not emulated", (1, 1)),
        ("plugins.key_auth == null", "'plugins.key_auth' as a whole is not emulated", (1, 1)),
    ],
)
def test_cnd_5_a_mistake_is_refused_with_its_place(text: str, reason: str, place: tuple[int, int]) -> None:
    error = refused(text)
    assert (error.reason, (error.line, error.column)) == (reason, place)


@pytest.mark.parametrize("nested", ["(" * 511, "[" * 511, "f(" * 340 + ")" * 340, "!" * 1023 + "("])
def test_an_expression_nested_too_deeply_or_cut_off_is_refused_like_any_other(nested: str) -> None:
    assert refused(nested).reason.startswith("is no CEL expression")


@pytest.mark.parametrize("gateway", ["3.14", "3.15", "3.16"])
def test_cnd_5_a_text_that_is_too_long_empty_or_no_text_is_refused_in_every_version(gateway: str) -> None:
    for text in ("", " \n", "a" * 1025, 'http.path == "\ud800"'):
        with pytest.raises(InvalidCondition):
            compile_condition(text, gateway)


def test_a_refusal_never_quotes_a_string_of_the_condition() -> None:
    for text in ('http.headers.a == "s3cret" "s3cret"', "http.headers.a == 's3cret", 'default("s3cret")'):
        problem = refused(text).problem()
        assert "s3cret" not in str(problem)


def test_a_condition_names_its_fields_and_is_equal_to_one_of_the_same_text_and_language() -> None:
    condition = cel('has(http.headers.a) && http.headers.a == http.path && "http.host" != consumer.id')
    assert condition.fields == ("http.headers.a", "http.path", "consumer.id")
    assert condition == cel(condition.text, "3.15")
    assert {condition: 1}[cel(condition.text)] == 1
    assert cel('http.method == "GET"') != compile_condition('http.method == "GET"', "3.14")


def test_the_answer_follows_the_request_however_many_different_ones_there_were() -> None:
    condition = cel('http.headers.n.endsWith("7")')
    for n in range(1200):
        assert condition.holds(Facts(headers=[("n", str(n))])) is (n % 10 == 7)
    with pytest.raises(ConditionFailed):
        condition.holds(EMPTY)
    with pytest.raises(ConditionFailed):
        condition.holds(EMPTY)
    assert condition.holds(Facts(headers=[("n", "7")]))


# ------------------------------------------------------------------------------------------ whatever is written

_PIECES = st.sampled_from(
    [
        *("http.method", "http.path", "http.headers.x", 'http.headers["x"]', "http.headers_list.x", "http.queries.q"),
        *("net.src.port", "route.tags", "consumer", "plugins.key_auth.priority", "kong.ctx.shared", ".flag", "nope"),
        *(
            "==",
            "!=",
            "<",
            "&&",
            "||",
            "!",
            "+",
            "-",
            "/",
            "%",
            "in",
            "?",
            ":",
            ".",
            ",",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
        ),
        *('"a"', "'b'", 'r"\\d"', "1", "2.5", "3u", "true", "null", "// c\n", "default(", "has(", "size(", "x"),
        *('.matches("(")', '.startsWith("a")', ".exists(x, x == 1)", ".map(y, y)", '"""', "\\", "é", "\n", " "),
    ]
)
_TEXTS = st.lists(_PIECES, max_size=12).map(" ".join) | st.lists(_PIECES, max_size=12).map("".join) | st.text()
_WORDS = st.text(max_size=6) | st.sampled_from(["", "a", "acme", "("])
_REQUESTS = st.builds(
    Facts,
    method=st.sampled_from(["GET", "POST"]),
    path=st.text(max_size=8).map("/{}".format),
    host=st.none() | _WORDS,
    headers=st.lists(st.tuples(st.sampled_from(["x", "X", "Y"]), _WORDS), max_size=3),
    query=st.sampled_from(["", "q", "q=1&q=2", "q=%ff", "&&=&"]) | st.text(max_size=8),
    src_ip=st.none() | st.sampled_from(["10.0.0.1", "::1", "unix:"]),
    src_port=st.none() | st.integers(0, 65535),
    route=st.none() | st.builds(EntityFacts, st.none() | _WORDS, _WORDS, st.tuples(_WORDS)),
    consumer=st.none() | st.builds(ConsumerFacts, _WORDS, st.none() | _WORDS),
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(_TEXTS, _REQUESTS, st.sampled_from(["3.14", "3.15"]))
def test_any_text_is_a_condition_or_refused_and_any_condition_answers_or_fails(
    text: str, facts: Facts, gateway: str
) -> None:
    try:
        condition = compile_condition(text, gateway)
    except InvalidCondition as error:
        lines: Any = text.split("\n")
        assert error.line is None or error.column is None or error.column <= len(lines[error.line - 1]) + 1
        return
    try:
        assert condition.holds(facts) in (True, False)
    except ConditionFailed:
        assert gateway == "3.15"
