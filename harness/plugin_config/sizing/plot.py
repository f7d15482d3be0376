"""The backlog over time as a picture: given and advised settings, the outage, what is lost."""

from __future__ import annotations

import io
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from .advisor import Advice
from .assessment import Assessment
from .quantities import duration_text, rate_text

#: File endings, and what keeps the time of day out of such a file.
FORMATS: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}

_WAITING, _LOSING, _LIMIT, _OUTAGE = "#1f5fa8", "#c8102e", "#555555", "#e6e1d3"


def plot(advice: Advice, file_format: str) -> bytes:
    """Return a picture of the worst simulated outage in a format of FORMATS: the same advice gives the same bytes."""
    assessments = [("given", advice.given)]
    if advice.advised is not None:
        assessments.append(("advised", advice.advised))
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        # Text stays text in SVG, and its ids do not depend on chance.
        matplotlib.rc("svg", fonttype="none", hashsalt="kong-metering")
        figure = Figure(figsize=(9, 3.4 * len(assessments) + 0.6), layout="constrained", facecolor="white")
        axes = figure.subplots(len(assessments), 1, sharex=True, squeeze=False)[:, 0]
        unit, seconds = _unit(max(t for _, assessment in assessments for t, _ in assessment.outage.curve.points))
        for place, (title, assessment) in zip(axes, assessments, strict=True):
            _draw(place, title, assessment, seconds)
        axes[-1].set_xlabel(f"time from the start of the outage ({unit})")
        workload = advice.workload
        figure.suptitle(
            f"{rate_text(workload.rate)} events/s in one worker, POST {duration_text(workload.rtt)}, "
            f"outage {duration_text(workload.outage)}"
        )
        target = io.BytesIO()
        figure.savefig(target, format=file_format, metadata=FORMATS[file_format])
    return target.getvalue()


def _draw(axes: Axes, title: str, assessment: Assessment, unit: float) -> None:
    outage, settings = assessment.outage, assessment.settings
    times = [t / unit for t, _ in outage.curve.points]
    waiting = [number for _, number in outage.curve.points]
    axes.axvspan(0, outage.length / unit, color=_OUTAGE, label=f"outage ({outage.kind})", linewidth=0)
    queued = settings.concurrency_limit == 1
    axes.plot(times, waiting, color=_WAITING, linewidth=1.8, label="waiting events" if queued else "events held")
    if queued:
        limit = f"max_entries {settings.max_entries:,}"
        axes.axhline(settings.max_entries, color=_LIMIT, linestyle="--", linewidth=1.2, label=limit)
    _mark_losses(axes, assessment, unit)
    lost = f"{outage.lost_events:,} events lost" if outage.lost else "none lost"
    axes.set_title(f"{title} settings: {lost}", loc="left")
    axes.set_ylabel("waiting events" if queued else "events held")
    axes.set_ylim(bottom=0, top=1.12 * max([*waiting, settings.max_entries if queued else 1]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(alpha=0.25)
    axes.legend(loc="best", framealpha=0.95)


def _mark_losses(axes: Axes, assessment: Assessment, unit: float) -> None:
    """Draw a band at the foot of the picture for each stretch of time in which events were lost."""
    stretches = assessment.outage.curve.losing
    if not stretches:
        return
    least = assessment.outage.length / 300  # a single loss must be seen as well
    axes.broken_barh(
        [(began / unit, max(ended - began, least) / unit) for began, ended in stretches],
        (0.0, 0.035),
        transform=axes.get_xaxis_transform(),
        color=_LOSING,
        label="losing events",
        zorder=3,
    )


def _unit(longest: float) -> tuple[str, float]:
    """Return the unit of the time axis and its length in seconds."""
    if longest < 300:
        return "seconds", 1.0
    return ("minutes", 60.0) if longest < 3 * 3600 else ("hours", 3600.0)
