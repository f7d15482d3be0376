"""Why two plugins bill one request differently, by the rules that make the difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from plugin_emulator.metering_plugin import Drop

from .bill import REQUESTS, Bill, Biller

#: ``same``: nothing differs; ``one``: only one of the two bills it; ``customer``: another customer pays; ``amount``:
#: one bills more than the other, such as tokens.
Kind = Literal["same", "one", "customer", "amount"]

#: What a drop of a log-phase plugin means to one that has counted the request in its access phase, and the reverse.
_IN_ACCESS_PHASE = {
    "FLT-4": ("AMB-5", "{plugin} counts in the access phase, when there is no status yet"),
    "DRP-1": ("AMB-1", "{plugin} takes the customer from a header"),
    "DRP-2": ("AMB-1", "{plugin} takes the customer from a header"),
    "EVT-8": ("AMB-5", "{plugin} counts every request that it sees"),
    "EVT-10": ("AMB-5", "{plugin} counts every request that it sees"),
}
_IN_LOG_PHASE = {
    "AMB-5": ("FLT-5", "{plugin} counts in the log phase, which every answer reaches"),
    "AMB-1": ("SUB-1…5", "{plugin} looks its subject up elsewhere, or in another header"),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """How two bills of one request differ. ``rules`` are those that make them; ``why`` is a sentence, or empty."""

    kind: Kind
    rules: tuple[str, ...] = ()
    why: str = ""


def difference(bills: tuple[Bill, Bill], billers: tuple[Biller, Biller]) -> Difference:
    """Return how the bills of one request differ, the first biller's from the second's."""
    first, second = bills
    if first.drop is not None and second.drop is not None:
        rules = tuple(dict.fromkeys((first.drop.rule, second.drop.rule)))
        return Difference("same", rules, _both(first.drop, second.drop, billers))
    for drop, other in ((first.drop, billers[1]), (second.drop, billers[0])):
        if drop is not None:
            return _one(drop, other)
    customers = [{line.customer for line in bill.lines} for bill in bills]
    if customers[0] != customers[1]:
        names = [" and ".join(repr(customer) for customer in sorted(each)) for each in customers]
        why = f"{billers[0].plugin} bills {names[0]}, {billers[1].plugin} bills {names[1]}"
        return Difference("customer", ("SUB-1…5", "AMB-1"), why)
    amounts = [sorted((line.what, line.amount) for line in bill.lines) for bill in bills]
    if amounts[0] != amounts[1]:
        return _more(bills, billers)
    return Difference("same")


def _both(first: Drop, second: Drop, billers: tuple[Biller, Biller]) -> str:
    if first == second:
        return first.reason
    return f"{billers[0].plugin}: {first.reason}; {billers[1].plugin}: {second.reason}"


def _one(drop: Drop, other: Biller) -> Difference:
    """Return why only ``other`` bills a request that the plugin which says ``drop`` does not."""
    table = _IN_ACCESS_PHASE if other.phase == "access" else _IN_LOG_PHASE
    rule, because = table.get(drop.rule, ("", ""))
    why = f"{drop.reason}; {because.format(plugin=other.plugin)}" if because else drop.reason
    return Difference("one", (drop.rule, rule) if rule else (drop.rule,), why)


def _more(bills: tuple[Bill, Bill], billers: tuple[Biller, Biller]) -> Difference:
    """Return why two plugins that bill a request to one customer bill different things of it."""
    counted = [{line.what for line in bill.lines} for bill in bills]
    words = [
        f"{biller.plugin} bills the request{' and its AI tokens' if what - {REQUESTS} else ''}"
        if REQUESTS in what
        else f"{biller.plugin} bills AI tokens alone"
        for biller, what in zip(billers, counted, strict=True)
    ]
    return Difference("amount", ("EVT-9" if counted[0] != counted[1] else "EVT-8",), "; ".join(words))
