"""Retry schedules: how long to wait before the next try, and when to give up (SPEC RET-1…3)."""

from __future__ import annotations

from typing import Generic, TypeVar

from .settings import QueueSettings


def retry_delay(settings: QueueSettings, retry: int) -> float:
    """Return the seconds to wait before retry number ``retry`` (from 0): doubled each time, capped (RET-1)."""
    try:
        return min(settings.max_retry_delay, settings.initial_retry_delay * 2.0**retry)
    except OverflowError:  # after 1,024 retries; the cap has long been reached
        return settings.max_retry_delay


E = TypeVar("E")


class Delivery(Generic[E]):
    """One batch on its way: its entries never change between tries (RET-4).

    ``batch`` holds the entries in order, ``first_try_at`` the time in seconds at which the first try began.
    """

    __slots__ = ("_settings", "batch", "first_try_at", "retries")

    def __init__(self, settings: QueueSettings, batch: list[E], now: float) -> None:
        self._settings = settings
        self.batch = batch
        self.first_try_at = now
        self.retries = 0

    def failed(self, now: float) -> float | None:
        """A try failed at ``now``: return the time of the next try, or None when the batch is given up.

        The decision falls before the wait, so that the last try can begin up to ``max_retry_delay`` after
        ``max_retry_time`` has passed (RET-2).
        """
        if now - self.first_try_at > self._settings.max_retry_time:
            return None
        delay = retry_delay(self._settings, self.retries)
        self.retries += 1
        return now + delay
