"""Event times: cheap enough to be made for every request."""

from __future__ import annotations

import time
from math import ceil

#: What follows the milliseconds.
_ENDS = tuple(f"{micros:03d}Z" for micros in range(1000))
#: The last second and its text.
_latest_second: tuple[int, str] = (-1, "")
#: The last millisecond: its second, its microseconds in that, and its text. Requests come by the dozen in one.
_latest: tuple[int, int, str] = (-1, 0, "")


def rfc3339(seconds: float) -> str:
    """Return epoch seconds (not negative) as RFC 3339 in UTC, rounded up to the microsecond.

    Up, so that the time of a request's start never lies before it (SPEC EVT-4).
    """
    second, millisecond, text = _latest  # at once: other threads ask for times too
    micros = ceil((seconds - second) * 1e6) - millisecond
    return text + _ENDS[micros] if 0 <= micros < 1000 else _in_another_millisecond(seconds)


def _in_another_millisecond(seconds: float) -> str:
    global _latest, _latest_second
    second = int(seconds)
    micros = ceil((seconds - second) * 1e6)
    if micros == 1_000_000:
        second, micros = second + 1, 0
    known, start = _latest_second
    if second != known:
        start = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        _latest_second = (second, start)
    text = f"{start}{micros // 1000:03d}"
    _latest = (second, micros - micros % 1000, text)
    return text + _ENDS[micros % 1000]
