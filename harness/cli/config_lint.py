"""``kong-metering config lint``: advice on a configuration that the gateway would take.

Lint tells what is legal and yet loses events, bills wrongly or gives a secret away. What a gateway refuses is for
``config validate`` to tell.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from harness.plugin_config.config_file import ConfigFile
from harness.plugin_config.lint import json_report, plain, sarif
from harness.plugin_config.lint.finding import Finding, Severity
from harness.plugin_config.lint.linter import lint
from harness.plugin_config.lint.registry import RULES, NoSuchRule, selected_rules
from harness.plugin_config.lint.rule import LintContext, Rule
from harness.plugin_config.plugin_kinds import plugin_kind
from harness.plugin_config.reading import read_config_file
from plugin_emulator.documents import InvalidDocument, Problem
from plugin_emulator.metering_and_billing.config import GATEWAY_VERSIONS, NEWEST_GATEWAY

from .durations import Duration
from .json_lines import output_file
from .main import EXIT_WRONG, CannotContinue
from .simulate import FiniteRange

_FORMATS = ("plain", "json", "sarif")
_NEVER = "never"


@click.command(help=__doc__)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--gateway", type=click.Choice(GATEWAY_VERSIONS), default=NEWEST_GATEWAY, help="Gateway version.")
@click.option(
    "--rps",
    type=FiniteRange(min=0, max=1e6, min_open=True),
    help="Events per second of one worker (an AI request makes up to three).",
)
@click.option("--rtt", type=Duration(min_open=True), default=0.05, help="How long one POST takes (default 50ms).")
@click.option("--together", is_flag=True, help="The files are one gateway's; otherwise each is by itself.")
@click.option(
    "--fail-severity",
    type=click.Choice([*(severity.value for severity in Severity), _NEVER]),
    default=Severity.ERROR.value,
    help="Exit with 1 for findings at least this bad (default error).",
)
@click.option("--format", "format_name", type=click.Choice(_FORMATS), help="How to report (default plain).")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("-o", "--output", default="-", metavar="FILE", help="Where to write; - for stdout (the default).")
@click.option("--list", "list_rules", is_flag=True, help="List the rules, with their reasons.")
@click.option("--only", multiple=True, metavar="RULE", help="Check only this rule; may be repeated.")
@click.option("--disable", multiple=True, metavar="RULE", help="Do not check this rule; may be repeated.")
@click.option("--enable", multiple=True, metavar="RULE", help="Check this rule that is off by default.")
def command(
    files: tuple[Path, ...],
    gateway: str,
    rps: float | None,
    rtt: float,
    together: bool,
    fail_severity: str,
    format_name: str | None,
    as_json: bool,
    output: str,
    list_rules: bool,
    only: tuple[str, ...],
    disable: tuple[str, ...],
    enable: tuple[str, ...],
) -> int:
    """Lint every metering plugin in ``files``: exit 0, or 1 when a finding is as bad as ``fail_severity``."""
    if as_json and format_name not in (None, "json"):
        raise click.UsageError(f"give either --json or --format {format_name}")
    how = "json" if as_json else format_name or "plain"
    if list_rules:
        return _list(how, output)
    if not files:
        raise click.UsageError("say which files: kong-metering config lint kong.yaml")
    try:
        rules = selected_rules(only, disable, enable)
    except NoSuchRule as reason:
        raise click.UsageError(f"{reason}; --list shows all") from None
    context = LintContext(gateway, rps, rtt, together)
    read = _read(files)
    findings = lint(read, context, rules)
    _write(_report(how, findings, read, context, rules), output)
    failing = fail_severity != _NEVER and any(each.severity.at_least(Severity(fail_severity)) for each in findings)
    return EXIT_WRONG if failing else 0


def _read(paths: Sequence[Path]) -> list[ConfigFile]:
    """Read the files, each once. Raises InvalidDocument for all that cannot be read at once."""
    problems: list[Problem] = []
    files: list[ConfigFile] = []
    for path in dict.fromkeys(paths):
        try:
            files.append(read_config_file(path))
        except InvalidDocument as error:
            problems += error.problems
    if problems:
        raise InvalidDocument(problems)
    if not _metering(files):
        names = ", ".join(file.file for file in files)
        raise CannotContinue(f"{names}: there is no metering plugin to lint")
    return files


def _metering(files: Iterable[ConfigFile]) -> int:
    return sum(plugin_kind(plugin.name) is not None for file in files for plugin in file.plugins)


def _report(
    how: str, findings: Sequence[Finding], files: Sequence[ConfigFile], context: LintContext, rules: Sequence[Rule]
) -> Iterable[Text] | str:
    if how == "json":
        return json.dumps(json_report.report(findings, context, _metering(files), len(files)), indent=2)
    if how == "sarif":
        return json.dumps(sarif.report(findings, rules, Path.cwd()), indent=2)
    return plain.report_lines(findings, _metering(files), len(files))


def _list(how: str, output: str) -> int:
    if how == "sarif":
        raise click.UsageError("--list is plain or JSON; a SARIF report holds the rules that were checked")
    _write(json.dumps(json_report.rule_list(RULES), indent=2) if how == "json" else plain.rule_lines(RULES), output)
    return 0


def _write(report: Iterable[Text] | str, output: str) -> None:
    """Write a report, in colours if it is one for people and goes to a terminal."""
    if not isinstance(report, str) and output == "-" and sys.stdout.isatty():
        console = Console(highlight=False, markup=False, emoji=False)
        for line in report:
            console.print(line, soft_wrap=True)
        return
    text = report if isinstance(report, str) else "\n".join(line.plain for line in report)
    with output_file(output) as file:
        file.write(f"{text}\n".encode("utf-8", "backslashreplace"))
