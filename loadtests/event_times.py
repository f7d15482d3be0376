"""The time that a usage event bears, in epoch seconds (EVT-4): of one, or of many at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from math import nan
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # loaded only where events are read: a plan and a help text need the plugins, but not numpy
    import numpy as np
    import numpy.typing as npt

#: From so many events on, those of one form are read together.
_MANY = 8
#: Characters of the date, and of all before the digits of a second's fraction; the most digits that are told apart.
_DATE, _SECONDS, _DIGITS = 10, 20, 9


def event_time(event: Any) -> float | None:
    """Return a CloudEvent's time; None when it has none, or none that RFC 3339 allows."""
    text = event.get("time") if isinstance(event, dict) else None
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    # What names no offset from UTC is the time of some place, nobody knows which.
    return time.timestamp() if time.tzinfo is not None else None


def event_times(events: Sequence[Any]) -> list[float]:
    """Return the times of CloudEvents, NaN for one that has none.

    A gateway writes all of them in one form, those of a batch on one day: ``2026-01-01T00:00:00.000000Z``.
    """
    if len(events) >= _MANY and (found := _alike(events)) is not None:
        return found
    times = map(event_time, events)
    return [nan if time is None else time for time in times]


def _alike(events: Sequence[Any]) -> list[float] | None:
    """Return the times if all are of that form and of one day, otherwise None."""
    import numpy as np

    try:
        joined = "".join([event["time"] for event in events]).encode("ascii")
        day = datetime.fromisoformat(f"{joined[:_DATE].decode()}T00:00:00+00:00").timestamp()
    except (KeyError, TypeError, ValueError):
        return None
    width, rest = divmod(len(joined), len(events))
    if rest or not _SECONDS + 2 <= width <= _SECONDS + 1 + _DIGITS:
        return None
    form = _form(width)
    texts = np.frombuffer(joined, np.uint8).reshape(-1, width)
    digits = texts[:, _DATE:] - np.uint8(ord("0"))
    alike = (digits <= form.highest).all() and (texts[:, form.places] == form.marks).all()
    if not alike or (texts[:, :_DATE] != texts[0, :_DATE]).any():
        return None
    found: list[float] = (digits @ form.worth + day).tolist()
    return found


class _Form(NamedTuple):
    """What comes after the date: what each character is worth in seconds, and its highest number; which are no digits
    but marks, and which marks."""

    worth: npt.NDArray[np.float64]
    highest: npt.NDArray[np.uint8]
    places: npt.NDArray[np.int64]
    marks: npt.NDArray[np.uint8]


@cache
def _form(width: int) -> _Form:
    import numpy as np

    fraction = [10.0**-place for place in range(1, width - _SECONDS)]
    worth = np.array([0, 36000, 3600, 0, 600, 60, 0, 10, 1, 0, *fraction, 0])
    highest = np.where(worth == 0, 255, 9).astype(np.uint8)
    return _Form(worth, highest, np.flatnonzero(worth == 0) + _DATE, np.frombuffer(b"T::.Z", np.uint8))
