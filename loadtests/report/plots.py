"""The plots of a load: rate, lag, backlog and deliveries over time; batch sizes; the distribution of latencies."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from harness.plugin_config.sizing.quantities import duration_text, rate_text
from harness.report.svg_scales import LinearScale, LogScale, by_ratio, from_zero, from_zero_or_by_ratio
from loadtests.report.recorded import RecordedReport
from loadtests.report.svg_plot import BOTTOM, LEFT, MOST_STRIPS, RIGHT, TOP, Axes, Band, Level, Line, Plot, Strip

#: Values that differ by more than this are shown on a logarithmic axis.
WIDE = 50.0
#: Different batch sizes that get a bar of their own; more are put together.
MOST_BARS = 50

_Column = Sequence[float | None]
_KINDS = {"fault": "ingest endpoint disturbed", "restart": "gateway restarted"}


def rate_plot(report: RecordedReport) -> Plot:
    """Requests a second: asked for and achieved."""
    columns = {"achieved": report.achieved, "asked for": report.asked}
    return _over_time(report, "Requests a second over time", "requests a second", columns, rate_text)


def lag_plot(report: RecordedReport) -> Plot:
    """Billing latency of the events of requests that ended in each interval, with the bound."""
    columns = {name: report.column(f"lag_{name}") for name in ("p50", "p99", "max")}
    bound = Level("bound of the queue settings", report.document["billing_latency_bound_seconds"])
    return _over_time(report, "Billing latency over time", "billing latency", columns, duration_text, [bound], WIDE)


def backlog_plot(report: RecordedReport) -> Plot:
    """Events that were due and had not arrived, and those that waited in the queues by the gateway's word."""
    plot = _over_time(
        report, "Backlog over time", "events", {"due, not arrived": report.column("backlog")}, rate_text, at_end=True
    )
    waiting = report.waiting
    if not waiting:
        return plot
    # Both are on one scale; the samples have times of their own.
    highest = [*(count for _, count in waiting), *_known(report.column("backlog"))]
    axes = _time_axes(report, "events", rate_text, highest, None)
    line = Line("waiting, says the gateway", "second", waiting)
    return Plot(words=plot.words, axes=axes, bands=plot.bands, lines=[*plot.lines, line], strips=plot.strips)


def deliveries_plot(report: RecordedReport) -> Plot:
    """POSTs to the ingest endpoint a second; those that brought an event again, and those that failed."""
    columns = {
        "all POSTs": report.per_second("deliveries"),
        "retries": report.per_second("retries"),
        "failed": report.per_second("refused"),
    }
    return _over_time(report, "POSTs to the ingest endpoint over time", "POSTs a second", columns, rate_text)


