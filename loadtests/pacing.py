"""When a user sends: at its own rate, whatever the answers take.

Each user has a timetable. Who is late, because an answer took longer than the time between two requests, sends again
at once until it has caught up, so that what was asked for is sent as long as the gateway can take it. What was sent
and what remained unsent are both counted: a run that fell behind says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Multiples of the golden ratio are spread evenly over an interval, however many there are.
_GOLDEN = 0.6180339887498949


@dataclass(slots=True)
class Pace:
    """How far the users of one process kept to their timetables.

    ``sent`` are requests that left, ``unsent`` those that were due and had not left when their user stopped;
    ``behind`` is the longest time in seconds that a request left after it was due.
    """

    sent: int = 0
    unsent: int = 0
    behind: float = 0.0

    @property
    def asked(self) -> int:
        """How many requests were due; for users that send as fast as it goes, those that were sent."""
        return self.sent + self.unsent

    @property
    def share(self) -> float | None:
        """What was sent of the requests that were due, 0 to 1; None when none was."""
        return self.sent / self.asked if self.asked else None


class Timetable:
    """When one user's requests are due: every ``1 / rate`` seconds. ``rate`` 0: as soon as the user is ready.

    Times are in seconds of a clock that is never set back; the caller reads it.
    """

    __slots__ = ("_due", "_interval", "_pace")

    def __init__(self, rate: float, user: int, now: float, pace: Pace) -> None:
        """Begin at ``now``. ``user`` is the user's index in its process; users of one rate take turns by it."""
        self._interval = 1 / rate if rate else 0.0
        self._due = now + (user * _GOLDEN) % 1.0 * self._interval
        self._pace = pace

    def wait(self, now: float) -> float:
        """Return the seconds until the next request is due, 0 for one that is late."""
        return max(self._due - now, 0.0)

    def sends(self, now: float) -> None:
        """Count the request that leaves now."""
        pace = self._pace
        pace.sent += 1
        if self._interval:
            late = now - self._due
            if late > pace.behind:
                pace.behind = late
            self._due += self._interval

    def end(self, now: float) -> None:
        """Count what was due and has not left; to be called once, when the user stops."""
        if self._interval and now > self._due:
            self._pace.unsent += math.ceil((now - self._due) / self._interval)
