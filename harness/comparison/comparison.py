"""The same requests through two instances: bills, differences, and deliveries."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plugin_emulator.exchange import Exchange

from .bill import Bill
from .explanation import Difference, Kind, difference
from .figures import Figures, figures
from .instance import Instance
from .load import Load


@dataclass(frozen=True, slots=True)
class Compared:
    """One request with its two bills."""

    exchange: Exchange
    bills: tuple[Bill, Bill]
    difference: Difference


@dataclass(frozen=True, slots=True)
class Totals:
    """What all requests come to: how many are ``billed``, and how much of each thing, by its name.

    ``customers`` has the same for each one who pays.
    """

    billed: int
    amounts: Mapping[str, float]
    customers: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that is known of the same traffic through two plugins.

    ``notes`` are what of an intent one of them has no meaning for. ``figures`` are those of ``load``.
    """

    instances: tuple[Instance, Instance]
    compared: Sequence[Compared]
    load: Load
    figures: tuple[Figures, Figures]
    notes: Sequence[str] = ()

    @property
    def kinds(self) -> Counter[Kind]:
        """How many requests differ, by kind of difference."""
        return Counter(each.difference.kind for each in self.compared)

    @property
    def differing(self) -> int:
        """How many requests the two do not bill alike."""
        return len(self.compared) - self.kinds["same"]

    def totals(self, side: int) -> Totals:
        """Return what the first (0) or the second (1) plugin bills of all requests, if everything is delivered."""
        amounts: defaultdict[str, float] = defaultdict(int)
        customers: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(int))
        bills = [each.bills[side] for each in self.compared]
        for bill in bills:
            for line in bill.lines:
                amounts[line.what] += line.amount
                customers[line.customer][line.what] += line.amount
        of_each = {customer: dict(customers[customer]) for customer in sorted(customers)}
        return Totals(sum(bool(bill.lines) for bill in bills), dict(amounts), of_each)


def compare(
    instances: tuple[Instance, Instance], exchanges: Sequence[Exchange], load: Load, notes: Sequence[str] = ()
) -> Comparison:
    """Bill every exchange twice, and deliver the ``load`` that is made of them."""
    first, second = instances
    billers = (first.biller, second.biller)
    compared = []
    for exchange in exchanges:
        bills = (first.bill(exchange), second.bill(exchange))
        compared.append(Compared(exchange, bills, difference(bills, billers)))
    delivered = (
        figures(first.biller, [each.bills[0] for each in compared], load),
        figures(second.biller, [each.bills[1] for each in compared], load),
    )
    return Comparison(instances, compared, load, delivered, notes)