def batch_bins(report: RecordedReport) -> list[tuple[int, int, int]]:
    """Return batch sizes with the number of POSTs: smallest, largest, POSTs; sizes of one width put together."""
    if not report.sizes:
        return []
    width = math.ceil(report.sizes[-1][0] / MOST_BARS)
    bins: dict[int, int] = {}
    for size, count in report.sizes:
        bins[(size - 1) // width] = bins.get((size - 1) // width, 0) + count
    return [(place * width + 1, (place + 1) * width, count) for place, count in sorted(bins.items())]


def batches_plot(report: RecordedReport) -> Plot:
    """How many POSTs had how many events."""
    bins = batch_bins(report)
    counts = [float(count) for _, _, count in bins]
    axes = Axes(
        LinearScale(0.5, bins[-1][1] + 0.5 if bins else 1.5, LEFT, RIGHT),
        from_zero_or_by_ratio(counts, BOTTOM, TOP, WIDE, most=5),
        "events in a POST",
        "POSTs",
        lambda value: f"{value:,.4g}",
        rate_text,
    )
    bars = [
        (low - 0.5, high + 0.5, float(count), f"{size_words(low, high)}: {count:,} POSTs")
        for low, high, count in bins
    ]
    return Plot(words=f"Batch sizes, of {sum(map(int, counts)):,} POSTs", axes=axes, bars=bars)


def size_words(low: int, high: int) -> str:
    """Return ``20 events``, or ``21 to 40 events``."""
    return f"{low:,} event{'' if low == 1 else 's'}" if low == high else f"{low:,} to {high:,} events"


def latency_plot(report: RecordedReport) -> Plot:
    """The distribution of billing latencies, by percentile: each nine more takes the same room."""
    total = max(report.histogram.get_total_count(), 10)
    bound = float(report.document["billing_latency_bound_seconds"])
    x = LogScale(1.0, 2.0 * total, LEFT, RIGHT)
    nines = [1.0, 2.0, *(10.0**power for power in range(1, math.floor(math.log10(total) + 1e-9) + 1))]
    points = _thinned(report.percentiles, x)
    axes = Axes(
        x,
        by_ratio([*(seconds for _, seconds in points), bound], BOTTOM, TOP),
        "percentile",
        "billing latency",
        lambda nth: f"{100 - 100 / nth:.8g} %",
        duration_text,
        nines,
    )
    return Plot(
        words=f"Distribution of {report.histogram.get_total_count():,} billing latencies by percentile",
        axes=axes,
        lines=[Line("billing latency", "first", [(_one_in(share, x.end), seconds) for share, seconds in points])],
        levels=[Level("bound of the queue settings", bound)],
        strips=list(_percentile_strips(points, x.end)),
    )


def _one_in(share: float, most: float) -> float:
    """Return of how many events one is later than this share of all."""
    return 1 / (1 - share) if share < 1 else most


def _percentile_strips(points: Sequence[tuple[float, float]], end: float) -> Iterator[Strip]:
    """Yield what each stretch up to a point says: the share of events that were no later."""
    every = max(1, -(-len(points) // MOST_STRIPS))
    start = 1.0
    for first in range(0, len(points), every):
        share, seconds = points[min(first + every, len(points)) - 1]
        until = _one_in(share, end)
        yield Strip(start, until, f"{share * 100:.8g} %: {duration_text(seconds)}")
        start = until


def _thinned(points: Iterable[tuple[float, float]], x: LogScale) -> list[tuple[float, float]]:
    """Return the last of the points at each place."""
    return list({round(x.place(_one_in(point[0], x.end))): point for point in points}.values())


def _over_time(
    report: RecordedReport,
    words: str,
    title: str,
    columns: dict[str, list[float | None]],
    value_words: Callable[[float], str],
    levels: Sequence[Level] = (),
    wide: float | None = None,
    *,
    at_end: bool = False,
) -> Plot:
    """Return a plot of columns of the timeline. ``at_end``: they are of the ends of intervals, not of all of them."""
    values = [*(level.value for level in levels), *(value for column in columns.values() for value in _known(column))]
    ends = [start + report.interval for start in report.starts]
    at = ends if at_end else [(max(end - report.interval, 0.0) + end) / 2 for end in ends]
    lines = [
        Line(name, style, [None if value is None else (x, value) for x, value in zip(at, column, strict=True)])
        for (name, column), style in zip(columns.items(), ("first", "second", "third"), strict=False)
    ]
    bands = [
        Band(_KINDS[one.kind], f"{one.about}, {span_words(one.began, one.ended)}", one.kind, one.began, one.ended)
        for one in report.disturbances
    ]
    return Plot(
        words=words,
        axes=_time_axes(report, title, value_words, values, wide),
        bands=bands,
        lines=[line for line in lines if any(line.points)],
        levels=levels,
        strips=list(_strips(report, columns, value_words)),
    )


def span_words(began: float, ended: float) -> str:
    """Return when something was, in seconds since the first request."""
    return f"from {began:.1f} s to {ended:.1f} s"


def _time_axes(
    report: RecordedReport,
    title: str,
    value_words: Callable[[float], str],
    values: Iterable[float],
    wide: float | None,
) -> Axes:
    end = report.starts[-1] + report.interval if report.starts else 1.0
    x = LinearScale(0.0, max(end, report.interval), LEFT, RIGHT, most=12)
    y = (
        from_zero(values, BOTTOM, TOP, most=5)
        if wide is None
        else from_zero_or_by_ratio(values, BOTTOM, TOP, wide, most=5)
    )
    return Axes(x, y, "seconds since the first request", title, lambda value: f"{value:,.6g}", value_words)


def _strips(
    report: RecordedReport, columns: dict[str, list[float | None]], value_words: Callable[[float], str]
) -> Iterator[Strip]:
    every = max(1, -(-len(report.starts) // MOST_STRIPS))
    lines = []
    for place, start in enumerate(report.starts):
        told = ((name, column[place]) for name, column in columns.items())
        said = ", ".join(f"{name} {value_words(value)}" for name, value in told if value is not None)
        lines.append(f"{max(start, 0.0):.1f} s: {said or 'nothing'}")
    for first in range(0, len(lines), every):
        end = report.starts[first] + every * report.interval
        yield Strip(report.starts[first], end, "\n".join(lines[first : first + every]))


def _known(column: _Column) -> list[float]:
    return [value for value in column if value is not None]
