"""The options of ``kong-metering load`` that are about its reports."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:  # loaded only where they are used: a help text needs none of them
    from loadtests.report.files import LoadReportFiles

_FILE = click.Path(path_type=Path)
REPORT_OPTIONS = (
    click.option("--html", type=_FILE, metavar="FILE", help="Write the page (report.html) here too."),
    click.option("--markdown", type=_FILE, metavar="FILE", help="Write the report as Markdown."),
    click.option("--step-summary", is_flag=True, help="Append the Markdown to the summary of a GitHub Actions step."),
    click.option("--trend", type=_FILE, metavar="FILE", help="Add the run to this file; compare with the last one."),
    click.option(
        "--report-from", type=_FILE, metavar="RUN", help="No run: reports of a run's directory, or of report.json."
    ),
)
_NAMES = ("html", "markdown", "step_summary", "trend")


def report_files(options: dict[str, Any]) -> LoadReportFiles:
    """Take the options of report files out of ``options``. Raises CannotContinue and UsageError."""
    from loadtests.report.files import LoadReportFiles, ReportWish

    return LoadReportFiles(ReportWish(**{name: options.pop(name) for name in _NAMES}), os.environ)


def report_again(source: Path, options: Mapping[str, Any], context: click.Context) -> int:
    """Write the reports of a run that is over. Raises CannotContinue, and UsageError for options of a run."""
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if given and option.name not in (*_NAMES, "report_from"):
            raise click.UsageError(f"{option.opts[-1]} is about a run, and --report-from is about one that is over")
    files = report_files(dict(options))
    from rich.console import Console

    from loadtests.report.comparison_table import print_comparison
    from loadtests.report.words import headline
    from loadtests.result import PAGE

    report, comparison = files.write(source)
    console = Console(width=None if os.isatty(1) else 118, highlight=False, markup=False)
    console.print(headline(report))
    if comparison is not None:
        print_comparison(comparison, console)
    console.print(f"Report: {(source if source.is_dir() else source.parent) / PAGE}", style="dim")
    return 0
