"""What the pages on reports and CI show is what there is."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from harness.cli.conformance import command
from harness.report.implementation import read_implementation
from harness.report.json_report import SCHEMA_FILE

DOCS = Path(__file__).parents[2] / "docs"
CI, REPORTS = ((DOCS / name).read_text(encoding="utf-8") for name in ("ci.md", "reports.md"))


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def commands(value: Any) -> list[str]:
    """Return every text in a pipeline, wherever it stands."""
    if isinstance(value, dict):
        return [one for inner in value.values() for one in commands(inner)]
    if isinstance(value, list):
        return [one for inner in value for one in commands(inner)]
    return [value] if isinstance(value, str) else []


def conformance_commands() -> list[str]:
    found = [one for block in blocks(CI, "yaml") for one in commands(yaml.safe_load(block))]
    found += [line.partition("  #")[0] for block in blocks(CI, "sh") for line in block.splitlines()]
    return [one for one in found if one.startswith("kong-metering conformance")]


def test_the_page_has_commands() -> None:
    assert len(conformance_commands()) >= 4


@pytest.mark.parametrize("line", conformance_commands())
def test_each_conformance_command_of_the_ci_page_is_understood(line: str, tmp_path: Path) -> None:
    """Options and all; a folder of scenarios is the reader's own, so that the suite's stand in."""
    words = [word for word in shlex.split(line)[2:] if word != "metering/scenarios"]
    result = CliRunner().invoke(command, [*words, "--dry-run"], standalone_mode=False)
    assert result.exception is None, result.output
    assert "scenarios are well formed" in result.output


@pytest.mark.parametrize("page", [CI, REPORTS])
def test_each_option_that_is_named_exists(page: str) -> None:
    known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page))
    assert named <= known


@pytest.mark.parametrize("page", [CI, REPORTS])
def test_each_link_leads_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page):
        assert (DOCS / link).exists(), link


def test_the_implementation_file_shown_is_a_valid_one(tmp_path: Path) -> None:
    (shown,) = blocks(REPORTS, "yaml")
    file = tmp_path / "implementation.yaml"
    file.write_text(shown)
    assert read_implementation(file).version == "3.16.0"


def test_the_group_shown_is_as_the_schema_says_but_for_what_is_left_out() -> None:
    (shown,) = blocks(REPORTS, "json")
    schema = json.loads(SCHEMA_FILE.read_text())
    group = schema["properties"]["profiles"]["items"]["properties"]["groups"]["items"]
    jsonschema.validate(json.loads(shown) | {"findings": [], "skipped": []}, {**group, "$defs": schema["$defs"]})
