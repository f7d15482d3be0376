"""Scopes as they stand in files: can two plugins meet in one request, and which instance runs then (SPEC FLT-2)?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from ..config_file import FoundPlugin
from ..entity import Value, is_uuid

#: Kind of entity -> what it is called there: name -> "orders", id -> "7fca…". Empty: not known.
Scope = Mapping[str, Mapping[str, str]]

_KINDS = ("service", "route", "consumer", "consumer_group")
#: Combinations of scopes of one plugin, the one that wins first.
PRECEDENCE = (
    frozenset(("consumer", "route", "service")),
    frozenset(("consumer", "route")),
    frozenset(("consumer", "service")),
    frozenset(("route", "service")),
    frozenset(("consumer",)),
    frozenset(("route",)),
    frozenset(("service",)),
    frozenset[str](),
)


class Overlap(Enum):
    """Whether there are requests in two scopes at once."""

    NO = "no"
    UNKNOWN = "unknown"
    ROUTE_IN_SERVICE = "if the Route belongs to the Service"
    YES = "yes"


def scope_of(plugin: FoundPlugin) -> Scope:
    """Return what ``plugin`` is limited to."""
    return {
        kind: _names(plugin.data[kind])
        for kind in _KINDS
        if plugin.data.get(kind) is not None and plugin.data.get(kind) != {}
    }


def scope_text(scope: Scope) -> str:
    """Return a scope in words: ``global``, or ``service=orders, consumer=alice``."""
    return ", ".join(f"{kind}={next(iter(names.values()), '?')}" for kind, names in scope.items()) or "global"


def overlap(one: Scope, other: Scope) -> Overlap:
    """Return whether a request can be in both scopes."""
    known = True
    for kind in one.keys() & other.keys():
        same = _same(one[kind], other[kind])
        if same is False:
            return Overlap.NO
        known = known and same is True
    if not known:
        return Overlap.UNKNOWN
    if _apart(one, other) or _apart(other, one):
        return Overlap.ROUTE_IN_SERVICE
    return Overlap.YES


def wins_over(one: Iterable[str], other: Iterable[str]) -> bool:
    """Return whether an instance limited to the kinds ``one`` runs where one limited to ``other`` fits as well."""
    return _rank(frozenset(one)) < _rank(frozenset(other))


def _rank(kinds: frozenset[str]) -> int:
    return PRECEDENCE.index(kinds) if kinds in PRECEDENCE else len(PRECEDENCE)


def _apart(one: Scope, other: Scope) -> bool:
    """Return whether ``one`` names a Service and no Route, ``other`` a Route and no Service."""
    return "service" in one and "route" not in one and "route" in other and "service" not in other


def _names(target: Value) -> Mapping[str, str]:
    if isinstance(target, str):
        return {"id": target.lower()} if is_uuid(target) else {"name": target}
    if not isinstance(target, dict):
        return {}
    found: dict[str, str] = {}
    for key, name in (("name", "name"), ("username", "name"), ("id", "id")):
        value = target.get(key)
        if isinstance(value, str) and value:
            found.setdefault(name, value.lower() if name == "id" else value)
    return found


def _same(one: Mapping[str, str], other: Mapping[str, str]) -> bool | None:
    """Return whether two names stand for one entity; None when a name stands beside an id."""
    both = one.keys() & other.keys()
    return all(one[key] == other[key] for key in both) if both else None
