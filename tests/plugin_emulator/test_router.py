"""Which Route a request belongs to, and which path goes upstream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_emulator.gateway.entities import Route
from plugin_emulator.gateway.router import Router
from plugin_emulator.gateway.uri import escape, normalize, upstream_path, upstream_path_v1


def found(
    routes: list[Route],
    path: str,
    *,
    method: str = "GET",
    host: str = "example.com",
    port: int = 8000,
    headers: dict[str, tuple[str, ...]] | None = None,
) -> str | None:
    match = Router(routes).find(method, host, port, path, headers)
    return match.route.id if match else None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/anything", "r"),
        ("/anything/", "r"),
        ("/anything/sub", "r"),
        ("/anythingelse", "r"),
        ("/Anything", None),
        ("/", None),
        ("/any", None),
    ],
)
def test_a_path_matches_as_a_prefix_of_characters_with_case(path: str, expected: str | None) -> None:
    assert found([Route("r", paths=("/anything",))], path) == expected


def test_a_regular_expression_is_anchored_at_the_start_only() -> None:
    routes = [Route("r", paths=(r"~/users/\d+",))]
    assert found(routes, "/users/42/orders") == "r"
    assert found(routes, "/v1/users/42") is None
    assert found(routes, "/users/me") is None


def test_the_matched_part_of_a_regular_expression_is_what_strip_path_removes() -> None:
    match = Router([Route("r", paths=(r"~/users/(?<id>\d+)",))]).find("GET", "h", 80, "/users/42/orders")
    assert match is not None
    assert match.path == "/users/42"


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("more kinds of criteria", Route("a", paths=("/x",), methods=("GET",)), Route("b", paths=("/x/long",))),
        (
            "host and path over path",
            Route("a", paths=("/x",), hosts=("example.com",)),
            Route("b", paths=("/x/long",)),
        ),
        (
            "exact host over wildcard",
            Route("a", hosts=("example.com",), paths=("/",)),
            Route("b", hosts=("*.com",), paths=("/x",)),
        ),
        (
            "more headers",
            Route("a", headers=(("x-a", ("1",)), ("x-b", ("2",)))),
            Route("b", headers=(("x-a", ("1",)),)),
        ),
        ("regular expression over prefix", Route("a", paths=("~/x",)), Route("b", paths=("/x/long",))),
        (
            "higher regex_priority",
            Route("a", paths=("~/x",), regex_priority=5),
            Route("b", paths=("~/x/long",), regex_priority=1),
        ),
        ("longer prefix", Route("a", paths=("/x/lo",)), Route("b", paths=("/x",))),
        ("earlier declaration", Route("a", paths=("/x",)), Route("b", paths=("/x",))),
        (
            "each path weighs by its own length",
            Route("a", paths=("/", "/x/long")),
            Route("b", paths=("/x/l",)),
        ),
    ],
)
def test_of_two_matching_routes_the_weightier_one_is_found(name: str, first: Route, second: Route) -> None:
    given_headers = {"x-a": ("1",), "x-b": ("2",)}
    assert found([first, second], "/x/long/path", headers=given_headers) == "a", name
    if name != "earlier declaration":
        assert found([second, first], "/x/long/path", headers=given_headers) == "a", name


@pytest.mark.parametrize(
    ("entry", "host", "port", "matches"),
    [
        ("example.com", "example.com", 8000, True),
        ("Example.COM", "example.com", 8000, True),
        ("example.com", "www.example.com", 8000, False),
        ("*.example.com", "www.example.com", 8000, True),
        ("*.example.com", "a.b.example.com", 8000, True),
        ("*.example.com", "example.com", 8000, False),
        ("example.*", "example.org", 8000, True),
        ("example.*", "sample.org", 8000, False),
        ("example.com:9000", "example.com", 9000, True),
        ("example.com:9000", "example.com", 8000, False),
        ("*.example.com:9000", "www.example.com", 9000, True),
    ],
)
def test_hosts_match_exactly_by_wildcard_and_by_port(entry: str, host: str, port: int, matches: bool) -> None:
    assert (found([Route("r", hosts=(entry,))], "/", host=host, port=port) == "r") is matches


@pytest.mark.parametrize(
    ("accepted", "given_values", "matches"),
    [
        (("gold",), ("gold",), True),
        (("gold",), ("GOLD",), True),
        (("gold", "silver"), ("silver",), True),
        (("gold",), ("iron", "gold"), True),
        (("gold",), ("golden",), False),
        (("gold",), (), False),
        (("~*^v[0-9]+$",), ("V12",), True),
        (("~*^v[0-9]+$",), ("version",), False),
    ],
)
def test_a_header_matches_any_of_its_values_without_case(
    accepted: tuple[str, ...], given_values: tuple[str, ...], matches: bool
) -> None:
    routes = [Route("r", headers=(("X-Plan", accepted),))]
    assert (found(routes, "/", headers={"x-plan": given_values}) == "r") is matches


def test_a_method_outside_the_list_does_not_match() -> None:
    routes = [Route("r", methods=("GET", "POST"), paths=("/full",))]
    assert found(routes, "/full", method="POST") == "r"
    assert found(routes, "/full", method="DELETE") is None


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/", "/"),
        ("/a//b", "/a/b"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/../../b", "/b"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/a%20b", "/a b"),
        ("/a%2fb", "/a%2Fb"),
        ("/%41", "/A"),
        ("/%2e%2e/x", "/x"),
        ("/a.b/c..d", "/a.b/c..d"),
        ("/a/", "/a/"),
    ],
)
def test_paths_are_normalised_before_they_are_matched(path: str, normal: str) -> None:
    assert normalize(path) == normal


@given(st.text(alphabet="/.a%2F", max_size=24))
def test_a_normalised_path_stays_inside_its_root(text: str) -> None:
    path = normalize("/" + text)
    assert path.startswith("/")
    assert "//" not in path
    assert not {".", ".."} & set(path.split("/"))


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=30))
def test_an_escaped_path_is_safe_in_a_request_line(text: str) -> None:
    assert all("!" <= character <= "~" for character in escape(text))


@pytest.mark.parametrize(
    ("base", "path", "matched", "strip", "upstream"),
    [
        (None, "/anything", "/anything", True, "/"),
        (None, "/anything/", "/anything", True, "/"),
        (None, "/anything/sub", "/anything", True, "/sub"),
        (None, "/anythingelse", "/anything", True, "/else"),
        (None, "/anything", "/anything", False, "/anything"),
        ("/base", "/full/z", "/full", False, "/base/full/z"),
        ("/base", "/full/z", "/full", True, "/base/z"),
        ("/base", "/full", "/full", True, "/base"),
        ("/base", "/full/", "/full", True, "/base/"),
        ("/base/", "/full", "/full", True, "/base"),
        ("/base/", "/full/z", "/full", True, "/base/z"),
        ("/base/", "/full/z", "/full", False, "/base/full/z"),
        ("/base", "/", None, False, "/base"),
        ("/base", "/x", None, True, "/base/x"),
        ("/base", "/x", "/", True, "/base/x"),
        (None, "/full/..x", "/full/", True, "/..x"),
        (None, "/full../x", "/full", True, "/x"),
        (None, "/a/b c", "/a", True, "/b%20c"),
    ],
)
def test_the_upstream_path_joins_the_service_path_and_what_is_left(
    base: str | None, path: str, matched: str | None, strip: bool, upstream: str
) -> None:
    assert upstream_path(base, path, matched, strip=strip) == upstream


def test_path_handling_v1_only_concatenates() -> None:
    assert upstream_path_v1("/base", "/anythingelse", "/anything", strip=True) == "/baseelse"
    assert upstream_path_v1("/base/", "/anything/x", "/anything", strip=True) == "/base/x"
