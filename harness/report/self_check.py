"""What the self-check found: for a person at a terminal, as JSON, and as the Markdown page of the documentation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.conformance.check_catalogue import Check
from harness.conformance.scenario import Scenario
from harness.conformance.self_check import Fate, MutantResult

FORMAT = "kong-metering-self-check/1"

_STYLES = {Fate.KILLED: "green", Fate.SURVIVED: "bold red", Fate.BROKEN: "bold magenta"}


@dataclass(frozen=True, slots=True)
class ScenarioRow:
    """One scenario with the mutants it kills, and those that no other scenario kills.

    ``also`` are the scenarios of its rules (of any, when none of those does) that kill some of the same, those with
    most in common first.
    """

    scenario: str
    kills: tuple[str, ...]
    alone: tuple[str, ...]
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One check with the mutants it kills, and those that would survive without it."""

    check: Check
    kills: tuple[str, ...]
    alone: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """What of the suite kills what: a row for each scenario and each check."""

    scenarios: Sequence[ScenarioRow]
    checks: Sequence[CheckRow]

    @property
    def idle(self) -> list[str]:
        """Scenarios that kill nothing, and checks that could go without a mutant surviving."""
        return [
            *(row.scenario for row in self.scenarios if not row.kills),
            *(row.check.value for row in self.checks if not row.alone),
        ]


def matrix(results: Sequence[MutantResult], scenarios: Sequence[Scenario]) -> Matrix:
    """Return the matrix of a run of everything, in the order of ``scenarios`` and of the checks' catalogue."""
    return Matrix(_scenario_rows(results, scenarios), _check_rows(results))


def _scenario_rows(results: Sequence[MutantResult], scenarios: Sequence[Scenario]) -> list[ScenarioRow]:
    killers = {result.mutant.id: {kill.scenario for kill in result.kills} for result in results}
    rules = {scenario.id: set(scenario.rules) for scenario in scenarios}
    rows: list[ScenarioRow] = []
    for scenario in scenarios:
        kills = tuple(mutant for mutant, by in killers.items() if scenario.id in by)
        alone = tuple(mutant for mutant in kills if killers[mutant] == {scenario.id})
        common = Counter(other for mutant in kills for other in killers[mutant] if other != scenario.id)
        kin = [other for other in common if not rules[scenario.id].isdisjoint(rules[other])]
        also = sorted(kin or common, key=lambda other: (-common[other], other))
        rows.append(ScenarioRow(scenario.id, kills, alone, tuple(also)))
    return rows


def _check_rows(results: Sequence[MutantResult]) -> list[CheckRow]:
    killers = {result.mutant.id: result.checks for result in results}
    rows: list[CheckRow] = []
    for check in Check:
        kills = tuple(mutant for mutant, by in killers.items() if check in by)
        rows.append(CheckRow(check, kills, tuple(mutant for mutant in kills if killers[mutant] == {check})))
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


def print_matrix(console: Console, rows: Matrix) -> None:
    """Print scenario and check → mutants it kills."""
    nothing = "[dim]nothing[/]"
    for title, named in (
        ("Scenario", [(row.scenario, row.kills, row.alone) for row in rows.scenarios]),
        ("Check", [(row.check.value, row.kills, row.alone) for row in rows.checks]),
    ):
        table = Table(title=f"{title}s × mutants", title_justify="left", header_style="bold", pad_edge=False)
        table.add_column(title, no_wrap=True)
        table.add_column("Kills", justify="right")
        table.add_column("Only this one kills")
        for name, kills, alone in named:
            table.add_row(name, str(len(kills)), ", ".join(alone) or nothing)
        console.print(table)
    for name in rows.idle:
        console.print(f"[bold red]IDLE[/] {name}: no mutant would survive without it", highlight=False)


def document(results: Sequence[MutantResult], rows: Matrix | None, seconds: float, version: str) -> dict[str, Any]:
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
        data["scenarios"] = [{"id": row.scenario, "kills": row.kills, "alone": row.alone} for row in rows.scenarios]
        data["checks"] = [
            {"id": row.check, "looks_at": row.check.looks_at, "kills": row.kills, "alone": row.alone}
            for row in rows.checks
        ]
    return data


