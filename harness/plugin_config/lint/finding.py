"""What lint finds: one rule, at one place in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from plugin_emulator.documents import Pointer, Problem


class Severity(StrEnum):
    """How bad it is. Error: events are lost or wrong, or a secret is out. Info: worth knowing, nothing is wrong."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    def at_least(self, other: Severity) -> bool:
        """Return whether this is as bad as ``other``, or worse."""
        order = list(Severity)
        return order.index(self) <= order.index(other)


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    ``rule`` is the rule's id, ``message`` what is wrong here, ``reason`` why it matters, ``fix`` what to do.
    ``pointer`` is the place inside the entity of ``plugin``, whose scope is ``scope`` in words; ``line`` counts from
    1, and is None when the place has no line of its own. No text quotes a value that may be a secret.
    """

    rule: str
    severity: Severity
    message: str
    reason: str
    fix: str
    pointer: Pointer
    file: str
    line: int | None
    plugin: str
    scope: str

    @property
    def problem(self) -> Problem:
        """The finding in the form in which every mistake in a document is told."""
        return Problem(self.message, self.pointer, self.fix, self.file, self.line)


def count_text(findings: Sequence[Finding]) -> str:
    """Return how many findings there are, in words: ``1 error, 2 warnings, 0 info``."""
    counts = {severity: sum(finding.severity is severity for finding in findings) for severity in Severity}
    return ", ".join(
        f"{count} {severity}{'s' * (count != 1 and severity is not Severity.INFO)}"
        for severity, count in counts.items()
    )
