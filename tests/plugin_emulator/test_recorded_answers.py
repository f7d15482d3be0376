"""What compares answers with figures finds each difference, and takes a form only for a value that has it."""

from __future__ import annotations

from typing import Any

import pytest
from recorded_answers import Difference, body_differences, header_differences, not_needed, unlisted

ONE, OTHER = "7a267194-6123-5ee0-a1c9-4c1559eb0d95", "eeb325b8-afd4-5ba2-a113-c34eeb969c1d"


@pytest.mark.parametrize(
    ("figure", "value", "places"),
    [
        ({"a": 1, "b": [1, 2]}, {"a": 1, "b": [1, 2]}, set()),
        ({"a": 1}, {"a": 2}, {"/a"}),
        ({"a": 1}, {"a": True}, {"/a"}),
        ({"a": 1}, {}, {"/a"}),
        ({}, {"a": None}, {"/a"}),
        ({"a": [1, 2]}, {"a": [2, 1]}, {"/a/0", "/a/1"}),
        ({"a": [1]}, {"a": [1, 2]}, {"/a/1"}),
        ({"a/b": "x"}, {"a/b": "y"}, {"/a~1b"}),
        ({"id": "<uuid>"}, {"id": ONE}, set()),
        ({"id": "<uuid>"}, {"id": "7"}, {"/id"}),
        ({"at": "<seconds>"}, {"at": 1_795_214_280}, set()),
        ({"at": "<seconds>"}, {"at": "1795214280"}, {"/at"}),
        ({"key": "<key>"}, {"key": "x" * 31}, {"/key"}),
        ({"<uuid>": {"id": "<uuid>", "n": 1}}, {ONE: {"id": ONE, "n": 1}}, set()),
        ({ONE: {"n": 1}, OTHER: {"n": 2}}, {OTHER: {"n": 1}, ONE: {"n": 2, "m": 3}}, {"/*/m"}),
        ({ONE: {"n": 1}}, {}, {"/*"}),
        ({"errors": [{"x": 1}, {"x": 2}]}, {"errors": [{"x": 2}, {"x": 1}]}, set()),
        ({"config": {"yaml": {"a": None}}}, {"config": "a: ~\n"}, set()),
        ({"config": {"yaml": {"a": 1}}}, {"config": "a: '1'\n"}, {"/config/a"}),
    ],
)
def test_each_place_that_differs_is_found(figure: Any, value: Any, places: set[str]) -> None:
    assert body_differences(figure, value) == places


@pytest.mark.parametrize(
    ("actual", "places"),
    [
        ([("A", "1"), ("B", "7")], set()),
        ([("B", "7"), ("A", "1")], {"order of headers"}),
        ([("A", "2"), ("B", "x")], {"header A", "header B"}),
        ([("A", "1"), ("C", "7")], {"header B", "header C"}),
    ],
)
def test_headers_are_compared_by_name_value_and_order(actual: list[tuple[str, str]], places: set[str]) -> None:
    assert header_differences([("A", "1"), ("B", "<number>")], actual) == places


def test_a_difference_is_allowed_where_an_entry_says_so_and_an_idle_entry_is_told() -> None:
    listed = [
        Difference("/a/*/id", ("one",), "because"),
        Difference("/**/description", None, "because"),
        Difference("header Server", ("other",), "because"),
    ]
    places = {"/a/0/id", "/a/0/b/description", "/a/b/c/id", "header Server"}
    assert unlisted(places, listed, "one") == ["/a/b/c/id", "header Server"]
    assert not_needed(places, listed, "one") == []
    assert not_needed({"/x/description"}, listed, "other") == ["header Server"]