def text(data: Mapping[str, Any]) -> str:
    """Return ``document`` as JSON text."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def markdown(results: Sequence[MutantResult], rows: Matrix) -> str:
    """Return the page of the documentation: what is planted, and which scenario and which check kills it."""
    killed = sum(result.fate is Fate.KILLED for result in results)
    counts = {"mutants": len(results), "killed": killed, "scenarios": len(rows.scenarios), "checks": len(rows.checks)}
    lines = [
        _INTRODUCTION.format(**counts),
        "## Mutants",
        "",
        "| mutant | the planted defect | rules | killed by |",
        "|---|---|---|---|",
    ]
    for result in results:
        mutant = result.mutant
        by = _some([kill.scenario for kill in result.kills]) or "**nothing**"
        lines.append(f"| `{mutant.id}` | {_cell(mutant.defect)} | {', '.join(mutant.rules)} | {by} |")
    lines += [_CHECKS]
    for check in rows.checks:
        words, alone = _cell(check.check.looks_at), _some(check.alone) or "**nothing**"
        lines.append(f"| `{check.check}` | {words} | {len(check.kills)} | {len(check.alone)} | {alone} |")
    lines += [_SCENARIOS]
    for row in rows.scenarios:
        alone = ", ".join(f"`{mutant}`" for mutant in row.alone) or f"*also proven by* {_some(row.also)}"
        lines.append(f"| `{row.scenario}` | {len(row.kills)} | {alone if row.kills else '*kills nothing*'} |")
    return "\n".join(lines) + "\n"


_INTRODUCTION = """\
# Who tests the tests

A conformance suite that finds nothing may be a suite that sees nothing. So the emulator is broken on purpose, one
defect at a time, and the suite is run against each broken variant: a **mutant**. One is *killed* when a scenario
fails and blames one of the rules the defect breaks; a *survivor* is a hole in the suite; one that does not even start
is *broken* and proves nothing.

```
kong-metering conformance --self-check                  # as in CI: stops at the first kill of each mutant
kong-metering conformance --self-check --profile amberflo-0.2     # the mutants of one profile
kong-metering conformance --self-check --mutant window-restarted-by-each-entry
kong-metering conformance --self-check --matrix --markdown docs/self-check.md   # everything to the end; this page
```

Before any mutant, the emulator as it is has to pass. Exit codes: 0 all killed, 1 one survived (with `--matrix` also:
a scenario kills none, or one of the checks could go without a mutant surviving), 2 the self-check is not usable (the
emulator fails, a mutant is broken or its patch no longer applies).

The catalogue is [mutants.yaml](../harness/conformance/mutants.yaml): an id, a sentence, the rules that must catch it,
and the patch (`old` must be in the file exactly once). A new check comes with its mutant. Patches are applied to a
copy of the package that only a child process sees. A mutant with `subject_form: auto` is judged as with
`--subject-form auto`.

At the last count {mutants} mutants, {killed} killed, by {scenarios} scenarios with {checks} checks.
"""

_CHECKS = """
## Checks

What a scenario can fail by ([check_catalogue.py](../harness/conformance/check_catalogue.py)), how many mutants each
check kills, and how many it alone: every failure, in whatever scenario, that blames a rule of such a mutant comes
from this one check. Without the check it would survive.

| check | what it looks at | kills | alone | such as |
|---|---|---:|---:|---|"""

_SCENARIOS = """
## Scenarios

How many mutants each scenario kills, and which of them it alone does. A scenario whose mutants others kill, too,
shows its rule another way on purpose: on the wire what is exact in virtual time, or as a user of the documents meets
it.

| scenario | kills | alone |
|---|---:|---|"""


def _some(names: Sequence[str]) -> str:
    """Return the first two of ``names`` and how many more there are; empty for none."""
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(f"`{name}`" for name in names[:2]) + more


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
            {
                "scenario": kill.scenario,
                "rules": kill.rules,
                "checks": sorted(kill.found_by(mutant)),
                "messages": dict(kill.messages),
            }
            for kill in result.kills
        ],
        "also_failed": [{"scenario": failed.scenario, "rules": failed.rules} for failed in result.others],
    }
