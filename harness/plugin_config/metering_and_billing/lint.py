"""The lint rules of metering-and-billing, in the order in which they are listed."""

from __future__ import annotations

from ..lint.rule import Rule
from . import lint_events, lint_ingest, lint_queue, lint_subject

RULES: tuple[Rule, ...] = (*lint_subject.RULES, *lint_events.RULES, *lint_queue.RULES, *lint_ingest.RULES)
