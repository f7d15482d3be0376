"""When Amberflo's Go client tries a batch again, by its version (SPEC AMB-9).

Both generations also wait after their last try. The batch is lost by then, but its send is not over: it takes up one
of those that may be under way at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

R = TypeVar("R")

#: ``2.0.2`` is the version that the plugin pins.
ClientVersion = Literal["2.0.2", "later"]

#: Where each version sends to; neither lets itself be told otherwise (SPEC AMB-13).
INGEST_ENDPOINTS: dict[ClientVersion, str] = {
    "2.0.2": "https://app.amberflo.io/ingest",
    "later": "https://ingest.amberflo.io/ingest",
}
#: Longest waits of a later client, in seconds, one for each of its tries.
LONGEST_WAITS = (2.0, 6.0, 12.0, 20.0, 40.0, 80.0, 80.0)


class RetrySchedule(Protocol):
    """``tries`` is how often a batch is tried in all."""

    tries: int

    def wait(self, number: int) -> float:
        """Return the seconds to wait after try ``number`` (from 0) has failed."""


class PinnedSchedule:
    """Client 2.0.2: waits double from 0.1 s up to 10 s, without jitter."""

    tries = 5

    def wait(self, number: int) -> float:
        """Return the seconds to wait after try ``number`` (from 0) has failed."""
        return min(10.0, 0.1 * 2.0**number)


class LaterSchedule:
    """Later clients: each wait is any part of its longest; ``random`` gives numbers from 0 to 1."""

    tries = 7

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random

    def wait(self, number: int) -> float:
        """Return the seconds to wait after try ``number`` (from 0) has failed."""
        return self._random() * LONGEST_WAITS[number]


def retry_schedule(client: ClientVersion, random: Callable[[], float]) -> RetrySchedule:
    """Return the schedule of a client's version; ``random`` gives numbers from 0 to 1."""
    return PinnedSchedule() if client == "2.0.2" else LaterSchedule(random)


@dataclass(frozen=True, slots=True)
class Pause:
    """What follows a failed try: another one ``until`` when, or (``given_up``) nothing but the end of the send."""

    until: float
    given_up: bool


class Sending(Generic[R]):
    """One batch on its way: its records never change between tries."""

    __slots__ = ("_failed", "_schedule", "batch")

    def __init__(self, schedule: RetrySchedule, batch: list[R]) -> None:
        self._schedule = schedule
        self.batch = batch
        self._failed = 0

    def failed(self, now: float) -> Pause:
        """A try failed at ``now``, in seconds."""
        until = now + self._schedule.wait(self._failed)
        self._failed += 1
        return Pause(until, self._failed >= self._schedule.tries)
