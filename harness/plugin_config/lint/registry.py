"""Which lint rules there are: those of every metering plugin, and each plugin's own. A new plugin adds its line."""

from __future__ import annotations

from collections.abc import Collection

from plugin_emulator.documents import did_you_mean

from ..amberflo.kind import AMBERFLO
from ..amberflo.lint import RULES as AMBERFLO_RULES
from ..metering_and_billing.kind import METERING_AND_BILLING
from ..metering_and_billing.lint import RULES as METERING_AND_BILLING_RULES
from ..plugin_kind import PluginKind
from .rule import Rule
from .shared_conditions import RULES as CONDITION_RULES
from .shared_scopes import RULES as SCOPE_RULES
from .shared_secrets import RULES as SECRET_RULES

SHARED_RULES = (*SECRET_RULES, *SCOPE_RULES, *CONDITION_RULES)
_OWN_RULES = {METERING_AND_BILLING.name: METERING_AND_BILLING_RULES, AMBERFLO.name: AMBERFLO_RULES}

#: Every rule, in the order in which they are listed.
RULES: tuple[Rule, ...] = (*SHARED_RULES, *(rule for rules in _OWN_RULES.values() for rule in rules))


class NoSuchRule(ValueError):
    """A rule was named that does not exist; the text suggests the nearest."""

    def __init__(self, name: str) -> None:
        near = did_you_mean(name, (rule.id for rule in RULES))
        super().__init__(f"no rule is called {name!r}{f', did you mean {near!r}?' if near else ''}")


def rules_of(kind: PluginKind) -> tuple[Rule, ...]:
    """Return the rules for a metering plugin, those shared by all of them first."""
    return (*SHARED_RULES, *_OWN_RULES.get(kind.name, ()))


def selected_rules(
    only: Collection[str] = (), disable: Collection[str] = (), enable: Collection[str] = ()
) -> tuple[Rule, ...]:
    """Return the rules to check, in order: those named by ``only``, or all but the opt-in ones.

    ``enable`` adds opt-in rules, ``disable`` takes rules away. Raises NoSuchRule.
    """
    known = {rule.id for rule in RULES}
    for name in (*only, *disable, *enable):
        if name not in known:
            raise NoSuchRule(name)
    return tuple(
        rule
        for rule in RULES
        if rule.id not in disable and (rule.id in only or rule.id in enable or not (only or rule.opt_in))
    )
