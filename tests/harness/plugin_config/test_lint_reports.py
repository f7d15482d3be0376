"""Reports of lint: a line for people, an object for programs, SARIF for code hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from harness.plugin_config.lint import json_report, plain, sarif
from harness.plugin_config.lint.finding import Finding, Severity
from harness.plugin_config.lint.registry import RULES
from harness.plugin_config.lint.rule import LintContext

FINDING = Finding(
    rule="subject-field-missing",
    severity=Severity.ERROR,
    message="subject.field names no header: every event is dropped",
    reason="The gateway takes it.",
    fix="add field, e.g. x-tenant-id",
    pointer=("config", "subject", "look_up_value_in"),
    file="state/kong.yaml",
    line=12,
    plugin="metering-and-billing",
    scope="service=orders",
)


def changed(**fields: Any) -> Finding:
    return Finding(**{**{name: getattr(FINDING, name) for name in Finding.__slots__}, **fields})


def lines(*findings: Finding, plugins: int = 1, files: int = 1) -> list[str]:
    return [line.plain for line in plain.report_lines(findings, plugins, files)]


# ------------------------------------------------------------------------------------------- for people


def test_a_finding_is_one_line_with_place_message_advice_and_rule() -> None:
    assert lines(FINDING) == [
        "state/kong.yaml:12: error: /config/subject/look_up_value_in: subject.field names no header: every event is"
        " dropped (add field, e.g. x-tenant-id) [subject-field-missing]",
        "1 metering plugin in 1 file: 1 error, 0 warnings, 0 info",
    ]


def test_a_finding_on_the_plugin_as_a_whole_has_no_pointer_and_maybe_no_line() -> None:
    assert lines(changed(pointer=(), line=None, message="m", fix="f"))[0] == (
        "state/kong.yaml: error: m (f) [subject-field-missing]"
    )


def test_nothing_found_is_said_with_how_much_was_looked_at() -> None:
    assert lines(plugins=3, files=2) == ["3 metering plugins in 2 files: nothing found"]


@given(st.text(), st.text(), st.text())
@settings(max_examples=100, derandomize=True)
def test_what_stands_in_a_file_can_neither_end_the_line_nor_command_the_terminal(
    file: str, message: str, key: str
) -> None:
    (line, _) = lines(changed(file=file, message=message, pointer=("config", key)))
    assert line.isprintable()


def test_the_severity_has_a_colour_and_the_rest_of_the_line_is_the_same_without() -> None:
    (line, _) = plain.report_lines([FINDING], 1, 1)
    styled = {line.plain[span.start : span.end]: str(span.style) for span in line.spans}
    assert styled == {"error: ": "bold red", "[subject-field-missing]": "dim"}


# ------------------------------------------------------------------------------------------- for programs


def test_json_has_every_field_of_a_finding_and_the_circumstances() -> None:
    report = json_report.report([FINDING], LintContext("3.15", rps=10.0, rtt=0.1), plugins=2, files=1)
    assert report == {
        "gateway": "3.15",
        "events_per_second": 10.0,
        "round_trip_seconds": 0.1,
        "files": 1,
        "plugins": 2,
        "counts": {"error": 1, "warning": 0, "info": 0},
        "findings": [
            {
                "rule": "subject-field-missing",
                "severity": "error",
                "file": "state/kong.yaml",
                "line": 12,
                "plugin": "metering-and-billing",
                "scope": "service=orders",
                "pointer": "/config/subject/look_up_value_in",
                "message": "subject.field names no header: every event is dropped",
                "reason": "The gateway takes it.",
                "fix": "add field, e.g. x-tenant-id",
            }
        ],
    }


# ------------------------------------------------------------------------------------------- SARIF


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """Return the schema of an object with these members and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": required | optional,
        "additionalProperties": False,
    }


