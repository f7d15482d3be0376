"""docs/debugging.md has what the mysteries say and what is in a journal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from mystery import CASES

from plugin_emulator.journal import Fact

PAGE = (Path(__file__).parents[3] / "docs" / "debugging.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_the_page_shows_the_line_of_each_mystery(name: str) -> None:
    assert f"| {name} | {CASES[name]['cause']} |\n" in PAGE


@pytest.mark.parametrize("kind", get_args(Fact), ids=lambda kind: kind.__name__)
def test_the_page_names_the_members_of_each_fact(kind: type[Fact]) -> None:
    (row,) = re.findall(rf"^\| {kind.__struct_config__.tag} \| (.*?) \|", PAGE, re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == list(kind.__struct_fields__)
