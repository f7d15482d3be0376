"""What the self-check found: for a person at a terminal, as JSON, and as the Markdown page of the documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.conformance.scenario import Scenario
from harness.conformance.self_check import Fate, MutantResult

FORMAT = "kong-metering-self-check/1"

_STYLES = {Fate.KILLED: "green", Fate.SURVIVED: "bold red", Fate.BROKEN: "bold magenta"}


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One scenario with the mutants it kills, and those that nothing else kills."""

    scenario: str
    title: str
    kills: tuple[str, ...]
    alone: tuple[str, ...]


def check_rows(results: Sequence[MutantResult], scenarios: Sequence[Scenario]) -> list[CheckRow]:
    """Return a row for each scenario, in the order of ``scenarios``."""
    killers = {result.mutant.id: {kill.scenario for kill in result.kills} for result in results}
    rows: list[CheckRow] = []
    for scenario in scenarios:
        kills = tuple(mutant for mutant, by in killers.items() if scenario.id in by)
        alone = tuple(mutant for mutant in kills if killers[mutant] == {scenario.id})
        rows.append(CheckRow(scenario.id, scenario.title, kills, alone))
    return rows


def summary(results: Sequence[MutantResult], seconds: float) -> str:
    """Return the run in one sentence."""
    counts = {fate: sum(result.fate is fate for result in results) for fate in Fate}
    what = "1 mutant" if len(results) == 1 else f"{len(results)} mutants"
    text = f"{what} in {seconds:.0f} s: {counts[Fate.KILLED]} killed, {counts[Fate.SURVIVED]} survived"
    return text + (f", {counts[Fate.BROKEN]} broken." if counts[Fate.BROKEN] else ".")


def line(result: MutantResult) -> str:
    """Return what became of one mutant, for the log of a run."""
    if result.kills:
        kill = result.kills[0]
        return f"{result.fate.value} by {kill.scenario} ({kill.blames(result.mutant)})"
    return result.fate.value + (f": {result.reason}" if result.reason else "")


def print_results(console: Console, results: Sequence[MutantResult]) -> None:
    """Print mutant → what killed it, then each one that was not killed with what it is and where."""
    table = Table(title="Mutants", title_justify="left", header_style="bold", pad_edge=False)
    table.add_column("Mutant", no_wrap=True)
    table.add_column("Fate", no_wrap=True)
    table.add_column("Rule", no_wrap=True)
    table.add_column("Scenario")
    for result in results:
        fate = f"[{_STYLES[result.fate]}]{result.fate.value}[/]"
        kill = result.kills[0] if result.kills else None
        rule = kill.blames(result.mutant) if kill else ", ".join(result.mutant.rules)
        table.add_row(result.mutant.id, fate, rule, kill.scenario if kill else "")
    console.print(table)
    for result in results:
        if result.fate is not Fate.KILLED:
            _print_failure(console, result)


def print_matrix(console: Console, rows: Sequence[CheckRow]) -> None:
    """Print scenario → mutants it kills."""
    table = Table(title="Scenarios × mutants", title_justify="left", header_style="bold", pad_edge=False)
    table.add_column("Scenario", no_wrap=True)
    table.add_column("Kills", justify="right")
    table.add_column("Only this one kills")
    for row in rows:
        alone = ", ".join(row.alone) or ("[dim]nothing[/]" if row.kills else "[yellow]nothing, and kills nothing[/]")
        table.add_row(row.scenario, str(len(row.kills)), alone)
    console.print(table)


def document(
    results: Sequence[MutantResult], rows: Sequence[CheckRow] | None, seconds: float, version: str
) -> dict[str, Any]:
    """Return the self-check as plain data; ``rows`` is None when not everything was run."""
    data: dict[str, Any] = {
        "format": FORMAT,
        "harness_version": version,
        "seconds": round(seconds, 3),
        "ok": all(result.fate is Fate.KILLED for result in results),
        "totals": {fate.value: sum(result.fate is fate for result in results) for fate in Fate},
        "mutants": [_mutant(result) for result in results],
    }
    if rows is not None:
        data["scenarios"] = [{"id": row.scenario, "kills": row.kills, "alone": row.alone} for row in rows]
    return data


