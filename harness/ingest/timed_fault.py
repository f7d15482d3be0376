"""A fault that lasts for a time, whatever the number of requests: an outage of twenty seconds, say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.ingest.faults import Fault, FaultScript
from plugin_emulator.documents import did_you_mean

#: Longest time a fault can be set for, in seconds.
LONGEST = 86_400.0

_MEMBERS = ("fault", "for")


@dataclass(frozen=True, slots=True)
class TimedFault:
    """``fault`` holds for every request whose head arrives before ``until`` (monotonic seconds, or ``math.inf``)."""

    fault: Fault
    until: float

    def at(self, now: float) -> Fault | None:
        """Return what happens to a request that arrives at ``now``; None when the time is over.

        A request that hangs is let go when the time is over, so that the next try is an ordinary one.
        """
        if now >= self.until:
            return None
        hang = self.fault.hang
        if hang is None or hang <= self.until - now:
            return self.fault
        return replace(self.fault, hang=self.until - now)


def parse_timed_fault(document: Any, now: float) -> TimedFault:
    """Return what ``{"fault": step, "for": seconds or null}`` asks for, beginning at ``now`` (monotonic seconds).

    ``step`` is a step of a fault script; without ``for`` the fault lasts until it is cleared. Raises ValueError, or
    InvalidDocument for a step that is none.
    """
    if not isinstance(document, Mapping) or "fault" not in document:
        raise ValueError('expected a JSON object such as {"fault": 503, "for": 20}')
    for key in document:
        if key not in _MEMBERS:
            near = did_you_mean(key, _MEMBERS)
            raise ValueError(f"unknown member {key!r}" + (f"; did you mean {near!r}?" if near else ""))
    step = document["fault"]
    for counted in ("times", "forever"):
        if isinstance(step, Mapping) and counted in step:
            raise ValueError(f"{counted} has no meaning in a fault that lasts for a time; remove it")
    script = FaultScript.parse([step])
    length = document.get("for")
    if length is None:
        return TimedFault(script.steps[0], math.inf)
    if isinstance(length, bool) or not isinstance(length, (int, float)) or not 0 < length <= LONGEST:
        raise ValueError(f"for is a number of seconds above 0, at most {LONGEST:.0f}, or null")
    return TimedFault(script.steps[0], now + length)
