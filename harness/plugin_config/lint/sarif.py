"""Findings as SARIF 2.1.0, which code hosts show beside the lines of a change."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from plugin_emulator.documents import pointer_text

from .finding import Finding, Severity
from .rule import Rule

VERSION = "2.1.0"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_DISTRIBUTION = "kong-metering-harness"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def report(findings: Sequence[Finding], rules: Sequence[Rule], base: Path) -> dict[str, Any]:
    """Return the log of one run. ``rules`` are those that were checked, of which each finding has one.

    Files under ``base`` are named relative to it, as code hosts want it for the top of a checkout; others in full.
    """
    index = {rule.id: number for number, rule in enumerate(rules)}
    seen: Counter[str] = Counter()
    return {
        "$schema": SCHEMA,
        "version": VERSION,
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "kong-metering config lint",
                        "semanticVersion": metadata.version(_DISTRIBUTION),
                        "rules": [_rule(rule) for rule in rules],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, index[finding.rule], base, seen) for finding in findings],
            }
        ],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    rests_on = f"Rests on {', '.join(rule.basis)}."
    return {
        "id": rule.id,
        "name": "".join(part.capitalize() for part in rule.id.split("-")),
        "shortDescription": {"text": rule.title.replace("``", "'")},
        "fullDescription": {"text": rule.reason},
        "help": {
            "text": f"{rule.reason}\n{rests_on}",
            "markdown": f"{rule.title.replace('``', '`')}\n\n{rule.reason}\n\n{rests_on}",
        },
        "defaultConfiguration": {"level": _LEVELS[rule.severity], "enabled": not rule.opt_in},
        "properties": {"tags": ["kong", "metering", *rule.basis]},
    }


def _result(finding: Finding, rule_index: int, base: Path, seen: Counter[str]) -> dict[str, Any]:
    uri = _uri(finding.file, base)
    place: dict[str, Any] = {"artifactLocation": {"uri": uri}}
    if finding.line is not None:
        place["region"] = {"startLine": finding.line}
    pointer = pointer_text(finding.pointer)
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message} ({finding.fix})"},
        "locations": [
            {
                "physicalLocation": place,
                "logicalLocations": [{"fullyQualifiedName": f"{finding.plugin} on {finding.scope}: {pointer}"}],
            }
        ],
        "partialFingerprints": {"place/v1": _fingerprint(finding, uri, pointer, seen)},
    }


def _fingerprint(finding: Finding, uri: str, pointer: str, seen: Counter[str]) -> str:
    """Return what tells a finding from others in the next run as well, when its line may be another."""
    what = "\n".join((finding.rule, uri, finding.plugin, finding.scope, pointer))
    seen[what] += 1
    return f"{hashlib.sha256(what.encode('utf-8', 'backslashreplace')).hexdigest()[:32]}:{seen[what]}"


def _uri(file: str, base: Path) -> str:
    # A link is named as a link, so not resolve().
    path, root = (Path(os.path.abspath(each)) for each in (base / file, base))  # noqa: PTH100
    if not path.is_relative_to(root):
        path, root = path.resolve(), root.resolve()
    if path.is_relative_to(root):
        return quote(os.fsencode(path.relative_to(root).as_posix()))
    return path.as_uri()
