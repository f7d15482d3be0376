"""Parameters that should lose nothing, by reasoning: as few changes as possible, each with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec

from plugin_emulator.queue import QueueSettings
from plugin_emulator.queue.batch_queue import SHORTEST_WAIT

from .quantities import (
    bytes_text,
    duration_text,
    next_round,
    plain_number,
    rate_text,
    rounded_down,
    rounded_up,
    setting_text,
)
from .workload import (
    MOST_ENTRIES,
    Workload,
    capacity,
    entries_needed,
    events_per_post,
    retry_time_needed,
    silence,
)

#: Delivery at its fastest, as a multiple of the traffic: left alone from here on, and at least this when changed.
ENOUGH_CAPACITY = 1.25
AMPLE_CAPACITY = 2.0
#: Shorter longest waits between two tries, in seconds, for when ``max_entries`` cannot be any larger.
_SHORTER_WAITS = (30.0, 10.0, 5.0, 2.0, 1.0)
_DEFAULT_WINDOW = QueueSettings().max_coalescing_delay


class BeyondBounds(ValueError):
    """No values within the schema's bounds (SPEC CFG-4) do it; the text says which bound is in the way."""


class BudgetOutOfReach(ValueError):
    """No parameters keep the delay budget; the text says why."""


@dataclass(frozen=True, slots=True)
class Change:
    """One parameter, its value before and after, and why."""

    name: str
    given: int | float | None
    advised: int | float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """Parameters that should do, and what is different in them."""

    settings: QueueSettings
    changes: tuple[Change, ...]


def propose(
    given: QueueSettings,
    workload: Workload,
    outage: float | None,
    retry_for: float | None = None,
) -> Proposal:
    """Return parameters for an outage of ``outage`` seconds, None to leave aside what an outage needs.

    ``retry_for`` is how long a batch should be retried when that is longer than what the queue can hold. Raises
    BeyondBounds and BudgetOutOfReach.
    """
    draft = _Draft(given, workload)
    if given.concurrency_limit == -1 and outage is not None:
        reason = "-1 sends and retries every event by itself, with no bound on how many are held and sent at once"
        draft.change("concurrency_limit", 1, reason)
    draft.deliver_fast_enough()
    if workload.delay_budget is not None:
        draft.deliver_soon_enough(workload.delay_budget)
    if outage is not None:
        draft.retry_long_enough(max(outage, retry_for or 0.0))
        draft.hold_enough(outage)
    return Proposal(draft.settings, draft.changes)


