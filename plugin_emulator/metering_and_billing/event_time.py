"""Event times: cheap enough to be made for every request."""

from __future__ import annotations

import time
from math import ceil

_latest: tuple[int, str] = (-1, "")


def rfc3339(seconds: float) -> str:
    """Return epoch seconds (not negative) as RFC 3339 in UTC, rounded up to the microsecond.

    Up, so that the time of a request's start never lies before it (SPEC EVT-4).
    """
    global _latest  # the last second and its text: requests come by the thousand a second
    second = int(seconds)
    micros = ceil((seconds - second) * 1e6)
    if micros == 1_000_000:
        second, micros = second + 1, 0
    latest, prefix = _latest
    if second != latest:
        prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        _latest = (second, prefix)
    return f"{prefix}{micros:06d}Z"
