"""``kong-metering conformance --self-check``: the suite against deliberately broken variants of the emulator."""

from __future__ import annotations

import importlib.metadata
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from harness.cli.main import EXIT_USAGE, EXIT_WRONG, CannotContinue
from harness.conformance import self_check as checking
from harness.conformance.mutants import Mutant, read_mutants
from harness.conformance.scenario import Scenario
from harness.conformance.self_check import Fate, MutantResult, SelfCheck, SelfCheckUnusableError
from harness.report import self_check as report
from harness.targets.fake_ingest import FakeIngest
from harness.targets.target import TargetUnavailableError

#: Mutants side by side: twice the cores of a small machine, as each waits for half of its time.
AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Wish:
    """How the self-check was asked for; ``json_file`` ``-`` is standard output."""

    matrix: bool = False
    at_once: int = AT_ONCE
    json_file: str | None = None
    markdown: Path | None = None


def chosen(ids: Sequence[str], profile: str | None = None, catalogue: Path | None = None) -> list[Mutant]:
    """Return the mutants of these ids, all for none, and of those the ones that are judged by ``profile``.

    Raises click.UsageError, InvalidDocument.
    """
    mutants = read_mutants() if catalogue is None else read_mutants(catalogue)
    unknown = sorted(set(ids) - {mutant.id for mutant in mutants})
    if unknown:
        raise click.UsageError(f"no mutant has id {unknown[0]!r}; conformance --self-check --list shows all")
    wanted = [mutant for mutant in mutants if not ids or mutant.id in ids]
    planted = [mutant for mutant in wanted if profile in (None, mutant.profile)]
    if not planted:
        raise click.UsageError(f"none of these mutants is judged by profile {profile}, but by {wanted[0].profile}")
    return planted


def print_list(mutants: Sequence[Mutant]) -> None:
    """Print id, rules and defect of each mutant."""
    for mutant in mutants:
        click.echo(f"{mutant.id}  [{', '.join(mutant.rules)}]  {mutant.defect}")


def run(mutants: Sequence[Mutant], scenarios: Sequence[Scenario], wish: Wish) -> int:
    """Run the self-check; return the exit code. Raises CannotContinue."""
    begun = time.monotonic()
    console = Console(stderr=wish.json_file == "-", width=None if sys.stdout.isatty() else 118)
    try:
        results = _results(mutants, scenarios, wish, console)
    except (SelfCheckUnusableError, TargetUnavailableError) as error:
        raise CannotContinue(str(error)) from None
    seconds = time.monotonic() - begun
    rows = report.matrix(results, scenarios) if wish.matrix else None
    report.print_results(console, results)
    if rows is not None:
        report.print_matrix(console, rows)
    _write(results, rows, seconds, wish)
    good = all(result.fate is Fate.KILLED for result in results)
    style = "bold green" if good else "bold red"
    console.print(report.summary(results, seconds), style=style, markup=False, highlight=False)
    # Of a few mutants alone it cannot be said what the others need.
    idle = rows.idle if rows is not None and len(mutants) == len(read_mutants()) else []
    if idle or any(result.fate is Fate.SURVIVED for result in results):
        return EXIT_WRONG
    return 0 if good else EXIT_USAGE


def _results(
    mutants: Sequence[Mutant], scenarios: Sequence[Scenario], wish: Wish, console: Console
) -> list[MutantResult]:
    ingest = FakeIngest()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    try:
        ports = msgspec.to_builtins(ingest.start().ports)
        command = checking.child_command("harness.cli.mutant_run")
        check = SelfCheck(scenarios, command, ports, at_once=wish.at_once, thorough=wish.matrix)
        with bar:
            task = bar.add_task("the emulator as it is", total=len(mutants))
            passed = check.prove_the_emulator(mutants)
            console.print(f"the emulator as it is: {passed} scenarios pass", highlight=False)
            bar.update(task, description="mutants")

            def told(result: MutantResult) -> None:
                bar.advance(task)
                if not console.is_terminal or result.fate is not Fate.KILLED:
                    took = f"{result.seconds:.1f} s"
                    console.print(f"{result.mutant.id}: {report.line(result)}, {took}", markup=False, highlight=False)

            return check.run(mutants, told)
    finally:
        ingest.stop()


def _write(results: Sequence[MutantResult], rows: report.Matrix | None, seconds: float, wish: Wish) -> None:
    files: list[tuple[Path, str]] = []
    if wish.json_file is not None:
        version = importlib.metadata.version("kong-metering-harness")
        text = report.text(report.document(results, rows, seconds, version))
        if wish.json_file == "-":
            click.echo(text, nl=False)
        else:
            files.append((Path(wish.json_file), text))
    if wish.markdown is not None and rows is not None:
        files.append((wish.markdown, report.markdown(results, rows)))
    for path, text in files:
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise CannotContinue(f"{path}: cannot be written: {error.strerror}") from None
