"""Lint rules on the queue, with figures: what it can deliver, and how long an outage may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from plugin_emulator.queue.settings import QueueSettings

from ..lint.finding import Severity
from ..lint.rule import LintedPlugin, Remark, rule

_DEFAULTS = QueueSettings()
#: Seconds; the queue does not wait for less, and then takes one entry at a time.
_SHORTEST_WINDOW = 0.05
#: Share of what the queue can deliver above which a peak is likely to exceed it.
_BUSY = 0.5
#: Bytes of an event as it waits, for estimates: about what the plugin makes of a request without attributes.
_EVENT_BYTES = 700
_WANTED_BATCH = 100


@dataclass(frozen=True, slots=True)
class _Queue:
    """The parameters that rules look at; None: not known here."""

    batch: float | None
    delay: float | None
    entries: float | None
    bytes: float | None
    retry_time: float | None
    concurrency: float | None

    @property
    def is_bypassed(self) -> bool:
        """Whether each event is sent by itself, so that the limits of batch and queue have no effect (BAT-7)."""
        return self.concurrency == -1

    @property
    def waits(self) -> bool:
        """Whether events go through the queue at all, rather than each by itself at once."""
        return self.concurrency == 1

    @property
    def window_is_open(self) -> bool:
        """Whether the queue waits for a batch to fill (BAT-6)."""
        return self.delay is not None and self.delay >= _SHORTEST_WINDOW


def _queue(linted: LintedPlugin) -> _Queue | None:
    if linted.config is None:
        return None

    def number(name: str) -> float | None:
        return linted.number(getattr(_DEFAULTS, name), "queue", name)

    return _Queue(
        batch=number("max_batch_size"),
        delay=number("max_coalescing_delay"),
        entries=number("max_entries"),
        bytes=number("max_bytes"),
        retry_time=number("max_retry_time"),
        concurrency=number("concurrency_limit"),
    )


def _at(name: str) -> tuple[str, str, str]:
    return ("config", "queue", name)


@rule(
    "one-post-per-event",
    Severity.INFO,
    "With one event in each POST and one POST at a time a worker delivers no more than one event per round trip;"
    " beyond that the queue fills, and the oldest billing events are dropped.",
    "BAT-5",
    "BAT-7",
    "CAP-1",
)
def one_post_per_event(linted: LintedPlugin) -> Iterator[Remark]:
    """``max_batch_size`` 1, which is the default, at volume. Silent when the volume is known and small."""
    queue = _queue(linted)
    if queue is None or queue.batch != 1 or not queue.waits:
        return
    yield from _capacity(
        linted, queue, 1, "max_batch_size", f"set max_batch_size, e.g. {_WANTED_BATCH}; config size works it out"
    )


@rule(
    "coalescing-delay-disables-batching",
    Severity.WARNING,
    "Below 0.05 s the queue does not wait, and takes one event at a time even when many are waiting.",
    "BAT-6",
)
def delay_disables_batching(linted: LintedPlugin) -> Iterator[Remark]:
    """``max_coalescing_delay`` < 0.05 with ``max_batch_size`` > 1."""
    queue = _queue(linted)
    if queue is None or queue.is_bypassed or queue.batch is None or queue.batch <= 1:
        return
    if queue.delay is None or queue.window_is_open:
        return
    at = _at("max_coalescing_delay")
    message = f"max_batch_size {queue.batch:g} has no effect: events leave one by one"
    yield Remark(message, "set max_coalescing_delay to 0.05 or more, or max_batch_size to 1", at)


@rule(
    "delivery-slower-than-traffic",
    Severity.ERROR,
    "When events come faster than batches leave, the queue fills and the oldest billing events are dropped.",
    "BAT-7",
    "CAP-1",
)
def slower_than_traffic(linted: LintedPlugin) -> Iterator[Remark]:
    """``max_batch_size`` events per round trip are fewer than arrive. Needs the expected rate."""
    queue = _queue(linted)
    if queue is None or queue.batch is None or queue.batch <= 1 or not queue.waits or linted.context.rps is None:
        return
    if queue.delay is None:
        return
    size = queue.batch if queue.window_is_open else 1
    name = "max_batch_size" if queue.window_is_open else "max_coalescing_delay"
    yield from _capacity(linted, queue, size, name, f"raise {name}")


def _capacity(linted: LintedPlugin, queue: _Queue, size: float, name: str, fix: str) -> Iterator[Remark]:
    """Compare what ``size`` events per round trip come to with the expected rate."""
    rps, rtt = linted.context.rps, linted.context.rtt
    delivered = size / rtt if rtt > 0 else float("inf")
    can = f"with {_events(size)} in a POST of {_seconds(rtt)} a worker delivers at most {_figure(delivered)} events/s"
    if rps is None:
        yield Remark(can, fix, _at(name))
    elif rps > delivered:
        until = (
            ""
            if queue.entries is None
            else f": {queue.entries:,.0f} entries are full in " + _seconds(queue.entries / (rps - delivered))
        )
        yield Remark(f"{can}, and {_figure(rps)} arrive{until}", fix, _at(name), Severity.ERROR)
    elif rps > _BUSY * delivered:
        yield Remark(f"{can}, and {_figure(rps)} arrive: a peak is too much", fix, _at(name), Severity.WARNING)


@rule(
    "queue-smaller-than-batch",
    Severity.ERROR,
    "Events already counted into an open batch cannot make room, so an arrival while it fills is lost with an error.",
    "CAP-4",
)
def smaller_than_batch(linted: LintedPlugin) -> Iterator[Remark]:
    """``max_entries`` < ``max_batch_size``."""
    queue = _queue(linted)
    if queue is None or queue.is_bypassed or queue.entries is None or queue.batch is None:
        return
    if queue.entries >= queue.batch:
        return
    message = f"max_entries {queue.entries:g} is less than max_batch_size {queue.batch:g}"
    yield Remark(message, "raise max_entries to several batches", _at("max_entries"))


@rule(
    "outage-outlasts-queue",
    Severity.WARNING,
    "While a batch is retried the events behind it wait; when they do not fit, an outage that retrying would survive"
    " loses the oldest.",
    "RET-2",
    "CAP-1",
)
def outage_outlasts_queue(linted: LintedPlugin) -> Iterator[Remark]:
    """``max_retry_time`` × the expected rate > ``max_entries``. Needs the expected rate."""
    queue, rps = _queue(linted), linted.context.rps
    if queue is None or rps is None or queue.entries is None or queue.retry_time is None or not queue.waits:
        return
    waiting = queue.retry_time * rps
    if waiting > queue.entries:
        message = (
            f"{_seconds(queue.retry_time)} of retries at {_figure(rps)} events/s are {waiting:,.0f} entries, with"
            f" room for {queue.entries:,.0f}: an outage of {_seconds(queue.entries / rps)} already loses events"
        )
        yield Remark(message, "raise max_entries, or lower max_retry_time", _at("max_entries"))


@rule(
    "unlimited-concurrency",
    Severity.WARNING,
    "Without a limit there is no queue: every event is a POST of its own, at once, retried by itself, and nothing"
    " bounds how many are under way.",
    "BAT-7",
)
def unlimited_concurrency(linted: LintedPlugin) -> Iterator[Remark]:
    """``concurrency_limit: -1``."""
    queue = _queue(linted)
    if queue is not None and queue.is_bypassed:
        message = "max_batch_size, max_entries and max_bytes have no effect, and an outage piles up requests"
        yield Remark(message, "set concurrency_limit to 1 and batch instead", _at("concurrency_limit"))


@rule(
    "byte-limit-set",
    Severity.WARNING,
    "How many events fit then depends on their size, the oldest are dropped to make room, and an event that is larger"
    " by itself is never taken.",
    "CAP-2",
    "CAP-4",
    "CAP-5",
)
def byte_limit_set(linted: LintedPlugin) -> Iterator[Remark]:
    """``max_bytes`` is set. Says how many events fit, and when that is less than a batch (then an error)."""
    queue = _queue(linted)
    if queue is None or queue.is_bypassed or queue.bytes is None:
        return
    room = max(queue.bytes, 0) / _EVENT_BYTES
    message = f"max_bytes holds about {room:,.0f} events of {_EVENT_BYTES} bytes"
    severity = None
    if queue.batch is not None and room < queue.batch:
        message += f", less than the {queue.batch:,.0f} of a batch: events that arrive while it fills are lost"
        severity = Severity.ERROR
    yield Remark(message, "leave max_bytes out, and limit the queue by max_entries", _at("max_bytes"), severity)


def _events(size: float) -> str:
    return "one event" if size == 1 else f"{size:,.0f} events"


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.3g}"


def _seconds(length: float) -> str:
    if length >= 120:
        return f"{length / 60:,.0f} min"
    return f"{length:.3g} s" if length >= 1 else f"{length * 1000:.3g} ms"


RULES = (
    one_post_per_event,
    delay_disables_batching,
    slower_than_traffic,
    smaller_than_batch,
    outage_outlasts_queue,
    unlimited_concurrency,
    byte_limit_set,
)
