"""How a run went, interval by interval: rates, retries, lag and what was owed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from loadtests.latencies import COARSE, FINE, bucket_count, bucket_floor

Array = npt.NDArray[Any]

#: The most intervals of a run; a longer one has longer intervals.
MOST_INTERVALS = 1200
_LENGTHS = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)


class Timeline:
    """Counts by interval. ``start`` is in seconds since the epoch, ``length`` the seconds of an interval."""

    def __init__(self, start: float, end: float) -> None:
        """Make room for a run in which all times are from ``start`` to ``end``."""
        self.start = float(np.floor(start))
        span = max(end - self.start, 0.0)
        fitting = (length for length in _LENGTHS if span / length < MOST_INTERVALS)
        self.length = next(fitting, span / MOST_INTERVALS + 1)
        self.intervals = int(span / self.length) + 1
        self.requests, self.due, self.billed, self.events, self.deliveries, self.retries, self.refused = (
            np.zeros(self.intervals, np.int64) for _ in range(7)
        )
        self.longest = np.full(self.intervals, np.nan)
        self._lags = np.zeros((self.intervals, bucket_count()), np.uint32)

    def of(self, times: Array) -> Array:
        """Return the interval of each time."""
        since = times - self.start
        if self.length != 1.0:
            since /= self.length
        return since.astype(np.int64)

    def count(self, row: Array, of: Array, weights: Array | None = None) -> None:
        """Add one in each of the intervals ``of``, or ``weights``, to one of the rows of counts."""
        if len(of):
            row += np.bincount(of, weights, self.intervals).astype(np.int64)

    def add_lags(self, of: Array, bucket: Array, seconds: Array) -> None:
        """Add latencies, with their buckets, of events whose requests ended in the intervals ``of``."""
        if not len(seconds):
            return
        first, last = int(of.min()), int(of.max())
        size = bucket_count()
        places = (of - first) * size + (bucket >> (FINE - COARSE))
        counts = np.bincount(places, minlength=(last - first + 1) * size)
        self._lags[first : last + 1] += counts.reshape(-1, size).astype(np.uint32)
        np.fmax.at(self.longest, of, seconds)

    def to_json(self) -> dict[str, Any]:
        """Return the table by columns. Lags are of the events of requests that ended in the interval, in seconds.

        ``backlog`` is how many events were due and had not arrived when the interval ended.
        """
        totals = np.cumsum(self._lags, axis=1, dtype=np.int64)
        return {
            "start": self.start,
            "interval_seconds": self.length,
            **{
                name: getattr(self, name).tolist()
                for name in ("requests", "due", "billed", "events", "deliveries", "retries", "refused")
            },
            "backlog": (np.cumsum(self.due) - np.cumsum(self.billed)).tolist(),
            "lag_p50": self._percentile(totals, 50),
            "lag_p99": self._percentile(totals, 99),
            "lag_max": [None if np.isnan(value) else value for value in self.longest.tolist()],
        }

    def _percentile(self, totals: Array, percent: int) -> list[float | None]:
        """Return a percentile by interval, to within a bucket (0.8 %)."""
        ranks = np.maximum(-(-totals[:, -1] * percent // 100), 1)
        places = (totals < ranks[:, None]).sum(axis=1)
        floors = bucket_floor(np.minimum(places, totals.shape[1] - 1))
        return [float(floor) if total else None for floor, total in zip(floors, totals[:, -1], strict=True)]