def text(data: Mapping[str, Any]) -> str:
    """Return ``document`` as JSON text."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def markdown(results: Sequence[MutantResult], rows: Sequence[CheckRow]) -> str:
    """Return the page of the documentation: what is planted, and which scenario kills it."""
    killed = sum(result.fate is Fate.KILLED for result in results)
    lines = [
        _INTRODUCTION.format(mutants=len(results), killed=killed, scenarios=len(rows)),
        "## Mutants",
        "",
        "| mutant | the planted defect | rules | killed by |",
        "|---|---|---|---|",
    ]
    for result in results:
        mutant = result.mutant
        by = [f"`{kill.scenario}`" for kill in result.kills]
        first = ", ".join(by[:2]) + (f" and {len(by) - 2} more" if len(by) > 2 else "")
        rules = ", ".join(mutant.rules)
        lines.append(f"| `{mutant.id}` | {_cell(mutant.defect)} | {rules} | {first or '**nothing**'} |")
    lines += [
        "",
        "## Scenarios",
        "",
        "How many mutants each scenario kills, and which of them it alone does. A scenario that kills none that no",
        "other kills still says something about a gateway; the suite's strength only does not rest on it.",
        "",
        "| scenario | kills | alone |",
        "|---|---:|---|",
    ]
    for row in rows:
        alone = ", ".join(f"`{mutant}`" for mutant in row.alone)
        lines.append(f"| `{row.scenario}` | {len(row.kills)} | {alone or ('' if row.kills else '*kills nothing*')} |")
    return "\n".join(lines) + "\n"


_INTRODUCTION = """\
# Who tests the tests

A conformance suite that finds nothing may be a suite that sees nothing. So the emulator is broken on purpose, one
defect at a time, and the suite is run against each broken variant: a **mutant**. One is *killed* when a scenario
fails and blames one of the rules the defect breaks; a *survivor* is a hole in the suite; one that does not even start
is *broken* and proves nothing.

```
kong-metering conformance --self-check                  # as in CI: stops at the first kill of each mutant
kong-metering conformance --self-check --mutant window-restarted-by-each-entry
kong-metering conformance --self-check --matrix --markdown docs/self-check.md   # everything to the end; this page
```

Before any mutant, the emulator as it is has to pass. Exit codes: 0 all killed, 1 one survived, 2 the check itself is
not usable (the emulator fails, a mutant is broken or its patch no longer applies).

The catalogue is [mutants.yaml](../harness/conformance/mutants.yaml): an id, a sentence, the rules that must catch it,
and the patch (`old` must be in the file exactly once). A new check comes with its mutant. Patches are applied to a
copy of the package that only a child process sees.

At the last count {mutants} mutants, {killed} killed, by {scenarios} scenarios.
"""


def _cell(words: str) -> str:
    return words.replace("|", "\\|").replace("\n", " ")


def _print_failure(console: Console, result: MutantResult) -> None:
    mutant = result.mutant
    files = ", ".join(f"plugin_emulator/{file}" for file in mutant.files)
    console.print(f"\n[{_STYLES[result.fate]}]{result.fate.value.upper()}[/] {mutant.id}: {escape(mutant.defect)}")
    console.print(f"  planted in {files}; should be caught by {', '.join(mutant.rules)}", highlight=False)
    if result.reason:
        console.print(f"  {escape(result.reason)}", highlight=False)
    for failed in result.others[:3]:
        blamed = ", ".join(failed.rules)
        console.print(f"  {failed.scenario} fails, but blames {blamed} only", highlight=False)


def _mutant(result: MutantResult) -> dict[str, Any]:
    mutant = result.mutant
    return {
        "id": mutant.id,
        "defect": mutant.defect,
        "rules": mutant.rules,
        "profile": mutant.profile,
        "files": mutant.files,
        "fate": result.fate.value,
        "reason": result.reason or None,
        "seconds": round(result.seconds, 3),
        "scenarios_run": result.scenarios,
        "killed_by": [
            {"scenario": kill.scenario, "rules": kill.rules, "messages": dict(kill.messages)} for kill in result.kills
        ],
        "also_failed": [{"scenario": failed.scenario, "rules": failed.rules} for failed in result.others],
    }
