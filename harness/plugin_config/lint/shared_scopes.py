"""Lint rules on where a metering plugin runs, and what runs beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .finding import Severity
from .rule import LintedPlugin, Remark, rule
from .scopes import Overlap, Scope, overlap, scope_text, wins_over

_LISTED = 3
_SEE_BOTH = "see that both count alike, or give them scopes that do not meet"


@rule(
    "plugin-not-attached",
    Severity.WARNING,
    "A plugin object that nothing refers to, and that is not global, is taken by the cluster and never runs.",
    "CFG-9",
)
def not_attached(linted: LintedPlugin) -> Iterator[Remark]:
    """A KongClusterPlugin without the label ``global: 'true'``, or a KongPlugin that no annotation names."""
    if not linted.plugin.attached:
        yield Remark(
            "is not global, and nothing in the file names it: it meters nothing",
            "label a KongClusterPlugin global: 'true' for all traffic; otherwise name it in the annotation"
            " konghq.com/plugins of a Service, Ingress, HTTPRoute or KongConsumer, here or by kubectl annotate",
            (),
        )


@rule(
    "overlapping-scopes",
    Severity.WARNING,
    "Of several instances of a plugin that fit a request only the most specific one runs, and the others do not.",
    "FLT-2",
    "CFG-9",
)
def overlapping(linted: LintedPlugin) -> Iterator[Remark]:
    """Another instance takes requests away from this one; says which.

    A warning where neither scope is part of the other: that a Consumer's instance wins over a Route's is easily
    missed. Info where the winner's scope narrows this one, which is likely to be meant. An error for the same scope
    twice, which the gateway refuses.
    """
    if not linted.runs:
        return
    if linted.surroundings.twin(linted.placed) is not None:
        message = f"stands there more than once with the scope {scope_text(linted.scope)}"
        yield Remark(message, "keep one: the gateway takes no two with one scope", (), Severity.ERROR)
    narrower: list[Scope] = []
    across: list[Scope] = []
    routes: list[Scope] = []
    for winner, meets in _winners(linted):
        if meets is Overlap.ROUTE_IN_SERVICE:
            routes.append(winner)
        else:
            (narrower if winner.keys() > linted.scope.keys() else across).append(winner)
    if across:
        yield Remark(_beaten_by(across, "for requests that fit both"), _SEE_BOTH, ())
    if narrower:
        yield Remark(_beaten_by(narrower, "for its requests"), _SEE_BOTH, (), Severity.INFO)
    if routes:
        which = "for its requests, if it belongs to this Service"
        yield Remark(_beaten_by(routes, which), _SEE_BOTH, (), Severity.INFO)


@rule(
    "metered-twice",
    Severity.WARNING,
    "Two metering plugins that run for one request both count it, and it is likely to be billed twice.",
    "FLT-1",
)
def metered_twice(linted: LintedPlugin) -> Iterator[Remark]:
    """A metering plugin of another kind runs for the same requests; told once, at the later one."""
    others = [group for name, group in linted.surroundings.instances.items() if name != linted.kind.name]
    for other in (each for group in others for instances in group.values() for each in instances):
        if not linted.runs or other.place > linted.placed.place:
            continue
        if overlap(linted.scope, other.scope) is Overlap.YES:
            yield Remark(
                f"meters requests that {other.plugin.name} on {scope_text(other.scope)} meters as well",
                "keep one of the two, or see that only one of them is billed",
                (),
            )


def _winners(linted: LintedPlugin) -> Iterator[tuple[Scope, Overlap]]:
    """Yield the scopes of the instances that run in this one's place, and how the two scopes meet."""
    mine = frozenset(linted.scope)
    for kinds, instances in linted.surroundings.instances[linted.kind.name].items():
        if not wins_over(kinds, mine):
            continue
        # Without a kind in common it does not matter which entities they are.
        same_for_all = None if kinds & mine else overlap(instances[0].scope, linted.scope)
        for each in instances:
            meets = same_for_all or overlap(each.scope, linted.scope)
            if meets in (Overlap.YES, Overlap.ROUTE_IN_SERVICE) and not each.is_same_object(linted.placed):
                yield each.scope, meets


def _beaten_by(winners: Sequence[Scope], which: str) -> str:
    names = " or ".join(scope_text(winner) for winner in winners[:_LISTED])
    more = f" (and {len(winners) - _LISTED} more)" if len(winners) > _LISTED else ""
    return f"the instance on {names}{more} wins {which}: this one does not run for them"


RULES = (not_attached, overlapping, metered_twice)
