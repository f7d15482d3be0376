"""Lint rules on Amberflo's client, of which a gateway process has one for all instances."""

from __future__ import annotations

from collections.abc import Iterator

from ..config_file import FoundPlugin
from ..entity import Value
from ..lint.finding import Severity
from ..lint.rule import LintedPlugin, Remark, Unknown, rule
from ..lint.scopes import scope_of, scope_text

#: What the client is made with, once for all instances -> what it is when it is not given.
_OF_THE_CLIENT: dict[str, Value] = {"apiKey": None, "batchSize": 10, "intervalSeconds": 1, "debug": False}


@rule(
    "client-shared",
    Severity.ERROR,
    "All instances of a process send through one client, made of the configuration that the first request meets: the"
    " others' records go to its account, in its batches.",
    "AMB-10",
)
def client_shared(linted: LintedPlugin) -> Iterator[Remark]:
    """``apiKey``, ``batchSize``, ``intervalSeconds`` or ``debug`` is another than in the first instance."""
    # Another name is another plugin server, a process of its own.
    same = linted.surroundings.running.get(linted.plugin.name)
    if not linted.runs or not same:
        return
    first = same[0]
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


@rule(
    "debug-not-off",
    Severity.INFO,
    "In debug mode the client writes every record, customers included, and every answer into the gateway's log once"
    " more (client 2.0.2 writes a record in any mode when it takes it in and when it sends it); since there is one"
    " client for all instances, debug: false belongs in each of them.",
    "AMB-10",
)
def debug_not_off(linted: LintedPlugin) -> Iterator[Remark]:
    """``debug`` is on (a warning), or ``debug: false`` is missing."""
    if linted.config is None:
        return
    try:
        value = linted.value("debug")
    except Unknown:
        return
    at, fix = ("config", "debug"), "write debug: false"
    if value is True:
        yield Remark("every record and answer is written into the gateway's log once more", fix, at, Severity.WARNING)
    elif value is None:
        yield Remark("debug: false is missing: it is off only as long as nobody says otherwise", fix, at)


def _setting(plugin: FoundPlugin, name: str, default: Value) -> Value:
    """Return a setting, which may be a variable; None when it is not known, or wrong."""
    config = plugin.data.get("config")
    if not isinstance(config, dict):
        return None
    value = config.get(name)
    return default if value is None else value


RULES = (client_shared, debug_not_off)
