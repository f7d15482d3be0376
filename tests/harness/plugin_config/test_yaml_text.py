"""JSON data as YAML: every parser reads back what went in, and nothing gets out of its quotes."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from state_file_entities import ODD_TEXTS, TEXTS, VALUES, parsed

from harness.plugin_config.formats.yaml_text import NotInYaml, Verbatim, yaml_text


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_gen_1_yaml_1_1_and_1_2_read_back_the_same_data_in_the_same_order(data: Any) -> None:
    assert repr(parsed(yaml_text(data))) == repr(data)


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_gen_1_text_that_looks_like_something_else_stays_text_as_value_and_as_key(text: str) -> None:
    assert parsed(yaml_text({"a": [text, {text: text}], text: "z"})) == {"a": [text, {text: text}], text: "z"}


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_gen_2_text_takes_one_line_and_holds_no_start_of_a_template(text: str) -> None:
    written = yaml_text({"a": text, "b": 1})
    assert written.splitlines()[1:] == ["b: 1"]
    assert "${{" not in written


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_gen_4_the_same_data_gives_the_same_text(data: Any) -> None:
    assert yaml_text(data) == yaml_text(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"b": 1, "a": [1, {"c": True, "d": None}]}, "b: 1\na:\n- 1\n- c: true\n  d: null\n"),
        ({"a": [], "b": {}}, "a: []\nb: {}\n"),
        ({"_format_version": "3.0"}, "_format_version: '3.0'\n"),
        (
            {"url": "https://us.api.konghq.com/v3/openmeter/events"},
            "url: https://us.api.konghq.com/v3/openmeter/events\n",
        ),
        ({"a": "it's"}, "a: 'it''s'\n"),
        ({"a": "x\ny"}, 'a: "x\\ny"\n'),
        ({"a": "é 😀"}, "a: 'é 😀'\n"),
        ({"a": "x-tenant-id"}, "a: x-tenant-id\n"),
        ({"a": 1e-07, "b": 1e300}, "a: 1.0e-07\nb: 1.0e+300\n"),
    ],
)
def test_yaml_is_as_plain_as_is_safe(data: Any, text: str) -> None:
    assert yaml_text(data) == text


def test_the_same_object_twice_is_written_twice_without_an_anchor() -> None:
    shared = {"x": [1]}
    assert yaml_text([shared, shared]) == "- x:\n  - 1\n- x:\n  - 1\n"


@pytest.mark.parametrize("length", [127, 128, 1024, 5000])
def test_a_key_may_be_longer_than_parsers_look_for_its_colon(length: int) -> None:
    data = {"k" * length: {"é" * length: "v"}, "next": 1}
    assert parsed(yaml_text(data)) == data


@pytest.mark.parametrize("character", ["x", "é", "'", '"', "\0", "\n", "${{", "a "])
def test_a_value_of_a_megabyte_is_read_back(character: str) -> None:
    data = {"a": character * 1_000_000, "b": 1}
    assert yaml.load(yaml_text(data), yaml.CSafeLoader) == data


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_verbatim_text_is_single_quoted_and_keeps_its_template(text: str) -> None:
    template = Verbatim('${{ env "DECK_X" }}')
    written = yaml_text({"a": template, "b": text})
    assert written.splitlines()[0] == "a: '${{ env \"DECK_X\" }}'"
    assert parsed(written) == {"a": template, "b": text}


def test_verbatim_text_that_single_quotes_cannot_hold_is_refused() -> None:
    with pytest.raises(NotInYaml, match=r"^/a: .*line breaks"):
        yaml_text({"a": Verbatim("${{\n}}")})


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        ({"a": [{"b": "\ud800"}]}, ("a", 0, "b")),
        ({"a": {"\udfff": 1}}, ("a",)),
        ({"a": float("nan")}, ("a",)),
        ({"a": float("-inf")}, ("a",)),
        ({"a": {1: 2}}, ("a",)),
        ({"a": (1, 2)}, ("a",)),
        ({"a": b"x"}, ("a",)),
        ({"a": datetime.date(2026, 1, 1)}, ("a",)),
    ],
)
def test_data_that_yaml_cannot_hold_is_refused_with_its_place(data: Any, pointer: tuple[str | int, ...]) -> None:
    with pytest.raises(NotInYaml) as refusal:
        yaml_text(data)
    assert refusal.value.pointer == pointer


def test_the_refusal_does_not_quote_the_value() -> None:
    with pytest.raises(NotInYaml) as refusal:
        yaml_text({"api_token": "spat_secret\ud800"})
    assert "spat_secret" not in str(refusal.value)


def test_data_nested_too_deeply_is_refused() -> None:
    data: list[Any] = []
    for _ in range(100_000):
        data = [data]
    with pytest.raises(NotInYaml, match="nested too deeply"):
        yaml_text(data)
