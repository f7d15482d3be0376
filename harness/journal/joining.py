"""Which try of the gateway is which request at the ingest endpoint, for one event, and where the two disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from harness.capture.life import Delivery
from harness.journal.wording import seconds
from plugin_emulator.journal import Tried

#: Seconds by which an arrival may lie outside of its try: what a busy machine needs to look at its clock.
_TOLERANCE = 1.0
#: An arrival that far outside is half as likely as one within: then the answer is the better witness.
_NEAR = 0.02


def took(delivery: Delivery) -> bool:
    """Return whether the event was taken in: by the fake endpoint, or by the real one that it was passed on to."""
    return delivery.verdict in ("accepted", "duplicate") or _only_behind(delivery)


def _only_behind(delivery: Delivery) -> bool:
    """Return whether the real endpoint took an event that the fake one would not have."""
    relayed = delivery.relayed
    return delivery.verdict not in ("accepted", "duplicate") and relayed is not None and relayed.succeeded


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One time that an event was sent: the gateway's try, and the same as the ingest endpoint saw it.

    Without ``delivery`` it is not in the capture, without ``tried`` the gateway has told nothing of its end: then
    ``untold`` is its number when it may be a try under way, None when it can be no try of the gateway.
    ``disagreement`` is in words; None where the two say the same.
    """

    tried: Tried | None = None
    delivery: Delivery | None = None
    untold: int | None = None
    disagreement: str | None = None


def attempts_of(
    tries: Sequence[Tried],
    deliveries: Sequence[Delivery],
    *,
    captured: bool = True,
    untold: tuple[float, float] | None = None,
) -> tuple[Attempt, ...]:
    """Join the tries of an event's batch with the event's deliveries, both in their order.

    They are joined by time, and by what was answered; where not one fits in time, by the answers alone. (Event ids
    are the same already; a try that never reached the endpoint has no delivery.) Unless ``captured`` there is nothing
    to disagree with. Between the times ``untold`` (seconds since the epoch) the gateway may have begun tries of which
    it has told nothing yet; None: it has told of all.
    """
    pairs = _pairs(tries, deliveries, untold, in_time=True) or _pairs(tries, deliveries, untold, in_time=False)
    paired = set(pairs.values())
    attempts: list[Attempt] = []
    place = 0
    for index, delivery in enumerate(deliveries):
        number = pairs.get(index)
        if number is None:
            # Where it stands among the tries is known by time alone.
            until = place
            while until < len(tries) and until not in paired and tries[until].at < delivery.at:
                until += 1
        elif number >= len(tries):
            attempts += [Attempt(tried) for tried in tries[place:]]
            before = tries[-1].number if tries else 0
            attempts.append(Attempt(None, delivery, before + 1 + number - len(tries)))
            place = len(tries)
            continue
        else:
            until = number
        attempts += [Attempt(tried) for tried in tries[place:until]]
        attempts.append(Attempt(None if number is None else tries[number], delivery))
        place = until if number is None else until + 1
    attempts += [Attempt(tried) for tried in tries[place:]]
    return tuple(
        msgspec.structs.replace(each, disagreement=_disagreement(each, attempts))
        if (tries or untold) and captured
        else each
        for each in attempts
    )


def _pairs(
    tries: Sequence[Tried], deliveries: Sequence[Delivery], untold: tuple[float, float] | None, *, in_time: bool
) -> dict[int, int]:
    """Return the index of a try for the index of each delivery that has one: beyond the last one of an untold try."""
    pairs: dict[int, int] = {}
    free = 0
    for index, delivery in enumerate(deliveries):
        best, number = 0.0, None
        for candidate in range(free, len(tries)):
            if in_time and tries[candidate].at - tries[candidate].took > delivery.at + _TOLERANCE:
                break
            score = _likeness(tries[candidate], delivery, in_time=in_time)
            if score > best:
                best, number = score, candidate
        if untold is not None and _likely_untold(delivery, untold, in_time=in_time) > best:
            number = max(free, len(tries))
        if number is not None:
            pairs[index] = number
            free = number + 1
    return pairs


def _likeness(tried: Tried, delivery: Delivery, *, in_time: bool) -> float:
    """Return how well the two fit together, 0 when they do not."""
    same = tried.status == delivery.status
    possible = same or tried.status is None  # the answer may not have reached the gateway
    answered = 2.0 if same else 1.0 if possible else 0.0
    if not in_time:
        return answered
    off = _off(tried, delivery)
    return 0.0 if off > _TOLERANCE else 4 / (1 + off / _NEAR) + answered


def _likely_untold(delivery: Delivery, untold: tuple[float, float], *, in_time: bool) -> float:
    """Return how well a delivery fits a try of which the gateway has told nothing yet, 0 when it does not."""
    since, until = untold
    off = max(since - delivery.at, delivery.at - until, 0.0)
    if not in_time:
        return 0.5  # less than any answer that fits
    return 0.0 if off > _TOLERANCE else 4 / (1 + off / _NEAR) + 1.0


def _off(tried: Tried, delivery: Delivery) -> float:
    """Return by how many seconds an arrival lies outside of the time of a try."""
    return max(tried.at - tried.took - delivery.at, delivery.at - tried.at, 0.0)


def _disagreement(attempt: Attempt, attempts: Sequence[Attempt]) -> str | None:
    tried, delivery = attempt.tried, attempt.delivery
    if attempt.untold is not None:
        return None
    if tried is None and delivery is not None:
        return f"request #{delivery.request} is none of the gateway's tries: a replay, or another gateway?"
    if tried is not None and delivery is None:
        return _not_captured(tried)
    assert tried is not None and delivery is not None
    return "; ".join(_differences(tried, delivery, attempts)) or None


def _not_captured(tried: Tried) -> str | None:
    if tried.status is None:
        return None
    what = f"the gateway says that try {tried.number} was answered {tried.status}"
    return f"{what}, the capture does not have the event with it: another ingest endpoint, or another capture file?"


def _differences(tried: Tried, delivery: Delivery, attempts: Sequence[Attempt]) -> Iterator[str]:
    if delivery.verdict == "accepted" and not tried.ok:
        again = any(
            other.delivery is not None and other.delivery.verdict == "duplicate" and other.delivery.at >= delivery.at
            for other in attempts
        )
        so = ": that is where the duplicate comes from" if again else ""
        yield (
            f"the gateway took try {tried.number} for failed ({tried.problem}), the ingest endpoint had accepted the "
            f"event with request #{delivery.request}{so}"
        )
    elif delivery.relayed is not None and _only_behind(delivery):
        yield (
            f"{delivery.relayed.host} took the event of request #{delivery.request}, which by the rules of the "
            f"fake ingest endpoint is {delivery.verdict}"
        )
    elif tried.ok and not took(delivery):
        yield (
            f"the gateway took try {tried.number} for delivered (answered {tried.status}), at the ingest endpoint "
            f"the event of request #{delivery.request} is {delivery.verdict}"
        )
    if tried.status is not None and tried.status != delivery.status:
        answer = "gave no answer" if delivery.status is None else f"answered {delivery.status}"
        yield (
            f"the gateway was answered {tried.status} to try {tried.number}, the ingest endpoint {answer}: something "
            "between the two answered"
        )
    off = _off(tried, delivery)
    if off > _TOLERANCE:
        yield (
            f"request #{delivery.request} came {seconds(off)} outside of try {tried.number}: the clocks differ, "
            "or it is another delivery"
        )
