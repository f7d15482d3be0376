"""Lint rules on a plugin's ``condition``: written for another version, or not meaning what it seems to."""

from __future__ import annotations

from collections.abc import Iterator

from plugin_emulator.conditions.advice import advice

from .finding import Severity
from .rule import Check, LintedPlugin, Remark, Rule, Unknown, value_in

_HEADER_NAME = "A condition on a header that no request can have is never true, and nothing is metered."
_ERROR_500 = "From 3.15 on a condition that fails when it is evaluated answers 500 to the client."


def _check(identifier: str, title: str) -> Check:
    def check(linted: LintedPlugin) -> Iterator[Remark]:
        try:
            text = value_in(linted.plugin, "condition")
        except Unknown:
            return
        for piece in advice(text, linted.context.gateway) if isinstance(text, str) else ():
            if piece.id == identifier:
                yield Remark(piece.message, piece.fix, ("condition",))

    check.__doc__ = title
    return check


def _rule(identifier: str, severity: Severity, title: str, reason: str, *basis: str) -> Rule:
    return Rule(identifier, severity, reason, basis, _check(identifier, title))


RULES: tuple[Rule, ...] = (
    _rule(
        "condition-language",
        Severity.ERROR,
        "A condition in the language of another gateway version: router expressions in 3.14, CEL from 3.15 on.",
        "The gateway refuses it, and with it the whole configuration.",
        "CND-6",
        "CND-2",
        "CND-4",
    ),
    _rule(
        "condition-header-name",
        Severity.ERROR,
        "A header's name with dashes or capitals, where a condition has underscores and lower case.",
        _HEADER_NAME,
        "CND-6",
        "CND-2",
    ),
    _rule(
        "condition-unknown-name",
        Severity.ERROR,
        "A field or function that conditions do not have.",
        _ERROR_500,
        "CND-2",
        "CND-3",
    ),
    _rule(
        "condition-has-of-field",
        Severity.WARNING,
        "``has()`` of a field, which is there for keys of maps.",
        "An absent field is null, and what has() makes of it is documented nowhere.",
        "CND-2",
    ),
    _rule(
        "condition-fails",
        Severity.WARNING,
        "A condition that fails for an ordinary request, one without the header or Consumer it asks for.",
        _ERROR_500,
        "CND-3",
    ),
    _rule(
        "condition-and-with-or",
        Severity.WARNING,
        "``&&`` and ``||`` side by side in a router expression.",
        "There || binds more tightly than &&, unlike in CEL, and requests are metered that are not meant to be.",
        "CND-4",
    ),
)
