"""Advice on conditions (CND-6): the other version's language, names that never match, what may fail."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugin_emulator.conditions.advice import advice, names_header


def ids(text: str, gateway: str = "3.16") -> list[str]:
    return [piece.id for piece in advice(text, gateway)]


@pytest.mark.parametrize(
    ("text", "gateway", "fix"),
    [
        ('http.path ^= "/v1"', "3.15", "write FIELD.startsWith(…) for ^="),
        (r'http.path ~ r#"^/v\d"#', "3.16", "write FIELD.matches(…) for ~"),
        ("net.src.ip in 10.0.0.0/8", "3.16", "write it in CEL"),
        ('http.path.startsWith("/v1")', "3.14", "write FIELD ^= … for startsWith()"),
        ("http.headers.a != null", "3.14", "write no check for null: an absent field makes its predicate false"),
    ],
)
def test_cnd_6_a_condition_in_the_language_of_the_other_version_is_told_with_how_to_write_it(
    text: str, gateway: str, fix: str
) -> None:
    (piece,) = advice(text, gateway)
    assert (piece.id, piece.fix) == ("condition-language", fix)


@pytest.mark.parametrize(
    ("text", "gateway", "fix"),
    [
        ('http.headers.x-tenant-id != ""', "3.16", "write http.headers.x_tenant_id"),
        ('http.headers["X-Tenant-Id"] != null', "3.16", "write http.headers.x_tenant_id"),
        ('http.headers.X_Tenant == "a"', "3.16", "write http.headers.x_tenant"),
        ('"a" in http.headers_list["x-roles"]', "3.15", "write http.headers_list.x_roles"),
        ('http.headers.X_Tenant == "a"', "3.14", "write http.headers.x_tenant"),
    ],
)
def test_cnd_6_a_header_name_that_never_matches_is_told_with_the_one_that_does(
    text: str, gateway: str, fix: str
) -> None:
    (piece,) = advice(text, gateway)
    assert (piece.id, piece.fix) == ("condition-header-name", fix)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('http.headers.x_plan.startsWith("gold")', ["condition-fails"]),
        ('kong.ctx.shared.flag == "on"', ["condition-fails"]),
        ("size(consumer.tags) > 1", ["condition-fails"]),
        ('consumer.name == "alice"', ["condition-unknown-name"]),
        ('request.path == "/"', ["condition-unknown-name"]),
        ('http.path.starts_with("/v1")', ["condition-unknown-name"]),
        ("http.path.segments.len == 3", ["condition-unknown-name"]),
        ("has(http.headers.x_plan)", ["condition-has-of-field"]),
    ],
)
def test_what_would_answer_clients_with_500_or_is_not_documented_is_told(text: str, found: list[str]) -> None:
    assert ids(text) == found


@pytest.mark.parametrize(
    ("text", "gateway"),
    [
        ('http.method == "GET"', "3.14"),
        ('http.method == "GET"', "3.16"),
        ('http.headers.x_plan != null && http.headers.x_plan.startsWith("gold")', "3.16"),
        ('default(http.headers.x_plan.startsWith("gold"), false)', "3.16"),
        ('has(kong.ctx.shared.flag) && kong.ctx.shared.flag == "on"', "3.16"),
        ('["a", "b"].exists(name, name == consumer.username)', "3.16"),
        ("net.src.port - net.dst.port > 0 && size(http.path_segments) < 9", "3.16"),
        ('http.headers.a == "1" && (http.path == "/" || http.path == "/x") && !(http.host == "a")', "3.14"),
        ("http.method ==", "3.14"),
        ("http.method ==", "3.16"),
    ],
)
def test_a_sound_condition_and_one_that_is_refused_anyway_get_no_advice(text: str, gateway: str) -> None:
    assert advice(text, gateway) == []


def test_and_beside_or_in_a_router_expression_is_told() -> None:
    mixed = 'http.path == "/" || http.host == "a" && http.method == "GET"'
    assert ids(mixed, "3.14") == ["condition-and-with-or"]
    assert ids(mixed, "3.16") == []
    assert ids(r'http.path ~ r#"a"&&b"# || (http.host == "a" && http.path == "||")', "3.14") == []


def test_cnd_6_a_condition_that_looks_at_the_subjects_header_is_recognised() -> None:
    for gateway in ("3.14", "3.15", "3.16"):
        assert names_header('http.headers.x_tenant_id == "acme"', gateway, "X-Tenant-Id")
        assert not names_header('http.path == "x_tenant_id"', gateway, "x-tenant-id")
        assert not names_header("http.headers.x_tenant_id ==", gateway, "x-tenant-id")
    assert names_header("http.headers_list.x_tenant_id != null", "3.16", "x-tenant-id")


_PIECES = st.sampled_from(
    [
        "http.headers.a",
        "-b",
        '["C-d"]',
        "==",
        "&&",
        "||",
        "(",
        ")",
        '"s3cret"',
        "has(",
        "null",
        "net",
        ".x",
        "f(",
        " ",
    ]
)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(_PIECES, max_size=10).map("".join), st.sampled_from(["3.14", "3.16"]))
def test_any_text_gets_advice_that_quotes_no_string_of_it(text: str, gateway: str) -> None:
    for piece in advice(text, gateway):
        assert "s3cret" not in piece.message + piece.fix
        assert piece.message and piece.fix
