"""Do clients wait longer while the ingest endpoint hangs? They must not (DLV-5).

Traffic goes on while the ingest endpoint hangs for a second, answers for a second, and so on. Each second with
hanging deliveries is compared with the healthy one after it, and the median of the ratios is taken: what the machine
does meanwhile meets both alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtests.ledger import Ledger
from loadtests.plan import IngestFault, LoadPlan, Shape
from loadtests.played import PlayedFault

#: Pairs of windows, the length of each window in seconds, and the seconds before the first.
PAIRS = 5
WINDOW = 1.0
_BEFORE = 1.0
#: Seconds at both ends of a window that are not looked at, and requests that a window must have.
_MARGIN = 0.1
_FEWEST = 20

#: Percentiles that are compared; the overhead is the largest increase of the first two.
PERCENTILES = (50.0, 90.0, 99.0)
_JUDGED = 2


@dataclass(frozen=True, slots=True)
class Overhead:
    """Client latencies in seconds by percentile (see PERCENTILES) and the increase of each (0.05: 5 % longer).

    ``pairs`` is how many pairs of windows had requests enough; with none there are no figures.
    """

    pairs: int
    requests: int
    hung: tuple[float, ...] = ()
    healthy: tuple[float, ...] = ()
    increase: tuple[float, ...] = ()

    @property
    def judged(self) -> float | None:
        """The larger increase of median and 90th percentile; None when it could not be measured."""
        return max(self.increase[:_JUDGED], default=None)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return {
            "pairs": self.pairs,
            "requests": self.requests,
            "percentiles": list(PERCENTILES),
            "hung_seconds": list(self.hung),
            "healthy_seconds": list(self.healthy),
            "increase": list(self.increase),
            "judged": self.judged,
        }


def overhead_plan(plan: LoadPlan) -> LoadPlan:
    """Return the plan of the stretch of load in which overhead is measured: the same traffic, steady."""
    hangs = tuple(IngestFault(_BEFORE + 2 * WINDOW * pair, WINDOW, {"hang": True}) for pair in range(PAIRS))
    duration = _BEFORE + 2 * WINDOW * PAIRS
    return replace(plan, shape=Shape(), duration=duration, ingest_faults=hangs, restarts=())


def measure_overhead(directory: Path, hangs: Sequence[PlayedFault]) -> Overhead:
    """Compare each of ``hangs`` with the time after it, by the ledger in ``directory``. Raises LedgerError."""
    rows = [chunk[chunk["status"] != 0] for _, _, chunk in Ledger.read(directory).chunks()]
    started = np.concatenate([chunk["started_at"] for chunk in rows])
    latency = np.concatenate([chunk["ended_at"] - chunk["started_at"] for chunk in rows])
    pairs: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = []
    requests = 0
    for hang in hangs:
        length = hang.ended_at - hang.began_at
        both = [_within(started, latency, at, at + length) for at in (hang.began_at, hang.ended_at)]
        if min(map(len, both)) >= _FEWEST:
            requests += sum(map(len, both))
            pairs.append((np.percentile(both[0], PERCENTILES), np.percentile(both[1], PERCENTILES)))
    if not pairs:
        return Overhead(0, 0)
    hung, healthy = (np.array(side) for side in zip(*pairs, strict=True))
    return Overhead(
        pairs=len(pairs),
        requests=requests,
        hung=_medians(hung),
        healthy=_medians(healthy),
        increase=_medians(hung / healthy - 1),
    )


def _within(
    started: npt.NDArray[np.float64], latency: npt.NDArray[np.float64], began: float, ended: float
) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = latency[(started >= began + _MARGIN) & (started < ended - _MARGIN)]
    return found


def _medians(rows: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.median(rows, axis=0))
