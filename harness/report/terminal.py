"""The run for a person at a terminal: rules × verdicts, then each failure with its evidence."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.conformance.outcome import Event, RunFinished, ScenarioFinished, Tally, Verdict
from harness.report.evidence import GROUPS, SHOWN, counted, lines, predictions, subject_form_words, visible

_STYLES = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.ERROR: "bold magenta",
    Verdict.FINDING: "yellow",
    Verdict.SKIP: "dim",
    Verdict.NOT_COVERED: "dim yellow",
}


class TerminalReport:
    """Prints to ``console`` when the run is over; ``chosen`` limits the table to these rules."""

    def __init__(self, console: Console, chosen: set[str] | None = None) -> None:
        self._console = console
        self._chosen = chosen
        self._tally = Tally()

    def take(self, event: Event) -> None:
        """Take the next event in; print when it was the last."""
        self._tally.take(event)
        if isinstance(event, RunFinished) and self._tally.scenarios:
            self._print()

    def _print(self) -> None:
        tally, console = self._tally, self._console
        console.print(self._table())
        for scenario in tally.scenarios:
            if scenario.verdict in SHOWN:
                self._print_scenario(scenario)
        for scenario in tally.scenarios:
            if scenario.verdict is Verdict.SKIP:
                console.print(f"skipped {scenario.id}: {scenario.reason}", style="dim", markup=False)
        for scenario in tally.scenarios:
            if scenario.prediction and scenario.verdict not in SHOWN:
                console.print(f"{scenario.verdict.value} {scenario.id}, not as predicted:", markup=False)
                for line in predictions(scenario):
                    console.print("  " + line, markup=False, highlight=False, soft_wrap=True)
        covered = [rule for rule in tally.rules if tally.verdict(rule) not in (Verdict.NOT_COVERED, Verdict.SKIP)]
        coverage = f"{len(covered)} of {len(tally.rules)}"
        if self._chosen is not None:
            asked = [rule for rule in tally.rules if rule in self._chosen]
            coverage += f" ({sum(rule in covered for rule in asked)} of the {len(asked)} asked for)"
        counts = ", ".join(
            f"{tally.count(verdict)} {verdict.value}"
            for verdict in Verdict
            if verdict is not Verdict.NOT_COVERED and (tally.count(verdict) or verdict is Verdict.PASS)
        )
        assert tally.started is not None and tally.finished is not None
        console.print(
            f"{counted(len(tally.scenarios), 'scenario')} in {tally.finished.seconds:.1f} s "
            f"against {tally.started.target} as {tally.started.profile}: {counts}. "
            f"Rules covered: {coverage}.",
            style="bold green" if tally.good else "bold red",
            markup=False,
            highlight=False,
        )
        console.print(f"Form of Consumers' names: {subject_form_words(tally)}.", style="dim", highlight=False)

    def _table(self) -> Table:
        table = Table(title="Rules × verdicts", title_justify="left", header_style="bold", pad_edge=False)
        table.add_column("Rule", no_wrap=True)
        table.add_column("Verdict", no_wrap=True)
        table.add_column("Scenarios", justify="right", no_wrap=True)
        table.add_column("What it says")
        group = ""
        for rule in self._tally.rules.values():
            if self._chosen is not None and rule.id not in self._chosen:
                continue
            if rule.group != group:
                group = rule.group
                table.add_section()
                table.add_row(group, "", "", Text(GROUPS.get(group, group), style="bold"))
            verdict = self._tally.verdict(rule.id)
            scenarios = self._tally.of_rule(rule.id)
            mark = " (" + ", ".join(rule.provenance) + ")" if rule.unsettled else ""
            table.add_row(
                rule.id,
                Text(verdict.value, style=_STYLES[verdict]),
                str(len(scenarios)) if scenarios else "",
                escape(rule.text) + f"[dim]{mark}[/dim]",
            )
        return table

    def _print_scenario(self, scenario: ScenarioFinished) -> None:
        out = self._console
        out.print()
        heading = f"{scenario.verdict.value.upper()}  {scenario.id}: {visible(scenario.title)}"
        out.print(Text(heading, _STYLES[scenario.verdict]))
        for line in lines(scenario, self._tally):
            out.print("  " + line, markup=False, highlight=False, soft_wrap=True)
