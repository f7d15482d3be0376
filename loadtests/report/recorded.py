"""A load's report as it was written: ``report.json``, checked, with what follows from it.

All that is shown of a load afterwards is made from this, so that it can be made again without another run.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, NoReturn, Self

import jsonschema
from hdrh.codec import HdrCookieException, HdrHistogramSettingsException, HdrLengthException
from hdrh.histogram import HdrHistogram
from jsonschema.exceptions import best_match

from loadtests.plan import LoadPlan
from loadtests.result import REPORT, VERSION
from plugin_emulator.documents import InvalidDocument

_BROKEN_HISTOGRAM = (
    HdrCookieException,
    HdrHistogramSettingsException,
    HdrLengthException,
    ValueError,
    IndexError,
    TypeError,
    zlib.error,
)
_SCHEMA = Path(__file__).parent.parent / "schemas" / "load-report.json"
#: An interval of which less than this part lies in the traffic says nothing about its rate.
_LEAST_PART = 0.2


class UnusableReport(ValueError):
    """The report cannot be shown. The message is one line that names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A fault of the ingest endpoint or a restart of the gateway; times in seconds since the first request."""

    kind: Literal["fault", "restart"]
    about: str
    began: float
    ended: float


class RecordedReport:
    """One report. ``document`` is its JSON data; times of the properties are seconds since the first request."""

    def __init__(self, document: Mapping[str, Any], name: str = REPORT) -> None:
        """Take the data of a report; ``name`` is what messages call it. Raises UnusableReport."""
        _check(document, name)
        self.document = document
        self.account: Mapping[str, Any] = document["reconciliation"]
        self.columns: Mapping[str, Any] = self.account["timeline"]
        self._began: float = document["began_at"]
        try:
            self.plan = LoadPlan.from_json(document["plan"])
        except InvalidDocument as error:
            raise UnusableReport(f"{name}: its plan: {str(error).splitlines()[0]}") from None
        try:
            self.histogram = HdrHistogram.decode(self.account["billing_latency_histogram"])
        except _BROKEN_HISTOGRAM as error:
            raise UnusableReport(f"{name}: its histogram cannot be read ({type(error).__name__})") from None
        lengths = {len(column) for column in self.columns.values() if isinstance(column, list)}
        if len(lengths) != 1:
            raise UnusableReport(f"{name}: the columns of its timeline are not of one length")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a report, or that of a run's directory. Raises UnusableReport."""
        file = path / REPORT if path.is_dir() else path
        try:
            document = json.loads(file.read_bytes(), parse_constant=_no_number)
        except OSError as error:
            raise UnusableReport(f"{file}: cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise UnusableReport(f"{file}: is not JSON: {error}") from None
        return cls(document, str(file))

    @property
    def kept(self) -> bool:
        """Whether every limit was kept."""
        return bool(self.document["kept"])

    @property
    def date(self) -> datetime:
        """When the first request began, UTC."""
        return datetime.fromtimestamp(self._began, UTC)

    @cached_property
    def interval(self) -> float:
        """Seconds of an interval of the timeline."""
        return float(self.columns["interval_seconds"])

    @cached_property
    def starts(self) -> list[float]:
        """When each interval begins; the first one does before the first request."""
        first = self.columns["start"] - self._began
        return [first + number * self.interval for number in range(len(self.columns["requests"]))]

    def column(self, name: str) -> list[float | None]:
        """Return a column of the timeline, of nothing when the report has none of that name."""
        return list(self.columns.get(name) or [None] * len(self.starts))

    def per_second(self, name: str) -> list[float | None]:
        """Return a column of counts as a rate."""
        return [None if count is None else count / self.interval for count in self.column(name)]

    @cached_property
    def traffic_seconds(self) -> float:
        """From the first request's beginning to the last one's end."""
        return float(self.document["ended_at"] - self._began)

    @cached_property
    def achieved(self) -> list[float | None]:
        """Requests a second by interval, of the part of it that lies in the traffic."""
        rates: list[float | None] = []
        for start, count in zip(self.starts, self.column("requests"), strict=True):
            part = min(start + self.interval, self.traffic_seconds) - max(start, 0.0)
            rates.append((count or 0) / part if part >= _LEAST_PART * self.interval else None)
        return rates

    @cached_property
    def asked(self) -> list[float | None]:
        """Requests a second that the plan asks for, in the middle of each interval; None: as fast as it goes."""
        plan = self.plan
        middles = [start + self.interval / 2 for start in self.starts]
        return [
            plan.rate_per_user * plan.users_at(at) if plan.rate and 0 <= at <= plan.duration else None
            for at in middles
        ]

    @cached_property
    def waiting(self) -> list[tuple[float, float]]:
        """What the gateway said of events in its queues: when, and how many."""
        samples = ((sample["at"] - self._began, sample["waiting"]) for sample in self.document["queue_samples"])
        return [sample for sample in samples if sample[0] >= self.starts[0]] if self.starts else []

    @cached_property
    def disturbances(self) -> list[Disturbance]:
        """What went wrong on purpose, in order."""
        told = [("fault", each["about"], each) for each in self.document["faults"]]
        told += [("restart", f"gateway restarted, {each['how']}", each) for each in self.document["restarts"]]
        found = [
            Disturbance(
                "fault" if kind == "fault" else "restart",
                about,
                each["began_at"] - self._began,
                each["ended_at"] - self._began,
            )
            for kind, about, each in told
        ]
        return sorted(found, key=lambda each: each.began)

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """Batch sizes in events, and how many POSTs had so many."""
        return sorted((int(size), int(count)) for size, count in self.account["deliveries"].get("sizes", ()) if size)

    @cached_property
    def mean_size(self) -> float | None:
        """Events of a POST on the average; None when there was none."""
        posts = sum(count for _, count in self.sizes)
        return sum(size * count for size, count in self.sizes) / posts if posts else None

    @cached_property
    def failed_posts(self) -> int:
        """POSTs that were not answered with success."""
        answers = self.account["deliveries"].get("by_status", {})
        return sum(count for status, count in answers.items() if not 200 <= int(status) < 300)

    @cached_property
    def latency(self) -> Mapping[str, float]:
        """Billing latency in seconds: ``p50``, ``p90``, ``p99``, ``p99.9``, ``min``, ``max``; may be empty."""
        seconds: Mapping[str, float] = self.account["billing_latency_seconds"]
        return seconds

    @cached_property
    def percentiles(self) -> list[tuple[float, float]]:
        """The distribution of billing latencies: the share of events that were no later (0 to 1), and seconds.

        From the histogram, which is within a thousandth.
        """
        total, seen, found = self.histogram.get_total_count(), 0, []
        for item in self.histogram.get_recorded_iterator():
            seen += item.count_added_in_this_iter_step
            found.append((seen / total, item.value_iterated_to / 1e6))
        return found


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(_SCHEMA.read_text(encoding="utf-8")))


def _check(document: Any, name: str) -> None:
    if isinstance(document, Mapping) and isinstance(number := document.get("version"), int) and number > VERSION:
        raise UnusableReport(f"{name}: is of version {number}, and this program knows {VERSION}: use a newer one")
    problem = best_match(_validator().iter_errors(document))
    if problem is not None:
        where = ".".join(map(str, problem.absolute_path)) or "the whole"
        raise UnusableReport(f"{name}: is no report of a load: {where}: {problem.message[:200]}")


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")
