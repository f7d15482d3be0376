"""What an event that is neither delivered nor lost waits for, and since when that is overdue."""

from __future__ import annotations

from harness.journal.lives import BatchLife, EventLife, QueueLife
from harness.journal.wording import clock, endpoint_of, endpoint_trouble, seconds
from plugin_emulator.journal import Instance

#: Seconds that something may be late: a busy machine, and a line that is not yet in the file.
_LATE = 1.0


def waits_for(
    event: EventLife, instance: Instance | None, queue: QueueLife | None, now: float, told: float | None
) -> tuple[str, str | None]:
    """Return what an event waits for at ``now``, and the SPEC rule behind it.

    ``told`` is the time of the journal's last line; None when the gateway tells of itself as things happen. Times are
    in seconds since the epoch.
    """
    if event.batch is not None:
        cause, rule, due = _sent(event.batch, instance, now)
    else:
        cause, rule, due = _queued(event, instance, queue, now)
    if told is None or due is None or now <= due + _LATE:
        return cause, rule
    last = f"the journal's last line is from {clock(told)}"
    return f"{cause}; overdue since {clock(due)}: {last}; does the gateway still run?", rule


def _sent(batch: BatchLife, instance: Instance | None, now: float) -> tuple[str, str | None, float | None]:
    due = _batch_due(batch, instance)
    if not batch.latest:
        where = endpoint_of(batch.instance_at(batch.formed_at) or instance)
        # how long it takes says nothing once an answer is overdue
        since = f" for {seconds(now - batch.formed_at)}" if due is None or now <= due + _LATE else ""
        return f"its batch is being sent to {where}{since}", None, due
    last = batch.latest[-1]
    trouble = endpoint_trouble(last, batch.tried_by(last) or instance)
    return f"try {last.number} failed and another one follows: {trouble}", "RET-6", due


def _batch_due(batch: BatchLife, instance: Instance | None) -> float | None:
    """Return until when the journal must have told more of a batch that is under way."""
    settings = instance.settings if instance is not None else {}
    timeout = settings.get("timeout")  # milliseconds; 0: whenever
    if not timeout:
        return None
    if not batch.latest:
        return float(batch.formed_at + timeout / 1000)
    if "queue" not in settings:
        return None
    return float(batch.latest[-1].at + settings["queue"].get("max_retry_delay", 60.0) + timeout / 1000)


def _queued(
    event: EventLife, instance: Instance | None, queue: QueueLife | None, now: float
) -> tuple[str, str, float | None]:
    """An event that no batch has taken yet: behind another batch, or in an open window."""
    since = f"the event is in the queue for {seconds(now - event.queued_at)}"
    under_way = next(iter(queue.under_way.values()), None) if queue is not None else None
    settings = instance.settings if instance is not None else {}
    if under_way is not None and "queue" in settings:
        due = _batch_due(under_way, instance)
        return f"{since}, behind {_ahead(under_way, instance, now)}", "BAT-7", due
    count = queue.waiting if queue is not None else 1
    waiting = f"{count:,}" if queue is None or queue.complete else f"at least {count:,}"
    there = f"{waiting} {'is' if count == 1 else 'are'}"
    if "queue" in settings:
        size, delay = settings["queue"]["max_batch_size"], settings["queue"]["max_coalescing_delay"]
        due = event.queued_at + delay
        if count < size:
            until = f"max_batch_size {size:,} events are there ({there}) or max_coalescing_delay {delay:g} s"
            return f"{since}: it leaves when {until} is over", "BAT-4", due
        if queue is not None and not queue.complete:
            return f"{since}, behind what was queued before the journal begins ({waiting} wait)", "BAT-7", None
        return f"{since}: max_batch_size {size:,} events are there, the next batch leaves at once", "BAT-3", due
    size, interval = settings.get("batch_size", 1), settings.get("interval", 0)
    until = f"batchSize {size:,} records are there ({there}) or at the next tick of intervalSeconds {interval:g}"
    return f"{since}: it leaves when {until}", "AMB-6", event.queued_at + interval if interval else None


def _ahead(batch: BatchLife, instance: Instance | None, now: float) -> str:
    if not batch.latest:
        return f"a batch that is being sent for {seconds(now - batch.formed_at)}"
    last = batch.latest[-1]
    trouble = endpoint_trouble(last, batch.tried_by(last) or instance)
    return f"a batch that is being retried: {trouble} (try {last.number})"
