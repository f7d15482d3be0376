"""``kong-metering conformance``: runs the suite and prints rules × verdicts."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import pytest
from rich.console import Console
from rich.table import Table

import harness.conformance
from harness import resources
from harness.cli.deployment import PROFILE_HELP, TARGETS
from harness.cli.interruption import orderly_end
from harness.cli.main import EXIT_USAGE, EXIT_WRONG, CannotContinue
from harness.cli.report_files import ReportFiles, ReportWish, check_writable
from harness.cli.target_options import choose, target_options
from harness.conformance.outcome import Tally
from harness.conformance.pool import Pool
from harness.conformance.profiles import profiles
from harness.conformance.pytest_plugin import ConformancePlugin
from harness.conformance.rules import DEFAULT_PROFILE, rules_of, select
from harness.conformance.runner import Order
from harness.conformance.scenario import Scenario, read_scenarios
from harness.report.terminal import TerminalReport

DEFAULT_REPORT_DIR = Path("reports")
_INI = Path(harness.conformance.__file__).with_name("pytest.ini")


@click.command()
@click.argument("scenarios", nargs=-1, type=click.Path(path_type=Path), metavar="[SCENARIO]...")
@click.option("--target", type=click.Choice(TARGETS), default="emulator", show_default=True, help="What to test.")
@click.option("--profile", type=click.Choice(list(profiles())), help=PROFILE_HELP)
@click.option("--rules", metavar="LIST", help="Only scenarios of these rules or groups, e.g. DRP,RET-1.")
@click.option("--scenario", "ids", multiple=True, metavar="ID", help="Only the scenario of this id; repeatable.")
@click.option("--list", "list_only", is_flag=True, help="List the scenarios that would run, and end.")
@click.option("--dry-run", is_flag=True, help="Check the scenario files, and end.")
@click.option(
    "--workers",
    type=click.IntRange(1, 32),
    help="Gateways side by side (default 4; docker 2, url 1); with --self-check, mutants (4).",
)
@click.option("--json", "json_file", metavar="FILE", help="Write the JSON report here too; - for standard output.")
@click.option("--junit", "junit_file", metavar="FILE", help="Write the JUnit report here too.")
@click.option(
    "--report-dir",
    type=click.Path(path_type=Path),
    default=DEFAULT_REPORT_DIR,
    show_default=True,
    help="Where conformance.json, junit.xml and report.html go.",
)
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the HTML report here too."
)
@click.option(
    "--markdown",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the run as Markdown; with --self-check --matrix, the matrix.",
)
@click.option("--step-summary", is_flag=True, help="Append the Markdown to the summary of a GitHub Actions step.")
@click.option(
    "--implementation",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Who made what is tested: organization, project, version, url, contact (YAML or JSON), for the reports.",
)
@click.option(
    "--date",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]),
    help="Date of the reports, UTC (default: that of SOURCE_DATE_EPOCH, or now).",
)
@click.option(
    "--strict", is_flag=True, help="Findings (breaks of rules that nothing public settles) fail the run too."
)
@target_options
@click.option("--self-check", is_flag=True, help="Run the suite against broken variants of the emulator instead.")
@click.option("--mutant", "mutants", multiple=True, metavar="ID", help="With --self-check: only this; repeatable.")
@click.option("--matrix", is_flag=True, help="With --self-check: run everything, and show what each scenario finds.")
def command(
    scenarios: tuple[Path, ...],
    target: str,
    profile: str | None,
    rules: str | None,
    ids: tuple[str, ...],
    list_only: bool,
    dry_run: bool,
    workers: int | None,
    json_file: str | None,
    junit_file: str | None,
    report_dir: Path,
    html_file: Path | None,
    markdown: Path | None,
    step_summary: bool,
    implementation: Path | None,
    date: datetime | None,
    strict: bool,
    self_check: bool,
    mutants: tuple[str, ...],
    matrix: bool,
    **deployment: Any,
) -> int:
    """Run the conformance suite and print rules × verdicts.

    SCENARIO are scenario files or directories of your own; without any, the suite's own are run. Ends with 0 when
    nothing failed, 1 when something did, 2 when the run could not be done.
    """
    for option, given in (("--mutant", mutants), ("--matrix", matrix)):
        if given and not self_check:
            raise click.UsageError(f"{option} goes with --self-check")
    if self_check and markdown is not None and not matrix:
        raise click.UsageError("with --self-check, --markdown goes with --matrix")
    try:
        asked = None if rules is None else select(word for word in rules.split(",") if word.strip())
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if self_check and target != "emulator":
        raise click.UsageError("--self-check breaks the emulator: it goes without --target")
    if self_check and deployment["subject_form"] is not None:
        raise click.UsageError("--self-check runs the emulator as the scenarios are written: without --subject-form")
    if target == "url" and (workers or 1) > 1:
        raise click.UsageError("--target url is one gateway: it takes one scenario at a time, without --workers")
    shipped = resources.scenarios()
    paths = [path.resolve() for path in scenarios] or [shipped]
    known = read_scenarios(paths)
    unknown = sorted(set(ids) - {scenario.id for scenario in known})
    if unknown:
        raise click.UsageError(f"no scenario has id {unknown[0]!r}; conformance --list shows all")

    # Another plugin's scenarios are no part of the run, not even as skipped ones, unless they are asked for by id.
    metering = profiles()[profile or DEFAULT_PROFILE].plugin

    def wanted(scenario: Scenario) -> bool:
        by_rule = asked is None or not asked.isdisjoint(scenario.rules)
        by_plugin = bool(ids) or (self_check and profile is None) or scenario.profile.plugin == metering
        return by_rule and by_plugin and (not ids or scenario.id in ids)

    run = [scenario for scenario in known if wanted(scenario)]
    if self_check:
        from harness.cli import self_check as broken_variants  # loads what a plain run does not need

        planted = broken_variants.chosen(mutants, profile)
        if list_only:
            broken_variants.print_list(planted)
            return 0
        for option, file in (("--json", json_file), ("--markdown", markdown)):
            if file is not None and file != "-":
                check_writable(Path(file), option)
        wish = broken_variants.Wish(matrix, workers or broken_variants.AT_ONCE, json_file, markdown)
        with orderly_end():
            return broken_variants.run(planted, run, wish)
    if list_only:
        _print_list(run)
        return 0
    if not run:
        raise click.UsageError(_why_none(known, asked, profile or DEFAULT_PROFILE))
    if dry_run:
        click.echo(f"{len(run)} scenarios are well formed")
        return 0
    chosen = choose(target, profile, deployment, run)
    if chosen is None:
        return 0
    # The table of a few scenarios is about their rules.
    shown = {rule for scenario in run for rule in scenario.rules} if asked is None and (scenarios or ids) else asked
    reports = ReportWish(report_dir, json_file, junit_file, markdown, html_file, step_summary, implementation, date)
    tally, files = Tally(), ReportFiles(reports, os.environ)
    # With the report on standard output, the table goes where it does not disturb.
    console = Console(stderr=json_file == "-", width=None if sys.stdout.isatty() else 118)
    terminal = TerminalReport(console, shown)
    order = Order(chosen.profile, target, shipped, strict, chosen.words, chosen.subject_form)
    plugin = ConformancePlugin(
        open_pool=lambda: Pool(
            chosen.make_target, chosen.make_endpoint, workers or chosen.workers, order, chosen.make_predictor
        ),
        reports=(tally, *files.reports, terminal),
        wanted=wanted,
        rules=rules_of(chosen.profile),
        target=target,
        profile=chosen.profile,
        version=importlib.metadata.version("kong-metering-harness"),
        strict=strict,
        subject_form=chosen.subject_form,
        command=order.command,
    )
    with orderly_end():
        code = _run_pytest([Path(scenario.file) for scenario in run], plugin)
    for line in plugin.left_behind:
        click.echo(f"kong-metering: {line}", err=True)
    if chosen.logs is not None and not tally.good:
        for file in chosen.logs.write(report_dir):
            click.echo(f"kong-metering: log of a gateway: {file}", err=True)
    if plugin.aborted is not None:
        raise CannotContinue(plugin.aborted)
    if code == pytest.ExitCode.INTERRUPTED or tally.finished is None:
        raise click.Abort
    written = ", ".join(map(str, files.write()))
    console.print(f"Report: {written}", style="dim", markup=False, highlight=False)
    if tally.scenarios and not tally.judged:
        reason = tally.scenarios[0].reason
        raise CannotContinue(f"nothing was tested: every scenario was skipped, the first because: {reason}")
    return 0 if tally.good else EXIT_WRONG


def _why_none(known: Sequence[Scenario], rules: Set[str] | None, profile: str) -> str:
    """Return why none of the scenarios would run."""
    about = [scenario for scenario in known if rules is None or not rules.isdisjoint(scenario.rules)]
    if not about:
        return "no scenario is about these rules; conformance --list shows all"
    return f"these are no rules of profile {profile}: give --profile {about[0].profile.name}"


def _run_pytest(files: Sequence[Path], plugin: ConformancePlugin) -> int:
    """Run pytest in this process, untouched by whatever configuration lies around, and silent."""
    options = ["-c", str(_INI), "--rootdir", str(_INI.parent), "--noconftest", "--assert=plain", "--capture=no"]
    options += [
        "-p",
        "no:terminal",
        "-p",
        "no:faulthandler",
        "-p",
        "no:threadexception",
        "-p",
        "no:unraisableexception",
    ]
    with _environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTEST_ADDOPTS=None, PYTEST_PLUGINS=None):
        return int(pytest.main([*options, *map(str, files)], plugins=[plugin]))


@contextmanager
def _environment(**values: str | None) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}

    def put(new: dict[str, str | None]) -> None:
        for name, value in new.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    put(values)
    try:
        yield
    finally:
        put(before)


def _print_list(scenarios: Sequence[Scenario]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Scenario", no_wrap=True)
    table.add_column("Rules")
    table.add_column("Behaviour")
    for scenario in scenarios:
        table.add_row(scenario.id, ", ".join(scenario.rules), scenario.title)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False).print(table)


__all__ = ["EXIT_USAGE", "command"]
