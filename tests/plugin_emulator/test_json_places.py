"""A JSON document is read as JSON, and remembers the line of each value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_emulator.documents import Document, InvalidDocument, Pointer, parse_document

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(st.dictionaries(st.text(), VALUES) | st.lists(VALUES), st.sampled_from([None, 0, 2, "\t"]), st.booleans())
def test_what_json_wrote_is_read_back_as_it_was(value: Any, indent: int | str | None, escaped: bool) -> None:
    assert parse_document(json.dumps(value, indent=indent, ensure_ascii=escaped)).data == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": "\\ud83c\\udf7d"}', {"a": "🍽"}),
        ('{"a": 1e3}', {"a": 1000.0}),
        ('{"%s": 1}' % ("k" * 2000), {"k" * 2000: 1}),
        ('{"a"\n: "\x7f"}', {"a": "\x7f"}),
    ],
)
def test_what_yaml_would_read_otherwise_is_json_s(text: str, value: Any) -> None:
    assert parse_document(text).data == value


NAMES = st.text("abc", min_size=1, max_size=3)
PLAIN = st.recursive(
    st.integers(0, 9) | st.sampled_from(["x", '"{[,:]}', "\\"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
)


@given(st.dictionaries(NAMES, PLAIN), st.sampled_from([None, 0, 2]))
def test_every_value_is_on_the_line_on_which_yaml_has_it(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    as_yaml = parse_document(f"# not JSON\n{text}")
    expected = {pointer: line - 1 for pointer, line in as_yaml.lines.items()}
    assert parse_document(text) == Document(value, expected)


def test_each_member_is_on_the_line_of_its_key_and_each_element_on_that_of_its_beginning() -> None:
    text = '{\n"a":\n 1, "b": [\n{"c": {}},\n[], 2]\n}'
    lines: dict[Pointer, int] = {(): 1, ("a",): 2, ("b",): 3, ("b", 0): 4, ("b", 0, "c"): 4, ("b", 1): 5, ("b", 2): 5}
    assert parse_document(text).lines == lines


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"a": 1,\n"a": 2}', "<file>:2: /a: key 'a' is given twice (keep one)"),
        ('{"a": "\\ud83c"}', "<file>:1: is not valid YAML: found invalid Unicode character escape code"),
        ("[" * 100_000 + "]" * 100_000, "<file>: is nested too deeply"),
    ],
)
def test_a_mistake_in_json_is_told_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse_document(text, "<file>")
    assert str(caught.value) == complaint


def test_flow_style_that_is_no_json_is_yaml() -> None:
    assert parse_document("{a: b, c: [d]}").data == {"a": "b", "c": ["d"]}
