"""Billing latencies: counted in an HDR histogram's buckets, and exact where one number is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

Array = npt.NDArray[Any]

#: The HDR histogram's range in microseconds, and its significant digits.
LOWEST, HIGHEST, DIGITS = 1, 7 * 24 * 3600 * 1_000_000, 3
PERCENTILES = (50.0, 90.0, 99.0, 99.9)

#: Octaves from a microsecond up; what is longer counts to the last bucket.
_OCTAVES = 40
#: Buckets of an octave: 1024 are at least as fine as three significant digits.
FINE = 10
COARSE = 7
_CHUNK = 1 << 16


def buckets(seconds: Array, bits: int = FINE) -> Array:
    """Return the bucket of each latency: logarithmic, 2**``bits`` an octave, from a microsecond up.

    The bucket of a number is the head of its binary form: exponent and the first bits after the point.
    """
    micros = np.maximum(seconds * 1e6, 1.0)
    found: Array = (micros.view(np.int64) >> (52 - bits)) - (1023 << bits)
    return np.minimum(found, (_OCTAVES << bits) - 1)


def bucket_count(bits: int = COARSE) -> int:
    """Return how many buckets there are."""
    return _OCTAVES << bits


def bucket_floor(bucket: Array, bits: int = COARSE) -> Array:
    """Return the smallest latency of each bucket, in seconds."""
    heads = (np.asarray(bucket, np.int64) + (1023 << bits)) << (52 - bits)
    seconds: Array = heads.view(np.float64) / 1e6
    return seconds


class Latencies:
    """Latencies in seconds, handed in by arrays. One below a microsecond counts as a microsecond in the histogram."""

    def __init__(self) -> None:
        self.counts = np.zeros(bucket_count(FINE), np.int64)
        self.largest: float | None = None
        self.smallest: float | None = None

    def add(self, seconds: Array, bucket: Array) -> None:
        """Count latencies, whose buckets are known."""
        if not len(seconds):
            return
        self.counts += np.bincount(bucket, minlength=len(self.counts))
        low, high = float(seconds.min()), float(seconds.max())
        self.smallest = low if self.smallest is None else min(low, self.smallest)
        self.largest = high if self.largest is None else max(high, self.largest)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def histogram(self) -> HdrHistogram:
        """Return the HDR histogram, in microseconds. Those of several runs can be added up."""
        histogram = HdrHistogram(LOWEST, HIGHEST, DIGITS)
        filled = np.flatnonzero(self.counts)
        micros = np.clip(np.rint(bucket_floor(filled, FINE) * 1e6), LOWEST, HIGHEST).astype(np.int64)
        for value, count in zip(micros.tolist(), self.counts[filled].tolist(), strict=True):
            histogram.record_value(value, count)
        return histogram

    def exact(self, seconds: Array) -> dict[str, float]:
        """Return PERCENTILES by the nearest rank, ``min`` and ``max``; nothing when there are no latencies.

        ``seconds`` are all the latencies that were added; NaN among them are passed over.
        """
        total = len(self)
        if self.smallest is None or self.largest is None:
            return {}
        ends = np.cumsum(self.counts)
        ranks = {each: max(1, -(-total * round(each * 1000) // 100_000)) for each in PERCENTILES}
        places = {each: int(np.searchsorted(ends, rank)) for each, rank in ranks.items()}
        inside = self._of_buckets(seconds, set(places.values()))
        found = {
            f"p{each:g}": float(inside[place][ranks[each] - 1 - int(ends[place] - self.counts[place])])
            for each, place in places.items()
        }
        return {**found, "min": self.smallest, "max": self.largest}

    @staticmethod
    def _of_buckets(seconds: Array, wanted: set[int]) -> dict[int, Array]:
        """Return the latencies in each of some buckets, sorted."""
        found: dict[int, list[Array]] = {bucket: [] for bucket in wanted}
        for start in range(0, len(seconds), _CHUNK):
            chunk = seconds[start : start + _CHUNK]
            chunk = chunk[~np.isnan(chunk)]
            of = buckets(chunk)
            for bucket, values in found.items():
                values.append(chunk[of == bucket])
        return {bucket: np.sort(np.concatenate(values)) for bucket, values in found.items()}
