"""What changed since the last run, on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from loadtests.report.comparison import Comparison

_STYLES = {"better": "green", "worse": "red"}


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print what changed, or why nothing can be said of it."""
    console.print(comparison.heading)
    if comparison.passed_over:
        console.print(f"{comparison.passed_over:,} lines of the trend file are no runs and were passed over")
    changes = comparison.changes()
    if not changes:
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("Since then")
    for name in ("before", "now", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for one in changes:
        table.add_row(one.name, one.before, one.now, one.change, one.judgement, style=_STYLES.get(one.judgement))
    console.print(table)
