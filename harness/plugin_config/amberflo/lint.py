"""The lint rules of the Amberflo plugin."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from ..config_file import FoundPlugin
from ..entity import Value
from ..lint.finding import Severity
from ..lint.rule import LintedPlugin, Remark, Rule, Unknown, rule
from ..lint.scopes import scope_of, scope_text

#: What the client is made with, once for all instances -> what it is when it is not given.
_OF_THE_CLIENT: dict[str, Value] = {"apiKey": None, "batchSize": 10, "intervalSeconds": 1, "debug": False}


@rule(
    "replacements-overlap",
    Severity.WARNING,
    "Replacements are made in no fixed order, so one request's dimension may have one value and the next another.",
    "AMB-4",
)
def replacements_overlap(linted: LintedPlugin) -> Iterator[Remark]:
    """Two ``replacements`` whose result depends on which comes first."""
    try:
        replacements, dimensions = linted.value("replacements"), linted.value("dimensionHeaders")
    except Unknown:
        return
    # Only dimensions that come from headers are transformed (AMB-3).
    if not isinstance(replacements, dict) or not dimensions:
        return
    pairs = [(old, new) for old, new in replacements.items() if old and isinstance(new, str)]
    for (one, instead_of_one), (other, instead_of_other) in combinations(pairs, 2):
        if _touch(one, other) or _touch(instead_of_one, other) or _touch(instead_of_other, one):
            message = f"what becomes of a value depends on whether {one!r} or {other!r} is replaced first"
            fix = "let no replacement make, or share, what another one looks for"
            yield Remark(message, fix, ("config", "replacements", other))


def _touch(text: str, wanted: str) -> bool:
    """Return whether ``text`` holds ``wanted`` or a part of it that may be completed by what is around."""
    if wanted in text or (text in wanted and len(wanted) > max(len(text), 1)):
        return True
    parts = range(1, min(len(text), len(wanted)))
    return any(text[-size:] == wanted[:size] or text[:size] == wanted[-size:] for size in parts)


@rule(
    "client-shared",
    Severity.ERROR,
    "All instances of a process send through one client, made of the configuration that the first request meets: the"
    " others' records go to its account, in its batches.",
    "AMB-10",
)
def client_shared(linted: LintedPlugin) -> Iterator[Remark]:
    """``apiKey``, ``batchSize``, ``intervalSeconds`` or ``debug`` is another than in the first instance."""
    running = linted.surroundings.running
    firsts = [running[name][0] for name in linted.kind.names if running.get(name)]
    if not linted.runs or not firsts:
        return
    first = min(firsts, key=lambda each: each.place)
    if first.place == linted.placed.place:
        return
    for name, default in _OF_THE_CLIENT.items():
        mine, its = (_setting(plugin, name, default) for plugin in (linted.plugin, first.plugin))
        if mine is not None and its is not None and mine != its:
            severity = None if name == "apiKey" else Severity.WARNING
            where = f"the instance on {scope_text(scope_of(first.plugin))}"
            message = f"{name} is another than that of {where}, and which one is used is down to the first request"
            fix = f"give all instances the same {name}, or each a gateway of its own"
            yield Remark(message, fix, ("config", name), severity)


def _setting(plugin: FoundPlugin, name: str, default: Value) -> Value:
    """Return a setting, which may be a variable; None when it is not known, or wrong."""
    config = plugin.data.get("config")
    if not isinstance(config, dict):
        return None
    value = config.get(name)
    return default if value is None else value


RULES: tuple[Rule, ...] = (replacements_overlap, client_shared)
