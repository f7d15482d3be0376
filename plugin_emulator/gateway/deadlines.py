"""Time-outs for many connections with one timer: setting one costs an attribute, not a timer."""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

NEVER = math.inf


class Expiring(Protocol):
    """Something with a ``deadline`` in event-loop seconds; ``expire`` is called when it has passed."""

    deadline: float

    def expire(self) -> None: ...


class Deadlines:
    """Watches the deadlines of its members.

    A member sets ``deadline`` and tells ``expect``; moving a deadline to later, or to NEVER, needs no call.
    """

    __slots__ = ("_handle", "_loop", "_next", "members")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._next = NEVER
        self._handle: asyncio.TimerHandle | None = None
        self.members: set[Expiring] = set()

    def expect(self, deadline: float) -> None:
        """Make sure that members are looked at when ``deadline`` has come."""
        if deadline < self._next:
            if self._handle:
                self._handle.cancel()
            self._next = deadline
            self._handle = self._loop.call_at(deadline, self._look)

    def stop(self) -> None:
        """Watch no longer."""
        if self._handle:
            self._handle.cancel()
        self._next = -NEVER

    def _look(self) -> None:
        now = self._loop.time()
        self._next, self._handle = NEVER, None
        # a timer may fire within its clock's resolution before its time
        expired = [member for member in self.members if member.deadline <= now + 0.001]
        for member in expired:
            member.deadline = NEVER
            member.expire()
        if self.members:
            soonest = min(member.deadline for member in self.members)
            if soonest < NEVER:
                self.expect(soonest)
