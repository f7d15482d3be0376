"""The reports of a run of the conformance suite, and the files they go to."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from harness.cli.main import CannotContinue
from harness.conformance.outcome import Report
from harness.report.html_report import HtmlReport
from harness.report.implementation import read_implementation, report_date
from harness.report.json_report import JsonReport
from harness.report.junit import JunitReport
from harness.report.markdown import STEP_SUMMARY_LIMIT, MarkdownReport

#: Where GitHub Actions wants a step's summary.
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"


@dataclass(frozen=True, slots=True)
class ReportWish:
    """Which files were asked for.

    ``directory`` gets conformance.json, junit.xml and report.html; the other files are in addition. ``json_file``
    ``-`` is standard output. ``implementation`` is a file, ``date`` what the reports bear.
    """

    directory: Path
    json_file: str | None = None
    junit_file: str | None = None
    markdown_file: Path | None = None
    html_file: Path | None = None
    step_summary: bool = False
    implementation: Path | None = None
    date: datetime | None = None


class ReportFiles:
    """Feeds the reports and writes them once the run is over.

    Made before the run, so that what cannot be written or is wrong is told before it: raises CannotContinue,
    UsageError, InvalidDocument.
    """

    def __init__(self, wish: ReportWish, environment: Mapping[str, str]) -> None:
        self._wish = wish
        try:
            date = report_date(wish.date, environment)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        implementation = None if wish.implementation is None else read_implementation(wish.implementation)
        self._json, self._junit = JsonReport(implementation, date), JunitReport(date)
        self._markdown, self._html = MarkdownReport(), HtmlReport(implementation, date)
        self._summary = step_summary_file(environment) if wish.step_summary else None
        for name in ("conformance.json", "junit.xml", "report.html"):
            check_writable(wish.directory / name, "--report-dir", create_folder=True)
        for option, file in (
            ("--json", wish.json_file),
            ("--junit", wish.junit_file),
            ("--markdown", wish.markdown_file),
            ("--html", wish.html_file),
        ):
            if file is not None and file != "-":
                check_writable(Path(file), option)

    @property
    def reports(self) -> Sequence[Report]:
        """The reports to feed."""
        return self._json, self._junit, self._markdown, self._html

    def write(self) -> list[Path]:
        """Write all of them; return those of the directory. Raises CannotContinue."""
        wish = self._wish
        json_text, junit_text, page = self._json.text(), self._junit.text(), self._html.text()
        standing = {"conformance.json": json_text, "junit.xml": junit_text, "report.html": page}
        written = [wish.directory / name for name in standing]
        for path, text in zip(written, standing.values(), strict=True):
            write_file(path, text)
        if wish.json_file == "-":
            click.echo(json_text, nl=False)
        elif wish.json_file is not None:
            write_file(Path(wish.json_file), json_text)
        if wish.junit_file is not None:
            write_file(Path(wish.junit_file), junit_text)
        if wish.html_file is not None:
            write_file(wish.html_file, page)
        if wish.markdown_file is not None:
            write_file(wish.markdown_file, self._markdown.text())
        if self._summary is not None:
            append_summary(self._summary, self._markdown.text(STEP_SUMMARY_LIMIT))
        return written


def check_writable(file: Path, option: str, *, create_folder: bool = False) -> None:
    """Make sure, before the run, that ``file`` can be written after it. Raises CannotContinue."""
    try:
        if create_folder:
            file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise CannotContinue(f"{file}: cannot be written: {error.strerror}; change {option}") from None


def write_file(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, all of it or nothing. Raises CannotContinue."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise CannotContinue(f"{path}: cannot be written: {error.strerror}") from None


def step_summary_file(environment: Mapping[str, str]) -> Path:
    """Return the file that GitHub Actions names for a step's summary. Raises UsageError and CannotContinue."""
    name = environment.get(STEP_SUMMARY)
    if not name:
        raise click.UsageError(f"--step-summary goes with GitHub Actions: {STEP_SUMMARY} is not set")
    path = Path(name)
    check_writable(path, STEP_SUMMARY)
    return path


def append_summary(path: Path, text: str) -> None:
    """Add ``text`` to a step's summary. Raises CannotContinue."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CannotContinue(f"{path}: cannot be written: {error.strerror}") from None
