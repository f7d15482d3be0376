"""The trend file: a line a run, whatever crashes; runs of one plan are compared, and no others."""

from __future__ import annotations

import io
import json
import multiprocessing
import tempfile
from pathlib import Path

import jsonschema
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import loadtests
from loadtests.report.comparison import MOST_SHOWN, Comparison
from loadtests.report.comparison_table import print_comparison
from loadtests.report.recorded import RecordedReport
from loadtests.report.sparkline import sparkline
from loadtests.report.trend import Trend, TrendEntry, UnusableTrend, plan_hash
from tests.loadtests.recorded_report import changed, report, run
from tests.loadtests.test_load_report_plots import check_places

SCHEMA = json.loads((Path(loadtests.__file__).parent / "schemas" / "load-trend.json").read_text())


def judged(comparison: Comparison) -> dict[str, str]:
    return {change.name: change.judgement for change in comparison.changes()}


def printed(comparison: Comparison) -> str:
    output = io.StringIO()
    print_comparison(comparison, Console(file=output, width=140))
    return output.getvalue()


def test_an_entry_has_the_form_of_its_schema_and_comes_back_the_same(tmp_path: Path) -> None:
    entry = TrendEntry.of(report())
    assert Trend().append(tmp_path / "trend", entry)
    (line,) = (tmp_path / "trend").read_text().splitlines()
    jsonschema.validate(json.loads(line), SCHEMA)
    assert set(SCHEMA["properties"]) == set(json.loads(line)) == set(SCHEMA["required"])
    assert Trend.read(tmp_path / "trend").entries == (entry,)


def test_the_histogram_of_runs_can_be_added_up() -> None:
    entry, total = TrendEntry.of(report()), report().histogram
    total.add(HdrHistogram.decode(entry.billing_latency_histogram))
    assert total.get_total_count() == 2 * entry.events["billed"]


def test_a_run_is_in_the_file_once_and_is_compared_with_those_before_it(tmp_path: Path) -> None:
    file = tmp_path / "trend"
    for name in ("00000001", "00000002", "00000003"):
        assert Trend.read(file).append(file, run(name))
    assert not Trend.read(file).append(file, run("00000002"))
    trend = Trend.read(file)
    assert [each.run for each in trend.entries] == ["00000001", "00000002", "00000003"]
    assert [each.run for each in trend.before(run("00000002"))] == ["00000001"]
    assert [each.run for each in trend.before(run("00000009"))] == ["00000001", "00000002", "00000003"]


