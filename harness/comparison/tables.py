"""A comparison as tables of text, which each report writes in its own way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from plugin_emulator.exchange import Exchange

from .bill import REQUESTS, Bill
from .comparison import Comparison
from .figures import Figures

NOTHING = "–"
#: Of the requests that differ for one reason, so many are named.
_NUMBERED = 5


@dataclass(frozen=True, slots=True)
class Table:
    """``rows`` have a text for each of ``columns``; ``marked`` are the rows in which the plugins differ."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    marked: frozenset[int] = frozenset()
    note: str = ""


def tables(comparison: Comparison, most_requests: int) -> list[Table]:
    """Return requests and customers (no more than ``most_requests`` of each), reasons, totals and deliveries."""
    reasons = _reasons(comparison)
    return [
        _requests(comparison, most_requests),
        *([reasons] if reasons.rows else []),
        _totals(comparison),
        _customers(comparison, most_requests),
        _deliveries(comparison),
    ]


def headline(comparison: Comparison) -> str:
    """Return how much differs, in a sentence."""
    first, second = (instance.biller.plugin for instance in comparison.instances)
    requests, differing = len(comparison.compared), comparison.differing
    if not differing:
        return f"{first} and {second} bill {_count(requests, 'request')} alike"
    return f"{first} and {second} bill {differing:,} of {_count(requests, 'request')} differently"


def sides(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Yield each plugin's name, and in a sentence when it meters, where it is configured and how it sends."""
    for instance in comparison.instances:
        biller = instance.biller
        yield biller.plugin, f"meters in the {biller.phase} phase, {instance.scope_text}; {biller.pace}"


def bill_text(bill: Bill) -> str:
    """Return a bill in a few words: ``alice``, ``alice, 12 prompt tokens``, or why there is none."""
    if bill.drop is not None:
        return f"{NOTHING} ({bill.drop.rule})"
    customers = " and ".join(dict.fromkeys(line.customer for line in bill.lines))
    tokens = [_amount(line.amount, line.what) for line in bill.lines if line.what != REQUESTS]
    return ", ".join([customers, *tokens])


def request_text(exchange: Exchange) -> str:
    """Return a request in a few words."""
    return f"{exchange.request.method} {exchange.request.path}"


def outage_texts(comparison: Comparison) -> list[str]:
    """Return the outages in words."""
    kinds = {"refuse": "answers 503", "hang": "never answers", "drop-answer": "takes events in and drops the answer"}
    return [
        f"from {outage.start:g} s for {outage.length:g} s the ingest endpoint {kinds[outage.kind]}"
        for outage in comparison.load.outages
    ]


def _requests(comparison: Comparison, most: int) -> Table:
    names = tuple(instance.biller.plugin for instance in comparison.instances)
    shown = comparison.compared[:most]
    rows = [
        (
            str(number),
            request_text(each.exchange),
            str(each.exchange.response.status),
            *(bill_text(bill) for bill in each.bills),
            "" if each.difference.kind == "same" else ", ".join(each.difference.rules),
        )
        for number, each in enumerate(shown, 1)
    ]
    left = len(comparison.compared) - len(shown)
    return Table(
        "What each bills",
        ("#", "request", "answer", *names, "rules"),
        rows,
        frozenset(place for place, each in enumerate(shown) if each.difference.kind != "same"),
        f"and {_count(left, 'more request')}; --json has all" if left else "",
    )


def _reasons(comparison: Comparison) -> Table:
    """Return why requests are billed differently, each reason once with the numbers of its requests."""
    requests: dict[tuple[str, str], list[int]] = {}
    for number, each in enumerate(comparison.compared, 1):
        if each.difference.kind != "same":
            reason = (", ".join(each.difference.rules), each.difference.why)
            requests.setdefault(reason, []).append(number)
    rows = [(_numbers(numbers), rules, why) for (rules, why), numbers in requests.items()]
    return Table("Why they differ", ("#", "rules", "why"), rows)


def _numbers(numbers: Sequence[int]) -> str:
    """Return the numbers of some requests, of many only the first ones."""
    shown = ", ".join(f"{number:,}" for number in numbers[:_NUMBERED])
    return f"{shown} and {len(numbers) - _NUMBERED:,} more" if len(numbers) > _NUMBERED else shown


def _totals(comparison: Comparison) -> Table:
    sums = [comparison.totals(side) for side in (0, 1)]
    rows = [
        ("requests billed", *(f"{each.billed:,}" for each in sums)),
        ("requests not billed", *(f"{len(comparison.compared) - each.billed:,}" for each in sums)),
    ]
    whats = dict.fromkeys(what for each in sums for what in each.amounts if what != REQUESTS)
    rows += [(what, *(_exact(each.amounts.get(what, 0)) for each in sums)) for what in whats]
    return _side_by_side("In all", comparison, rows)


def _customers(comparison: Comparison, most: int) -> Table:
    """Return what each customer pays; those whom the plugins bill differently come first."""
    sums = [comparison.totals(side).customers for side in (0, 1)]
    names = sorted({*sums[0], *sums[1]}, key=lambda name: (sums[0].get(name) == sums[1].get(name), name))
    rows = [(name, *(_amounts(each.get(name, {})) for each in sums)) for name in names[:most]]
    left = len(names) - len(rows)
    note = f"and {_count(left, 'more customer')}; --json has all" if left else ""
    return _side_by_side("Who pays for what", comparison, rows, note)


def _amounts(amounts: Mapping[str, float]) -> str:
    return ", ".join(_amount(amount, what) for what, amount in amounts.items()) or NOTHING


def _amount(number: float, what: str) -> str:
    return f"{_exact(number)} {what.removesuffix('s') if number == 1 else what}"


def _exact(number: float) -> str:
    """Return all digits of an amount: of two that differ a reader sees that they do."""
    return f"{int(number):,}" if float(number).is_integer() else f"{number:,}"


def _deliveries(comparison: Comparison) -> Table:
    every = comparison.figures
    rows = [
        ("events or records", *(f"{each.entries:,}" for each in every)),
        ("batches", *(f"{each.batches:,}" for each in every)),
        ("POSTs, failed ones", *(f"{each.posts:,}, {each.failed_posts:,}" for each in every)),
        ("billed", *(f"{each.billed:,}" for each in every)),
        ("sent again although taken in", *(f"{each.duplicates:,}" for each in every)),
        ("lost", *(_losses(each) for each in every)),
        ("requests with something lost", *(f"{each.lost_requests:,}" for each in every)),
        ("waiting at most", *(f"{each.waiting_most:,}" for each in every)),
        ("longest delay", *(f"{each.delay:,.3f} s" for each in every)),
        ("requests held up", *(_held_up(each) for each in every)),
        ("ended at", *(f"{each.ended_at:,.3f} s" for each in every)),
    ]
    requests = _count(len(comparison.load.requests), "request")
    note = "; ".join([f"{requests} in virtual time", *outage_texts(comparison)])
    return _side_by_side("How it is delivered", comparison, rows, note)


def _side_by_side(title: str, comparison: Comparison, rows: list[tuple[str, ...]], note: str = "") -> Table:
    names = tuple(instance.biller.plugin for instance in comparison.instances)
    differ = frozenset(place for place, (_, first, second) in enumerate(rows) if first != second)
    return Table(title, ("", *names), rows, differ, note)


def _losses(one: Figures) -> str:
    return "; ".join(f"{loss.entries:,} {loss.about} ({loss.rule})" for loss in one.lost) or "none"


def _held_up(one: Figures) -> str:
    return f"{one.held_up:,}, for {one.longest_hold:,.3f} s at most (AMB-12)" if one.held_up else "none"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
