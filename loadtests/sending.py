"""What one process needs to send its part of a run: prepared requests, the ledger they go into, and a pace."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from loadtests.ledger import LedgerWriter, ledger_path
from loadtests.numbers import NUMBER_HEADER, label
from loadtests.pacing import Pace, Timetable
from loadtests.plan import LoadPlan, TrafficKind
from loadtests.traffic import PlannedRequest, Traffic

_USER_AGENT = "kong-metering-load"
#: Digits of a request's number within its worker, the last part of its label.
_DIGITS = 10
#: Locust takes a moment to stop its users, and none of them sends meanwhile: seconds that a request may be overdue.
_JUST_DUE = 0.25


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request in bytes. On the wire its number, ten digits, stands between ``head`` and ``tail``."""

    head: bytes
    tail: bytes
    planned: PlannedRequest


class Sending:
    """One process's part of a run.

    ``worker`` is the process's index among those of the run, ``directory`` where its ledger goes.
    """

    def __init__(self, plan: LoadPlan, run: str, worker: int, directory: Path) -> None:
        """Open the ledger. Raises LedgerError, and OSError when the directory cannot be made."""
        directory.mkdir(parents=True, exist_ok=True)
        self.plan = plan
        self.run = run
        self.worker = worker
        self.pace = Pace()
        self.traffic = Traffic.of(plan)
        self.ledger = LedgerWriter(ledger_path(directory, worker), run, worker)
        self._directory = directory
        self._users = 0
        self._started_at = time.time()
        self._over: float | None = None
        self._wire: dict[tuple[TrafficKind, str], tuple[WireRequest, ...]] = {}

    def requests(self, kind: TrafficKind, base_url: str) -> tuple[WireRequest, ...]:
        """Return the requests of one kind as they go to the gateway at ``base_url``; none when the plan has none."""
        key = (kind, base_url)
        if key not in self._wire:
            prefix = label(self.run, self.worker, 0)[:-_DIGITS]
            planned = self.traffic.requests.get(kind, ())
            self._wire[key] = tuple(_wire_request(each, base_url, prefix) for each in planned)
        return self._wire[key]

    def new_user(self) -> int:
        """Return the index of another user of this process."""
        self._users += 1
        return self._users - 1

    def timetable(self, user: int, now: float) -> Timetable:
        """Return the timetable of a user that begins at ``now``."""
        return Timetable(self.plan.rate_per_user, user, now, self.pace)

    def stopping(self, now: float) -> None:
        """Note that the load is over: what falls due from now on, while users are stopped, was never asked for."""
        self._over = now

    def end(self, timetable: Timetable, now: float) -> None:
        """Count what a user that stops leaves unsent."""
        timetable.end((now if self._over is None else self._over) - _JUST_DUE)

    def close(self) -> None:
        """Close the ledger, and write beside it how far the users kept to their timetables."""
        self.ledger.close()
        record = {
            "run": self.run,
            "worker": self.worker,
            "started_at": self._started_at,
            "ended_at": time.time(),
            "users": self._users,
            "asked": self.pace.asked,
            "sent": self.pace.sent,
            "behind_seconds": self.pace.behind,
        }
        pace_path(self._directory, self.worker).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def pace_path(directory: Path, worker: int) -> Path:
    """Return the name of the file that says how a worker kept its pace."""
    return directory / f"pace-{worker}.json"


def unfinished(directory: Path) -> tuple[int, ...]:
    """Return the workers that have begun a ledger and not said how they kept their pace: they were killed."""
    workers = (int(path.stem.removeprefix("ledger-")) for path in directory.glob("ledger-*.bin"))
    return tuple(sorted(worker for worker in workers if not pace_path(directory, worker).exists()))


def read_pace(directory: Path) -> Pace:
    """Return the pace of all workers of a run together; of a killed worker nothing is known, and nothing is in it."""
    total = Pace()
    for path in sorted(directory.glob("pace-*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        total.sent += record["sent"]
        total.unsent += record["asked"] - record["sent"]
        total.behind = max(total.behind, record["behind_seconds"])
    return total


def _wire_request(planned: PlannedRequest, base_url: str, prefix: str) -> WireRequest:
    base = urlsplit(base_url)
    host = base.netloc.rpartition("@")[2]
    lines = [f"{planned.method} {base.path.rstrip('/')}{planned.target} HTTP/1.1", f"Host: {host}"]
    lines += [f"User-Agent: {_USER_AGENT}", "Accept: */*"]
    lines += [f"{name}: {value}" for name, value in planned.headers]
    if planned.body or planned.method == "POST":
        lines.append(f"Content-Length: {len(planned.body)}")
    # The number comes last, so that all else is made once.
    lines.append(f"{NUMBER_HEADER}: {prefix}")
    return WireRequest("\r\n".join(lines).encode("ascii"), b"\r\n\r\n" + planned.body, planned)