@settings(max_examples=20, deadline=None)
@given(st.integers(min_value=1))
def test_a_crash_within_a_line_costs_that_line_alone(length: int) -> None:
    """Whatever of a line reached the disk, the next run begins a line of its own, and all others are read."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "trend"
        Trend().append(file, run("00000001"))
        line = file.read_bytes()
        torn = line[: length % (len(line) - 1) or 1]
        file.write_bytes(line + torn)
        Trend.read(file).append(file, run("00000003"))
        trend = Trend.read(file)
        assert [each.run for each in trend.entries] == ["00000001", "00000003"]
        assert trend.passed_over == 1


def _append(file: Path, name: str) -> None:
    Trend.read(file).append(file, run(name))


def test_runs_that_end_at_the_same_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    file = tmp_path / "trend"
    names = [f"{number:08x}" for number in range(8)]
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.starmap(_append, [(file, name) for name in names])
    trend = Trend.read(file)
    assert sorted(each.run for each in trend.entries) == names
    assert trend.passed_over == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# a page\n", "holds something else"),
        ('{"version": 2}\n', "line 1: is of version 2, and this program knows 1"),
        ('{"version": 1}\n', "line 1: is no run of a trend"),
    ],
)
def test_what_is_no_trend_file_is_refused_in_one_line_and_left_alone(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "notes.md"
    file.write_text(text)
    with pytest.raises(UnusableTrend, match=said) as caught:
        Trend.read(file)
    assert str(caught.value).startswith(str(file)) and "\n" not in str(caught.value)
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("path", "value"), [("plan.rate", 61), ("plan.queue.max_batch_size", 21), ("plan.seed", 1), ("plan.restarts", [])]
)
def test_another_plan_is_another_series_and_nothing_is_said_about_it(path: str, value: object) -> None:
    other = TrendEntry.of(RecordedReport(changed(path, value)))
    assert other.plan != TrendEntry.of(report()).plan
    comparison = Comparison.of(run("0000000a"), Trend((other,)))
    assert comparison.changes() == []
    assert comparison.heading == "No earlier run of this plan and target to compare with (of others: 1)."


@pytest.mark.parametrize("values", [{"target": "docker"}, {"genuine": True}])
def test_another_target_or_plugin_is_another_series(values: dict[str, object]) -> None:
    assert Comparison.of(run("0000000a"), Trend((run("00000001", **values),))).earlier == []


def test_a_plan_written_in_another_way_is_the_same_plan() -> None:
    assert plan_hash(RecordedReport(changed("plan.rate", 60))) == plan_hash(report())
    data = changed("plan.feed_url", "http://127.0.0.1:9/feed")
    assert plan_hash(RecordedReport(data)) == plan_hash(report())


def test_changes_are_judged_by_what_they_mean() -> None:
    before = run("00000001")
    latency = {**before.billing_latency_seconds, "p99": before.billing_latency_seconds["p99"] * 1.2}
    classes = {**before.classes, "wrong": 1, "late": 10, "billed_once": 9}
    values = {"achieved": before.achieved * 0.8, "billing_latency_seconds": latency, "classes": classes}
    now = run("00000002", **values, overhead=(before.overhead or 0) - 0.1)
    found = judged(Comparison.of(now, Trend((before,))))
    assert found["requests a second"] == "worse"
    assert found["billing latency p50"] == "same"
    assert found["billing latency p99"] == "worse"
    assert found["wrong"] == "worse"
    assert found["late"] == "better"
    assert found["billed once"] == ""
    assert found["overhead while ingest hangs"] == "better"
    said = printed(Comparison.of(now, Trend((before,))))
    assert "Against run 00000001" in said
    assert "+20.0%" in said and "-20.0%" in said and "-10.0 points" in said


def test_what_runs_differ_by_anyway_is_no_change() -> None:
    before = run("00000001")
    now = run("00000002", achieved=before.achieved * 0.97)
    assert set(judged(Comparison.of(now, Trend((before,)))).values()) <= {"same", ""}


def test_a_measure_that_a_run_lacks_is_not_judged() -> None:
    before = run("00000001", billing_latency_seconds={}, overhead=None)
    changes = {change.name: change for change in Comparison.of(run("00000002"), Trend((before,))).changes()}
    assert (changes["billing latency p99"].before, changes["billing latency p99"].judgement) == ("–", "")
    assert changes["overhead while ingest hangs"].before == "–"


def test_what_else_was_different_is_said() -> None:
    before = run("00000001")
    earlier = run("00000001", surroundings={**before.surroundings, "processors": 8})
    heading = Comparison.of(run("00000002"), Trend((earlier,))).heading
    assert "Not the same as then: processors (8 → 2)." in heading


def test_lines_that_are_no_runs_are_told() -> None:
    assert "3 lines of the trend file are no runs" in printed(Comparison.of(run(), Trend((), 3)))


def test_only_the_last_runs_are_shown_beside_each_other() -> None:
    trend = Trend(tuple(run(f"{number:08x}") for number in range(50)))
    runs = Comparison.of(run("0000ffff"), trend).runs
    assert len(runs) == MOST_SHOWN
    assert (runs[0].run, runs[-1].run) == (f"{50 - MOST_SHOWN + 1:08x}", "0000ffff")


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e12)), max_size=20))
def test_a_sparkline_of_any_runs_is_a_picture(values: list[float | None]) -> None:
    svg = sparkline("rate", values, "{:g}".format)
    check_places(svg)
    assert svg.count("<circle") == sum(value is not None for value in values)
