"""The report of a real run, kept beside this file: an outage, a slow stretch and a restart in twelve seconds.

Of the requests that it names, three of each class were kept.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from loadtests.report.recorded import RecordedReport
from loadtests.report.trend import TrendEntry

FILE = Path(__file__).with_suffix(".json")


def document() -> dict[str, Any]:
    """Return the report's data, to be changed at will."""
    data: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return data


def report() -> RecordedReport:
    """Return the report."""
    return RecordedReport(document())


def run(run: str = "00000001", **values: Any) -> TrendEntry:
    """Return what a trend file keeps of it, as another run with other figures."""
    data = TrendEntry.of(report()).to_json()
    return TrendEntry.from_json({**data, "run": run, **values})


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the report's data with one member, ``plan.rate``, set to something else."""
    data = document()
    place: Any = data
    *parents, last = path.split(".")
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[last] = value
    return data
