"""The trend file: a line of JSON for each run, by which runs can be compared.

Its form is ``schemas/load-trend.json``. A run of another plan, target or plugin is another series.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import jsonschema

from loadtests.report.recorded import RecordedReport

#: Raised when a member is removed or means something else; members may be added without.
VERSION = 1
_SCHEMA = Path(__file__).parent.parent / "schemas" / "load-trend.json"


class UnusableTrend(ValueError):
    """The file is no trend file. The message is one line that names it."""


@dataclass(frozen=True, slots=True)
class Batches:
    """POSTs to the ingest endpoint, how many of them failed and were retries; events in one: mean and most."""

    posts: int
    failed: int
    retries: int
    mean: float | None
    largest: int


@dataclass(frozen=True, slots=True)
class TrendEntry:
    """One run. ``at`` is ISO 8601 in UTC, ``plan`` a hash of the plan; rates by the second, latencies in seconds.

    ``broken`` are the limits that were not kept. ``events`` and ``classes`` are as in the report,
    ``billing_latency_histogram`` is in HdrHistogram's own encoding, so that runs can be added up.
    """

    at: str
    run: str
    target: str
    genuine: bool
    plan: str
    surroundings: Mapping[str, Any]
    kept: bool
    broken: Sequence[str]
    asked: float
    achieved: float
    requests: int
    classes: Mapping[str, int]
    events: Mapping[str, int]
    lost: int
    lost_not_allowed: int
    billing_latency_seconds: Mapping[str, float]
    billing_latency_histogram: str
    batches: Batches
    overhead: float | None

    @classmethod
    def of(cls, report: RecordedReport) -> Self:
        """Return what is kept of a report."""
        document, account = report.document, report.account
        surroundings = dict(document["surroundings"])
        overhead = document["overhead"]
        return cls(
            at=report.date.isoformat(timespec="seconds"),
            run=document["run"],
            target=surroundings.pop("target"),
            genuine=surroundings.pop("genuine"),
            plan=plan_hash(report),
            surroundings=surroundings,
            kept=report.kept,
            broken=[verdict["option"] for verdict in document["verdicts"] if not verdict["kept"]],
            asked=document["rate"]["asked"],
            achieved=document["rate"]["achieved"],
            requests=account["requests"],
            classes=account["classes"],
            events=account["events"],
            lost=document["losses"]["lost"],
            lost_not_allowed=document["losses"]["not_allowed"],
            billing_latency_seconds=report.latency,
            billing_latency_histogram=account["billing_latency_histogram"],
            batches=Batches(
                posts=account["deliveries"]["requests"],
                failed=report.failed_posts,
                retries=account["deliveries"]["retries"],
                mean=report.mean_size,
                largest=max((size for size, _ in report.sizes), default=0),
            ),
            overhead=None if overhead is None else overhead["judged"],
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the entry that :meth:`to_json` gave. Members that are not known are passed over."""
        known = {name: data[name] for name in cls.__slots__}
        batches = Batches(**{name: data["batches"][name] for name in Batches.__slots__})
        return cls(**{**known, "batches": batches})

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON data."""
        return {"version": VERSION, **asdict(self)}

    @property
    def series(self) -> tuple[str, bool, str]:
        """What two runs must share to be compared."""
        return self.target, self.genuine, self.plan


@dataclass(frozen=True, slots=True)
class Trend:
    """The runs of a file in its order; ``passed_over`` is how many lines are none, as a crash leaves them."""

    entries: tuple[TrendEntry, ...] = ()
    passed_over: int = 0

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; one that is not there has no runs. Raises OSError and UnusableTrend."""
        try:
            lines = path.read_bytes().splitlines()
        except FileNotFoundError:
            return cls()
        found, passed_over = [], 0
        for number, line in enumerate(lines, 1):
            data = _parsed(line)
            if data is None:
                passed_over += bool(line.strip())
                continue
            _check(data, f"{path}: line {number}")
            found.append(TrendEntry.from_json(data))
        if passed_over and not found:
            raise UnusableTrend(f"{path}: holds something else than a trend: choose another file")
        return cls(tuple(found), passed_over)

    def before(self, entry: TrendEntry) -> list[TrendEntry]:
        """Return the earlier runs that ``entry`` may be compared with, the last one last."""
        runs = [each.run for each in self.entries]
        until = runs.index(entry.run) if entry.run in runs else len(runs)
        return [each for each in self.entries[:until] if each.series == entry.series]

    def append(self, path: Path, entry: TrendEntry) -> bool:
        """Add a run at the end of the file, unless it is in it; return whether it was added. Raises OSError.

        The line is on the disk when this returns. What a crash has left of a line stays by itself.
        """
        if any(each.run == entry.run for each in self.entries):
            return False
        line = json.dumps(entry.to_json(), separators=(",", ":"), allow_nan=False).encode() + b"\n"
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # others may end their runs at the same time
            size = os.fstat(descriptor).st_size
            torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
            rest = memoryview(b"\n" + line if torn else line)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return True


def plan_hash(report: RecordedReport) -> str:
    """Return what says whether two runs had the same plan, defaults included."""
    data = {name: value for name, value in report.plan.to_json().items() if name != "feed_url"}
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def _parsed(line: bytes) -> Any:
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(_SCHEMA.read_text(encoding="utf-8")))


def _check(data: Mapping[str, Any], where: str) -> None:
    version = data.get("version")
    if isinstance(version, int) and version > VERSION:
        raise UnusableTrend(f"{where}: is of version {version}, and this program knows {VERSION}: use a newer one")
    problem = jsonschema.exceptions.best_match(_validator().iter_errors(data))
    if problem is not None:
        at = ".".join(map(str, problem.absolute_path)) or "the whole"
        raise UnusableTrend(f"{where}: is no run of a trend: {at}: {problem.message[:200]}")
