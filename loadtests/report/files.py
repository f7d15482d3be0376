"""The files that a load's report goes to, beside ``report.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.cli.main import CannotContinue
from harness.cli.report_files import append_summary, check_writable, step_summary_file, write_file
from loadtests.report.comparison import Comparison
from loadtests.report.html_report import page
from loadtests.report.markdown import markdown
from loadtests.report.recorded import RecordedReport, UnusableReport
from loadtests.report.trend import Trend, TrendEntry, UnusableTrend
from loadtests.result import PAGE


@dataclass(frozen=True, slots=True)
class ReportWish:
    """Which files were asked for, beside the page in the directory of the run."""

    html: Path | None = None
    markdown: Path | None = None
    step_summary: bool = False
    trend: Path | None = None


class LoadReportFiles:
    """Writes the files of a report.

    Made before the run, so that what cannot be written is told before it: raises CannotContinue and UsageError.
    """

    def __init__(self, wish: ReportWish, environment: Mapping[str, str]) -> None:
        self._wish = wish
        self._summary = step_summary_file(environment) if wish.step_summary else None
        for option, file in (("--html", wish.html), ("--markdown", wish.markdown), ("--trend", wish.trend)):
            if file is not None:
                check_writable(file, option)
        if wish.trend is not None:
            _read(wish.trend)

    def write(self, source: Path) -> tuple[RecordedReport, Comparison | None]:
        """Write all of them for the report ``source``, or that in the directory ``source``, and the page beside it.

        Return the report, and the comparison with earlier runs where a trend was asked for. Raises CannotContinue.
        """
        wish = self._wish
        try:
            report = RecordedReport.read(source)
        except UnusableReport as error:
            raise CannotContinue(str(error)) from None
        directory = source if source.is_dir() else source.parent
        comparison = None if wish.trend is None else _add(wish.trend, TrendEntry.of(report))
        text = page(report, comparison)
        for file in (directory / PAGE, wish.html):
            if file is not None:
                write_file(file, text)
        if wish.markdown is not None:
            write_file(wish.markdown, markdown(report, comparison))
        if self._summary is not None:
            append_summary(self._summary, markdown(report, comparison))
        return report, comparison


def _add(path: Path, entry: TrendEntry) -> Comparison:
    trend = _read(path)
    comparison = Comparison.of(entry, trend)
    try:
        trend.append(path, entry)
    except OSError as error:
        raise CannotContinue(f"{path}: cannot be written: {error.strerror}") from None
    return comparison


def _read(path: Path) -> Trend:
    try:
        return Trend.read(path)
    except UnusableTrend as error:
        raise CannotContinue(str(error)) from None
    except OSError as error:
        raise CannotContinue(f"{path}: cannot be read: {error.strerror}; change --trend") from None
