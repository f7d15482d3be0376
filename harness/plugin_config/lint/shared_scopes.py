"""Lint rules on where a metering plugin runs, and what runs beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .finding import Severity
from .rule import LintedPlugin, PlacedPlugin, Remark, rule
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
    others = _others_of_its_kind(linted)
    if any(
        earlier and other.keys() == linted.scope.keys() for other, meets, earlier in others if meets is Overlap.YES
    ):
        message = f"stands there more than once with the scope {scope_text(linted.scope)}"
        yield Remark(message, "keep one: the gateway takes no two with one scope", (), Severity.ERROR)
    winners = [(other, meets) for other, meets, _ in others if wins_over(other, linted.scope)]
    narrower = [other for other, meets in winners if meets is Overlap.YES and _narrows(other, linted.scope)]
    across = [other for other, meets in winners if meets is Overlap.YES and not _narrows(other, linted.scope)]
    routes = [other for other, meets in winners if meets is Overlap.ROUTE_IN_SERVICE]
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
    for other in linted.beside[: linted.place]:
        if other.kind is None or other.kind is linted.kind or not (other.runs and linted.runs):
            continue
        if overlap(linted.scope, other.scope) is Overlap.YES:
            yield Remark(
                f"meters requests that {other.kind.name} on {scope_text(other.scope)} meters as well",
                "keep one of the two, or see that only one of them is billed",
                (),
            )


def _others_of_its_kind(linted: LintedPlugin) -> list[tuple[Scope, Overlap, bool]]:
    """Return the scopes of the other instances, whether they meet this one's, and whether they stand before it."""
    if not linted.runs:
        return []
    return [
        (other.scope, overlap(linted.scope, other.scope), index < linted.place)
        for index, other in enumerate(linted.beside)
        if index != linted.place and other.kind is linted.kind and _is_another(other, linted)
    ]


def _is_another(other: PlacedPlugin, linted: LintedPlugin) -> bool:
    """Return whether ``other`` runs and is not the same object of a manifest, attached in a second place."""
    one, two = linted.plugin, other.plugin
    same_object = (
        one.line() is not None
        and (one.file, one.line()) == (two.file, two.line())
        and one.data.get("config") == two.data.get("config")
    )
    return other.runs and not same_object


def _narrows(one: Scope, other: Scope) -> bool:
    return one.keys() > other.keys()


def _beaten_by(winners: Sequence[Scope], which: str) -> str:
    names = " or ".join(scope_text(winner) for winner in winners[:_LISTED])
    more = f" (and {len(winners) - _LISTED} more)" if len(winners) > _LISTED else ""
    return f"the instance on {names}{more} wins {which}: this one does not run for them"


RULES = (not_attached, overlapping, metered_twice)
