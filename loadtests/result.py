"""The report of a load for machines: ``report.json``. Its form is ``schemas/load-report.json``, and versioned."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from loadtests.loss import Losses
from loadtests.overhead import Overhead
from loadtests.pacing import Pace
from loadtests.plan import LoadPlan
from loadtests.reconciliation import Reconciliation
from loadtests.stage import Observed
from loadtests.thresholds import Verdict

REPORT = "report.json"
#: The same for people, as a page (``loadtests.report``).
PAGE = "report.html"
#: Raised when a member is removed or means something else; members may be added without.
VERSION = 1


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was tested, by what, on what."""

    target: str
    gateway_version: str
    genuine: bool
    harness_version: str
    locust_version: str
    python_version: str
    system: str
    processors: int


@dataclass(frozen=True)
class LoadReport:
    """Everything that is to be said about one load. ``bound`` is that of the billing latency, in seconds.

    ``unanswered`` requests were not answered as expected, although the gateway was not being restarted.

    ``not_allowed`` are the numbers of requests with events lost although no rule allows it, at most a hundred of
    ``requests_not_allowed``.
    """

    plan: LoadPlan
    surroundings: Surroundings
    observed: Observed
    found: Reconciliation
    losses: Losses
    not_allowed: tuple[str, ...]
    requests_not_allowed: int
    overhead: Overhead | None
    bound: float
    verdicts: tuple[Verdict, ...]
    pace: Pace
    unanswered: int

    @property
    def kept(self) -> bool:
        """Whether every limit was kept."""
        return all(verdict.kept for verdict in self.verdicts)

    @property
    def achieved_rate(self) -> float:
        """Requests a second, from the first request's beginning to the end of the traffic."""
        return self.observed.rate(self.found.requests)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The report as JSON data."""
        observed, losses = self.observed, self.losses
        return {
            "version": VERSION,
            "run": self.found.run,
            "kept": self.kept,
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
            "surroundings": asdict(self.surroundings),
            "plan": self.plan.to_json(),
            "began_at": observed.began_at,
            "ended_at": observed.ended_at,
            "over_at": observed.over_at,
            "drained": observed.drained,
            "waiting_at_end": observed.waiting,
            "rate": {
                "asked": self.plan.rate,
                "achieved": self.achieved_rate,
                "due": self.pace.asked,
                "sent": self.pace.sent,
                "behind_seconds": self.pace.behind,
            },
            "unanswered": self.unanswered,
            "billing_latency_bound_seconds": self.bound,
            "round_trip_seconds": observed.round_trip,
            "faults": [fault.to_json() for fault in observed.faults],
            "restarts": [restart.to_json() for restart in observed.restarts],
            "losses": {
                "lost": losses.lost,
                "allowed": [row.to_json() for row in losses.rows],
                "not_allowed": losses.not_allowed,
                "not_allowed_numbers": list(self.not_allowed),
                "predicted": None
                if losses.prediction.skipped is not None
                else [losses.prediction.low, losses.prediction.high],
                "agree": losses.prediction.agrees(losses.lost),
                "agreement": losses.agreement,
                "told": None if observed.told is None else dict(observed.told),
            },
            "overhead": None if self.overhead is None else self.overhead.to_json(),
            "queue_samples": [asdict(sample) for sample in observed.queue_samples],
            "reconciliation": self.found.to_json(),
        }

    def write(self, path: Path) -> None:
        """Write the report. Raises OSError."""
        path.write_text(json.dumps(self.document) + "\n", encoding="utf-8")