class _Draft:
    """Parameters while they are being changed."""

    def __init__(self, given: QueueSettings, workload: Workload) -> None:
        self.settings = given
        self._given = given
        self._workload = workload
        self._reasons: dict[str, str] = {}

    @property
    def changes(self) -> tuple[Change, ...]:
        """What is different from the given parameters, in the schema's order."""
        return tuple(
            Change(name, getattr(self._given, name), getattr(self.settings, name), self._reasons[name])
            for name in self.settings.__struct_fields__
            if getattr(self._given, name) != getattr(self.settings, name)
        )

    def change(self, name: str, value: Any, reason: str) -> None:
        self.settings = msgspec.structs.replace(self.settings, **{name: value})
        self._reasons[name] = reason

    def deliver_fast_enough(self) -> None:
        """One batch at a time, each for a round trip: batches must be large enough for the traffic (BAT-7)."""
        rate, rtt = self._workload.rate, self._workload.rtt
        if capacity(self.settings, rtt) >= ENOUGH_CAPACITY * rate:
            return
        if self.settings.max_batch_size / rtt < ENOUGH_CAPACITY * rate:
            self._enlarge_batches(AMPLE_CAPACITY * rate * rtt)
        if self.settings.max_coalescing_delay < SHORTEST_WAIT:
            reason = f"below {SHORTEST_WAIT:g} s every event is sent by itself, however large max_batch_size"
            self.change("max_coalescing_delay", _DEFAULT_WINDOW, reason)

    def _enlarge_batches(self, events: float) -> None:
        rate, rtt = self._workload.rate, self._workload.rtt
        size = next_round(events)
        if size > MOST_ENTRIES:
            raise BeyondBounds(
                f"at {rate_text(rate)} events/s and {duration_text(rtt)} for a POST, a batch would need {size:,} "
                f"events, and max_batch_size ends at {MOST_ENTRIES:,}"
            )
        before = self.settings.max_batch_size
        self.change(
            "max_batch_size",
            size,
            f"one POST at a time of {duration_text(rtt)} delivers {rate_text(before / rtt)} events/s with batches of "
            f"{before:,} and {rate_text(size / rtt)} with {size:,}; {rate_text(rate)} arrive",
        )

    def deliver_soon_enough(self, budget: float) -> None:
        """An event waits for the POST under way, for its batch to fill, and for its own POST."""
        rate, rtt = self._workload.rate, self._workload.rtt
        if self._longest_delay() <= budget:
            return
        window = budget - 2 * rtt
        if window >= SHORTEST_WAIT:
            self.change("max_coalescing_delay", rounded_down(window), self._budget_reason(budget))
        elif capacity(QueueSettings(), rtt) >= ENOUGH_CAPACITY * rate:
            self.change("max_batch_size", 1, f"to be within {duration_text(budget)}, no event can wait for others")
        else:
            size = max(2, math.ceil(ENOUGH_CAPACITY * rate * rtt))
            self.change("max_batch_size", min(size, MOST_ENTRIES), self._budget_reason(budget))
        if self._longest_delay() > budget:
            raise BudgetOutOfReach(
                f"a delay of at most {duration_text(budget)} is out of reach: a POST takes {duration_text(rtt)} "
                f"and each worker has {rate_text(rate)} events/s"
            )

    def _longest_delay(self) -> float:
        """Return how long an event may take to be accepted, in seconds, when the queue keeps up."""
        rtt = self._workload.rtt
        if events_per_post(self.settings) == 1:
            return 2 * rtt if rtt * self._workload.rate > 1 else rtt
        fill = (self.settings.max_batch_size - 1) / self._workload.rate
        return min(self.settings.max_coalescing_delay, fill) + 2 * rtt

    def _budget_reason(self, budget: float) -> str:
        rtt = duration_text(self._workload.rtt)
        return (
            f"so that an event is accepted within {duration_text(budget)}: it may wait {rtt} for the POST under way, "
            f"then for its batch, and its own POST takes {rtt}"
        )

    def retry_long_enough(self, outage: float) -> None:
        """A batch must still be tried when the outage is over (RET-2)."""
        needed = retry_time_needed(self._workload, outage)
        if self.settings.max_retry_time < needed:
            hang = needed - outage
            hanging = f", and its last try may hang for {duration_text(hang)}" if hang > self._workload.rtt else ""
            reason = f"a batch must be retried until an outage of {duration_text(outage)} is over{hanging}"
            self.change("max_retry_time", float(rounded_up(needed)), reason)

    def hold_enough(self, outage: float) -> None:
        """What arrives until a POST succeeds again has to wait (CAP-1, CAP-2)."""
        workload = self._workload
        needed = entries_needed(self.settings, workload, outage)
        if needed > MOST_ENTRIES:
            self._notice_recovery_sooner(outage)
            needed = entries_needed(self.settings, workload, outage)
        if self.settings.max_entries < needed:
            waits = silence(self.settings, workload, outage)
            reason = (
                f"{rate_text(workload.rate)} events/s for {duration_text(waits)}: an outage of "
                f"{duration_text(outage)}, noticed to be over at the next try"
            )
            self.change("max_entries", min(MOST_ENTRIES, rounded_up(needed)), reason)
        most = self.settings.max_bytes
        if most is not None and most <= needed * workload.event_bytes:
            room = self.settings.max_entries * max(workload.event_bytes, 1)
            reason = f"room for {self.settings.max_entries:,} events of {bytes_text(workload.event_bytes)}"
            self.change("max_bytes", room, reason)

    def _notice_recovery_sooner(self, outage: float) -> None:
        """Waits of up to ``max_retry_delay`` after the outage need room as well: shorten them as far as necessary."""
        settings = self.settings
        for wait in _SHORTER_WAITS:
            if wait >= settings.max_retry_delay:
                continue
            reason = (
                f"with tries up to {setting_text(settings.max_retry_delay)} s apart the recovery is noticed so late "
                f"that more than the {MOST_ENTRIES:,} events of which max_entries is capable would wait"
            )
            self.change("max_retry_delay", wait, reason)
            if entries_needed(self.settings, self._workload, outage) <= MOST_ENTRIES:
                return
        waits = duration_text(silence(self.settings, self._workload, outage))
        raise BeyondBounds(
            f"{rate_text(self._workload.rate)} events/s fill the largest max_entries, {MOST_ENTRIES:,}, in "
            f"{duration_text(MOST_ENTRIES / self._workload.rate)}, and it may take {waits} until a try "
            f"finds that an outage of {duration_text(outage)} is over"
        )


def changed_block(proposal_changes: tuple[Change, ...]) -> dict[str, int | float | None]:
    """Return the changed parameters as ``config.queue`` holds them, whole numbers without a fraction."""
    return {
        change.name: None if change.advised is None else plain_number(change.advised) for change in proposal_changes
    }
