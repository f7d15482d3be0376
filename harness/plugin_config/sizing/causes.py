"""Why events are lost: one sentence for each reason, with the numbers that bring it about."""

from __future__ import annotations

from plugin_emulator.queue import Loss, QueueSettings
from plugin_emulator.queue.batch_queue import SHORTEST_WAIT

from .assessment import Assessment
from .quantities import bytes_text, duration_text, rate_text, setting_text
from .workload import OutageKind, Workload, capacity, events_per_post, given_up_after, keeps_up


def causes(assessment: Assessment, workload: Workload) -> list[str]:
    """Return a sentence for each reason of loss, steady traffic first, then the outage, the largest loss first."""
    settings, sentences = assessment.settings, []
    reasons = [*_by_size(assessment.steady.lost), *_by_size(assessment.outage.lost)]
    if not keeps_up(settings, workload):
        sentences.append(_too_slow(settings, workload))
    for reason in dict.fromkeys(reasons):
        if reason == Loss.OVERFLOW_ENTRIES and not keeps_up(settings, workload):
            continue
        sentences.append(_SENTENCES[Loss(reason)](assessment, workload))
    if not assessment.is_within(workload.delay_budget) and keeps_up(settings, workload):
        sentences.append(_too_late(assessment, workload))
    return sentences


def _by_size(lost: dict[str, int] | dict[str, float]) -> list[str]:
    return [reason for reason, _ in sorted(lost.items(), key=lambda item: -item[1])]


def _too_slow(settings: QueueSettings, workload: Workload) -> str:
    most = capacity(settings, workload.rtt)
    per_post = events_per_post(settings)
    if per_post < settings.max_batch_size:
        why = (
            f"max_coalescing_delay {setting_text(settings.max_coalescing_delay)} s is below {SHORTEST_WAIT:g} s, "
            "which sends every event by itself whatever max_batch_size is, so "
        )
    else:
        why = f"max_batch_size is {per_post:,}, so "
    return (
        f"{why}one POST at a time of {duration_text(workload.rtt)} delivers at most {rate_text(most)} of the "
        f"{rate_text(workload.rate)} events/s that reach each worker; the queue fills up and stays full."
    )


def _overflow_entries(assessment: Assessment, workload: Workload) -> str:
    settings = assessment.settings
    holds = duration_text(settings.max_entries / workload.rate)
    return (
        f"max_entries {settings.max_entries:,} holds {holds} of traffic, "
        f"and the outage lasts {duration_text(assessment.outage.length)}; the oldest events are dropped."
    )


def _overflow_bytes(assessment: Assessment, workload: Workload) -> str:
    most = assessment.settings.max_bytes or 0
    events = most // max(1, workload.event_bytes)
    return (
        f"max_bytes {most:,} holds {events:,} events, {duration_text(events / workload.rate)} of traffic, "
        f"and the outage lasts {duration_text(assessment.outage.length)}; the oldest events are dropped."
    )


def _too_large(assessment: Assessment, workload: Workload) -> str:
    most = assessment.settings.max_bytes or 0
    return f"max_bytes {most:,} is less than one event of {bytes_text(workload.event_bytes)}; every event is refused."


def _window_full(assessment: Assessment, workload: Workload) -> str:
    settings = assessment.settings
    name = "max_entries" if settings.max_entries < settings.max_batch_size else "max_bytes"
    return (
        f"{name} is too small for a batch of {settings.max_batch_size:,}: what the open batch has claimed cannot be "
        "dropped, so new events are refused."
    )


def _gave_up(assessment: Assessment, workload: Workload) -> str:
    settings, outage = assessment.settings, assessment.outage
    after, tries = given_up_after(settings, workload.failure(outage.kind).duration)
    hanging = f", each hanging for {duration_text(workload.timeout)}" if outage.kind is OutageKind.HANG else ""
    count = "one try" if tries == 1 else f"{tries:,} tries"
    return (
        f"max_retry_time {setting_text(settings.max_retry_time)} s gives a batch up after {count}{hanging}, "
        f"{duration_text(after)} after it was first sent, and the outage lasts {duration_text(outage.length)}."
    )


def _breaker_open(assessment: Assessment, workload: Workload) -> str:
    settings = assessment.settings
    return (
        f"failure_threshold {settings.failure_threshold:,}: after so many batches were given up in a row, events are "
        f"dropped unsent for breaker_cooldown {setting_text(settings.breaker_cooldown)} s at a time."
    )


def _too_late(assessment: Assessment, workload: Workload) -> str:
    settings = assessment.settings
    budget = duration_text(workload.delay_budget or 0.0)
    return (
        f"an event may take {duration_text(assessment.steady.max_delay)} to be accepted, longer than {budget}: "
        f"it waits up to max_coalescing_delay {setting_text(settings.max_coalescing_delay)} s for its batch of "
        f"{settings.max_batch_size:,} to fill, and then for a POST of {duration_text(workload.rtt)}."
    )


_SENTENCES = {
    Loss.OVERFLOW_ENTRIES: _overflow_entries,
    Loss.OVERFLOW_BYTES: _overflow_bytes,
    Loss.TOO_LARGE: _too_large,
    Loss.WINDOW_FULL: _window_full,
    Loss.GAVE_UP: _gave_up,
    Loss.BREAKER_OPEN: _breaker_open,
}
