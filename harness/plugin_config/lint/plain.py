"""Findings for people: a line each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.text import Text

from plugin_emulator.documents import pointer_text

from .finding import Finding, Severity, count_text
from .rule import Rule

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def report_lines(findings: Sequence[Finding], plugins: int, files: int) -> Iterable[Text]:
    """Yield a line for each finding, then the count.

    A line is ``file:line: severity: pointer: message (what to do) [rule-id]``. ``plugins`` and ``files`` are how
    many were looked at.
    """
    for finding in findings:
        yield _line(finding)
    looked_at = f"{_count(plugins, 'metering plugin')} in {_count(files, 'file')}"
    yield Text(f"{looked_at}: {count_text(findings) if findings else 'nothing found'}")


def rule_lines(rules: Iterable[Rule]) -> Iterable[Text]:
    """Yield three lines for each rule: its id, severity and basis, what it looks for, and why."""
    for rule in rules:
        asked = ", only when enabled" if rule.opt_in else ""
        line = Text(f"{rule.id} ", style="bold")
        line.append(f"{rule.severity}", style=_STYLES[rule.severity])
        line.append(f"{asked} ({', '.join(rule.basis)})", style="not bold")
        yield line
        yield Text(f"    {rule.title.replace('``', '')}")
        yield Text(f"    {rule.reason}")


def _line(finding: Finding) -> Text:
    where = finding.file if finding.line is None else f"{finding.file}:{finding.line}"
    line = Text(f"{_printable(where)}: ")
    line.append(f"{finding.severity}: ", style=_STYLES[finding.severity])
    pointer = f"{pointer_text(finding.pointer)}: " if finding.pointer else ""
    line.append(f"{_printable(pointer + finding.message)} ({_printable(finding.fix)}) ")
    line.append(f"[{finding.rule}]", style="dim")
    return line


def _printable(text: str) -> str:
    """Return ``text`` with what could move the cursor or end the line written out: names in it are the file's."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "replace").decode("ascii")
        for character in text
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
