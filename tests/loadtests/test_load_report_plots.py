"""Plots of whatever a load may have given: nothing at all, one second, one event, an hour."""

from __future__ import annotations

import contextlib
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from loadtests.latencies import DIGITS, HIGHEST, LOWEST
from loadtests.report import plots
from loadtests.report.html_report import page
from loadtests.report.markdown import markdown
from loadtests.report.recorded import RecordedReport, UnusableReport
from loadtests.report.svg_plot import BOTTOM, LEFT, MOST_STRIPS, RIGHT, TOP
from tests.loadtests.recorded_report import document, report

COUNTS = ("requests", "due", "billed", "events", "deliveries", "retries", "refused")
PLOTS = (
    plots.rate_plot,
    plots.lag_plot,
    plots.backlog_plot,
    plots.deliveries_plot,
    plots.batches_plot,
    plots.latency_plot,
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

counts = st.integers(0, 10**9)
lags = st.one_of(st.none(), st.floats(0, 1e5))


def histogram(seconds: list[float]) -> str:
    found = HdrHistogram(LOWEST, HIGHEST, DIGITS)
    for value in seconds:
        found.record_value(max(1, round(value * 1e6)))
    return str(found.encode().decode("ascii"))


def of(intervals: int, **account: Any) -> RecordedReport:
    """Return the recorded report with another timeline: ``intervals`` of columns that have only zeros and gaps."""
    data = document()
    timeline = {"start": float(int(data["began_at"])), "interval_seconds": 1.0}
    timeline |= {name: [0] * intervals for name in (*COUNTS, "backlog")}
    timeline |= {f"lag_{name}": [None] * intervals for name in ("p50", "p99", "max")}
    data["reconciliation"] |= {"timeline": {**timeline, **account.pop("timeline", {})}, **account}
    return RecordedReport(data)


@st.composite
def reports(draw: st.DrawFn) -> RecordedReport:
    intervals = draw(st.integers(0, 12))
    timeline: dict[str, Any] = {"interval_seconds": draw(st.sampled_from([1.0, 2.0, 3600.0]))}
    columns = st.lists(counts, min_size=intervals, max_size=intervals)
    timeline |= {name: draw(columns) for name in (*COUNTS, "backlog")}
    of_lags = st.lists(lags, min_size=intervals, max_size=intervals)
    timeline |= {f"lag_{name}": draw(of_lags) for name in ("p50", "p99", "max")}
    latencies = draw(st.lists(st.floats(0, 1e5), max_size=5))
    sizes = draw(st.dictionaries(st.integers(0, 10**6), st.integers(1, 10**6), max_size=8))
    deliveries = {**document()["reconciliation"]["deliveries"], "sizes": sorted(map(list, sizes.items()))}
    return of(
        intervals,
        timeline=timeline,
        deliveries=deliveries,
        billing_latency_histogram=histogram(latencies),
        billing_latency_seconds={"p50": latencies[0], "max": max(latencies)} if latencies else {},
    )


def check_places(svg: str) -> ElementTree.Element:
    """The picture is well formed, and every mark of it has a finite place; return it."""
    root = ElementTree.fromstring(f"<div>{svg}</div>")
    for mark in root.iter():
        for name in ("x", "y", "width", "height", "cx", "cy", "x1", "x2", "y1", "y2"):
            assert _NUMBER.fullmatch(mark.get(name, "0")), (mark.tag, name, mark.get(name))
    return root


def check_picture(svg: str) -> None:
    """All lines and areas of the picture are within its axes."""
    for mark in check_places(svg).iter():
        for x, y in re.findall(r"([^ ML]+) ([^ ML]+)", mark.get("d", "")):
            assert LEFT <= float(x) <= RIGHT and TOP <= float(y) <= BOTTOM
        if mark.tag == "rect" and mark.get("class") in ("bar", "strip", "fault", "restart"):
            assert float(mark.get("width", "0")) >= 0 and float(mark.get("height", "0")) >= 0


@settings(max_examples=40, deadline=None, phases=(Phase.generate,))
@given(reports())
def test_any_load_can_be_drawn_and_told(drawn: RecordedReport) -> None:
    for make in PLOTS:
        check_picture(make(drawn).svg())
    for text in (page(drawn), markdown(drawn)):
        assert not re.search(r"\b(nan|inf|None|NaN|Infinity)\b", text)


@pytest.mark.parametrize("intervals", [0, 1, 2])
def test_a_load_without_anything_has_empty_plots(intervals: int) -> None:
    nothing = of(intervals, billing_latency_histogram=histogram([]), billing_latency_seconds={})
    check_picture(plots.lag_plot(nothing).svg())
    assert "path" not in plots.lag_plot(nothing).svg()
    assert page(nothing)


def test_one_second_is_a_dot() -> None:
    one = of(1, timeline={"lag_p50": [0.5]})
    svg = plots.lag_plot(one).svg()
    assert svg.count("<circle") == 1 and "<path" not in svg


def test_a_gap_in_the_lag_breaks_the_line() -> None:
    svg = plots.lag_plot(of(5, timeline={"lag_p50": [0.1, 0.2, None, 0.3, 0.4]})).svg()
    assert svg.count('<path class="first"') == 2


def test_lags_that_differ_by_much_are_on_a_logarithmic_axis() -> None:
    def axis(highest: float) -> str:
        return plots.lag_plot(of(2, timeline={"lag_max": [0.1, highest]})).svg()

    assert "logarithmic" in axis(60.0)
    assert "logarithmic" not in axis(2.0)


def test_the_rate_of_a_second_that_is_not_all_traffic_is_that_of_its_part() -> None:
    """The first second of the recorded run has a third of its requests, and is no third as fast."""
    known = [rate for rate in report().achieved if rate is not None]
    assert report().column("requests")[0] == pytest.approx(60 * (1 + report().starts[0]), abs=2)
    assert known == [pytest.approx(60, rel=0.1)] * len(known)


def test_what_is_asked_for_follows_the_shape() -> None:
    data = document()
    data["plan"] |= {"shape": {"kind": "spike", "at": 4, "for": 4, "factor": 3}, "duration": 12}
    assert set(filter(None, RecordedReport(data).asked)) == {60, 180}


def test_an_hour_has_no_more_tooltips_than_a_pointer_can_hit_and_a_page_of_bounded_size() -> None:
    hour = of(1200, timeline={"requests": [500] * 1200, "lag_p50": [0.5] * 1200})
    assert plots.rate_plot(hour).svg().count('class="strip"') <= MOST_STRIPS
    assert len(page(hour)) < 1_000_000


def test_batch_sizes_of_any_span_make_a_readable_number_of_bars() -> None:
    deliveries = {**document()["reconciliation"]["deliveries"], "sizes": [[size, 1] for size in range(1, 1001)]}
    bins = plots.batch_bins(of(1, deliveries=deliveries))
    assert len(bins) == plots.MOST_BARS
    assert sum(count for _, _, count in bins) == 1000
    assert bins[0] == (1, 20, 20) and bins[-1] == (981, 1000, 20)


def test_the_distribution_is_that_of_the_histogram() -> None:
    drawn = of(1, billing_latency_histogram=histogram([0.1] * 90 + [1.0] * 9 + [5.0]))
    assert drawn.percentiles == [
        (0.9, pytest.approx(0.1, rel=2e-3)),
        (0.99, pytest.approx(1.0, rel=2e-3)),
        (1.0, pytest.approx(5.0, rel=2e-3)),
    ]
    svg = plots.latency_plot(drawn).svg()
    assert re.findall(r"(\d+ %: [^<]+)<", svg) == ["90 %: 100 ms", "99 %: 1 s", "100 %: 5 s"]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 700), st.characters(min_codepoint=33, max_codepoint=126))
def test_a_damaged_histogram_is_told_or_still_one(place: int, character: str) -> None:
    data = document()
    text = data["reconciliation"]["billing_latency_histogram"]
    place %= len(text)
    data["reconciliation"]["billing_latency_histogram"] = text[:place] + character + text[place + 1 :]
    with contextlib.suppress(UnusableReport):
        RecordedReport(data)
