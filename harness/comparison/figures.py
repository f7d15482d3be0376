"""What a delivery in virtual time comes to, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from plugin_emulator.runtime.simulation import Arrival

from .bill import Bill, Biller, Delivery
from .load import Load


@dataclass(frozen=True, slots=True)
class Loss:
    """``entries`` lost for one ``reason``; ``rule`` allows it, ``about`` says it in words."""

    reason: str
    rule: str
    about: str
    entries: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of the ``entries`` (events or records) of a load. Times are in seconds.

    ``billed`` are those that the ingest endpoint took in, ``duplicates`` how often it got one again, which an
    endpoint without deduplication would bill. ``lost_requests`` are the requests of which not all was taken in.
    ``delay`` is the longest time from metering to the endpoint's answer, ``waiting_most`` how many entries waited at
    most. ``held_up`` requests waited in their access phase, the longest for ``longest_hold``.
    """

    entries: int
    batches: int
    posts: int
    failed_posts: int
    billed: int
    duplicates: int
    lost: tuple[Loss, ...]
    lost_requests: int
    waiting_most: int
    delay: float
    held_up: int
    longest_hold: float
    ended_at: float


def figures(biller: Biller, bills: Sequence[Bill], load: Load) -> Figures:
    """Simulate the delivery of a load by one plugin; ``bills`` are those of the exchanges that it repeats."""
    arrivals = _arrivals(biller, bills, load)
    return _summed_up(biller, arrivals, biller.deliver(arrivals, load))


def _arrivals(biller: Biller, bills: Sequence[Bill], load: Load) -> list[Arrival]:
    """Return the entries in order of time; an id is ``request:place``."""
    arrivals = [
        Arrival(request.began if biller.phase == "access" else request.ended, f"{number}:{place}", size)
        for number, request in enumerate(load.requests)
        for place, size in enumerate(bills[request.exchange].sizes)
    ]
    arrivals.sort(key=lambda arrival: arrival.t)
    return arrivals


def _summed_up(biller: Biller, arrivals: Sequence[Arrival], delivery: Delivery) -> Figures:
    taken: Counter[str] = Counter()
    for each, takes_in in delivery.tries:
        if takes_in:
            taken.update(each.entries)
    metered_at = {arrival.id: arrival.t for arrival in arrivals}
    lost = Counter(each.reason for each in delivery.lost if each.id not in taken)
    missing = {arrival.id.partition(":")[0] for arrival in arrivals if arrival.id not in taken}
    return Figures(
        entries=len(arrivals),
        batches=len({each.entries[0] for each, _ in delivery.tries}),
        posts=len(delivery.tries),
        failed_posts=len(delivery.tries) - _succeeded(delivery),
        billed=len(taken),
        duplicates=taken.total() - len(taken),
        lost=tuple(Loss(reason, *biller.loss_rules[reason], count) for reason, count in sorted(lost.items())),
        lost_requests=len(missing),
        waiting_most=delivery.waiting_most,
        delay=max((each.t - metered_at[each.id] for each in delivery.delivered), default=0.0),
        held_up=len(delivery.held_up),
        longest_hold=max((each.seconds for each in delivery.held_up), default=0.0),
        ended_at=delivery.ended_at,
    )


def _succeeded(delivery: Delivery) -> int:
    """Return how many tries were a success: one for each batch that was delivered, whose entries share their fate."""
    done = {each.id for each in delivery.delivered}
    return len({each.entries[0] for each, _ in delivery.tries if each.entries[0] in done})
