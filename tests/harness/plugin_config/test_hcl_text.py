"""HCL: what is written is read back as it was, by python-hcl2 and by Terraform, and laid out as ``terraform fmt``."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import Any

import hcl2
import pytest
from any_text import PIECES, json_data, texts
from hcl2.utils import SerializationOptions
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from terraform_binary import formatting_differences, needs_terraform, outputs

from harness.plugin_config.formats.hcl_text import (
    Attribute,
    Block,
    Comment,
    Expression,
    NotInHcl,
    hcl_text,
    is_identifier,
    quoted,
)

#: python-hcl2, asked for values in place of source text.
VALUES = SerializationOptions(
    strip_string_quotes=True,
    preserve_heredocs=False,
    preserve_scientific_notation=False,
    with_comments=False,
    explicit_blocks=False,
)
SHAPES: tuple[Any, ...] = (
    {},
    [],
    {"a": 1, "long_name": "x", "b": {"c": []}, "d": 1, "ee": 2},
    {"one": [{"a": 1, "bcd": 2}, {}], "b": "x"},
    [[], [[]], ["a", ["b"]], {"a": {"b": {"c": 1}}}],
    {"for": 1, "a b": 2, "é": 3, "日本": "日本", "x": "é"},
    ["x" * 40, "y" * 40],
    {"": "empty", "null": None, "a-b": True, "_": False, "1": 1.5},
)


def python_hcl2(value: Any) -> Any:
    return hcl2.loads(hcl_text([Attribute("value", value)]), serialization_options=VALUES)["value"]


# -------------------------------------------------------------------------------------------------- read back


@given(json_data)
@settings(max_examples=150, derandomize=True, deadline=None)
def test_python_hcl2_reads_back_any_data(value: Any) -> None:
    """GEN-1: text of any characters, numbers, lists, and objects with any keys."""
    assert python_hcl2(value) == value


@given(texts)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_no_text_begins_a_template_or_ends_its_quotes(text: str) -> None:
    """GEN-2: what stands between the quotes holds no template's start, no bare quote and no line break."""
    inside = quoted(text)[1:-1]
    assert not re.search(r"[$%]\{", inside)
    assert not re.search(r'"|[\x00-\x1f\x7f-\x9f\u2028\u2029]', re.sub(r"\\.", "", inside))


@needs_terraform
def test_terraform_evaluates_any_data_to_itself(tmp_path: Path) -> None:
    """GEN-1, by Terraform: every pair of awkward pieces of text, as a value and as a key."""
    pairs = [first + second for first, second in itertools.product(PIECES, repeat=2)]
    data = {"texts": pairs, "keys": {text: index for index, text in enumerate(pairs)}, "shapes": list(SHAPES)}
    text = hcl_text([Block("output", (name,), [Attribute("value", value)]) for name, value in data.items()])
    assert outputs(tmp_path, text) == data


@needs_terraform
@given(values=st.lists(json_data, min_size=60, max_size=60))
@settings(max_examples=3, derandomize=True, deadline=None, phases=[Phase.generate])
def test_terraform_evaluates_random_data_to_itself(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any]
) -> None:
    text = hcl_text([Block("output", ("value",), [Attribute("value", values)])])
    assert outputs(tmp_path_factory.mktemp("terraform"), text)["value"] == values


@pytest.mark.parametrize("number", [0, -1, 2**53, -(2**60), 1.5, -0.25, 1e-07, 1e16, 5e-324, 1.7976931348623157e308])
def test_numbers_keep_their_value(number: float) -> None:
    assert python_hcl2({"n": number}) == {"n": number}


def test_a_value_of_a_megabyte_is_read_back() -> None:
    value = 'x${"\n' * 200_000
    assert python_hcl2(value) == value


# ----------------------------------------------------------------------------------------------------- layout


@needs_terraform
@given(values=st.lists(json_data, min_size=40, max_size=40))
@settings(max_examples=4, derandomize=True, deadline=None, phases=[Phase.generate])
def test_terraform_fmt_has_nothing_to_change(tmp_path_factory: pytest.TempPathFactory, values: list[Any]) -> None:
    body = [Attribute(f"a{'b' * (index % 7)}{index}", value) for index, value in enumerate([*values, *SHAPES])]
    entries = [Comment("about what follows"), Block("locals", (), [*body[:20], Comment("between"), *body[20:]])]
    assert formatting_differences(hcl_text(entries), tmp_path_factory.mktemp("terraform")) == ""


def test_blocks_are_set_apart_and_signs_of_neighbours_stand_below_each_other() -> None:
    text = hcl_text(
        [
            Block("variable", ("token",), [Attribute("type", Expression("string")), Attribute("sensitive", True)]),
            Comment("what it is for"),
            Block(
                "resource", ("a", "b"), [Attribute("tags", ["x", "y"]), Block("c", (), [Attribute("d", {"e": 1})])]
            ),
        ]
    )
    assert text == (
        'variable "token" {\n  type      = string\n  sensitive = true\n}\n\n# what it is for\nresource "a" "b" {\n'
        '  tags = ["x", "y"]\n  c {\n    d = {\n      e = 1\n    }\n  }\n}\n'
    )


def test_an_expression_is_written_without_quotes() -> None:
    assert hcl_text([Attribute("a", {"b": Expression("var.x")})]) == "a = {\n  b = var.x\n}\n"


# ---------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("e\u0301", "normal form C"),
        ("\u212b", "normal form C"),
        ("\ud800", "half a surrogate pair"),
        (math.nan, "not finite"),
        (-math.inf, "not finite"),
        (2**513, "more than 512 bits"),
        (b"bytes", "is no JSON data"),
    ],
)
def test_what_terraform_would_change_is_refused_with_its_place(value: Any, reason: str) -> None:
    with pytest.raises(NotInHcl, match=reason) as refused:
        hcl_text([Block("resource", ("a", "b"), [Attribute("config", {"list": [1, value]})])])
    assert refused.value.pointer == ("resource", "a", "b", "config", "list", 1)


@pytest.mark.parametrize("key", ["e\u0301", "\ud800"])
def test_a_key_that_terraform_would_change_is_refused(key: str) -> None:
    with pytest.raises(NotInHcl, match="a key"):
        hcl_text([Attribute("config", {key: 1})])


@needs_terraform
def test_terraform_does_change_what_is_refused(tmp_path: Path) -> None:
    """The reason for the refusal: Terraform brings text into normal form C."""
    text = 'output "value" {\n  value = "e\u0301"\n}\n'
    assert outputs(tmp_path, text) == {"value": "é"}


@pytest.mark.parametrize("text", ["orders", "orders-v1", "_a", "A1"])
def test_names_of_resources(text: str) -> None:
    assert is_identifier(text)


@pytest.mark.parametrize("text", ["", "1a", "-a", "a b", "a.b", "é", "a\n"])
def test_names_that_no_resource_has(text: str) -> None:
    assert not is_identifier(text)
