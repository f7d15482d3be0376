"""Findings for programs: one JSON object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from plugin_emulator.documents import pointer_text

from .finding import Finding, Severity
from .rule import LintContext, Rule


def report(findings: Sequence[Finding], context: LintContext, plugins: int, files: int) -> dict[str, Any]:
    """Return the report: what was known, how many plugins and files were looked at, and the findings in order."""
    return {
        "gateway": context.gateway,
        "events_per_second": context.rps,
        "round_trip_seconds": context.rtt,
        "files": files,
        "plugins": plugins,
        "counts": {severity: sum(finding.severity is severity for finding in findings) for severity in Severity},
        "findings": [_finding(finding) for finding in findings],
    }


def rule_list(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """Return the rules, as ``--list`` shows them."""
    return [
        {
            "id": rule.id,
            "severity": rule.severity,
            "title": rule.title,
            "reason": rule.reason,
            "basis": list(rule.basis),
            "on_by_default": not rule.opt_in,
        }
        for rule in rules
    ]


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "file": finding.file,
        "line": finding.line,
        "plugin": finding.plugin,
        "scope": finding.scope,
        "pointer": pointer_text(finding.pointer),
        "message": finding.message,
        "reason": finding.reason,
        "fix": finding.fix,
    }