_TEXT = {"type": "string", "minLength": 1}
_MESSAGE = _object({"text": _TEXT}, markdown=_TEXT)
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
_LOCATION = _object(
    {
        "physicalLocation": _object(
            {"artifactLocation": _object({"uri": {"type": "string", "format": "uri-reference"}})},
            region=_object({"startLine": {"type": "integer", "minimum": 1}}),
        )
    },
    logicalLocations={"type": "array", "items": _object({"fullyQualifiedName": _TEXT})},
)
_RESULT = _object(
    {"message": _MESSAGE},
    ruleId=_TEXT,
    ruleIndex={"type": "integer", "minimum": -1},
    level=_LEVEL,
    locations={"type": "array", "items": _LOCATION},
    partialFingerprints={"type": "object", "additionalProperties": {"type": "string"}},
)
_RULE = _object(
    {"id": _TEXT},
    name=_TEXT,
    shortDescription=_MESSAGE,
    fullDescription=_MESSAGE,
    help=_MESSAGE,
    defaultConfiguration=_object({}, level=_LEVEL, enabled={"type": "boolean"}),
    properties=_object({}, tags={"type": "array", "items": _TEXT, "uniqueItems": True}),
)
_DRIVER = _object(
    {"name": _TEXT},
    semanticVersion={"type": "string", "pattern": r"^[0-9]+\.[0-9]+\.[0-9]+"},
    rules={"type": "array", "items": _RULE, "uniqueItems": True},
)
#: The part of the schema of SARIF 2.1.0 that the report makes use of, closed: a member it does not know is a mistake.
SARIF_SUBSET = _object(
    {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": _object(
                {"tool": _object({"driver": _DRIVER})},
                columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                results={"type": "array", "items": _RESULT},
            ),
        },
    },
    **{"$schema": {"type": "string", "format": "uri"}},
)
_VALIDATOR = Draft202012Validator(SARIF_SUBSET, format_checker=Draft202012Validator.FORMAT_CHECKER)


def sarif_results(*findings: Finding, base: Path = Path("/checkout")) -> list[dict[str, Any]]:
    report = json.loads(json.dumps(sarif.report(findings, RULES, base)))
    _VALIDATOR.validate(report)
    results: list[dict[str, Any]] = report["runs"][0]["results"]
    return results


def test_a_sarif_report_describes_the_rules_and_places_each_result() -> None:
    report = sarif.report([FINDING, changed(severity=Severity.INFO, line=None)], RULES, Path("/checkout"))
    _VALIDATOR.validate(report)
    (run,) = report["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [rule.id for rule in RULES]
    first, second = run["results"]
    assert rules[first["ruleIndex"]]["id"] == first["ruleId"] == "subject-field-missing"
    assert "`field`" in rules[first["ruleIndex"]]["help"]["markdown"]
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "state/kong.yaml"},
        "region": {"startLine": 12},
    }
    assert "region" not in second["locations"][0]["physicalLocation"]
    assert (first["level"], second["level"]) == ("error", "note")


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("./a/../kong.yaml", "kong.yaml"),
        ("/checkout/state/kong.yaml", "state/kong.yaml"),
        ("with blank/ä#1.yaml", "with%20blank/%C3%A4%231.yaml"),
        ("a:b.yaml", "a%3Ab.yaml"),
        ("not-utf-8-\udcff.yaml", "not-utf-8-%FF.yaml"),
        ("../elsewhere/kong.yaml", "file:///elsewhere/kong.yaml"),
    ],
)
def test_files_are_named_as_uris_relative_to_the_checkout(file: str, uri: str) -> None:
    (result,) = sarif_results(changed(file=file))
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_a_link_in_the_checkout_is_named_as_the_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "state").symlink_to(tmp_path / "elsewhere")
    (result,) = sarif_results(FINDING, base=tmp_path / "checkout")
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "state/kong.yaml"


def test_a_finding_keeps_its_fingerprint_when_lines_above_it_are_added() -> None:
    def fingerprints(*findings: Finding) -> list[Any]:
        return [result["partialFingerprints"] for result in sarif_results(*findings)]

    assert fingerprints(FINDING) == fingerprints(changed(line=99))
    assert len({str(each) for each in fingerprints(FINDING, changed(line=99), changed(scope="global"))}) == 3
