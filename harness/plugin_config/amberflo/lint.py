"""The lint rules of the Amberflo plugin, in the order in which they are listed."""

from __future__ import annotations

from ..lint.rule import Rule
from . import lint_client, lint_record

RULES: tuple[Rule, ...] = (*lint_record.RULES, *lint_client.RULES)
