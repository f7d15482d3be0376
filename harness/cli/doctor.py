"""``kong-metering doctor``: what is there, and what to do about the rest."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.cli.main import EXIT_WRONG
from harness.targets.surroundings import PURPOSES, Check, Purpose, good, look

_STYLES = {"ok": "green", "missing": "bold red", "note": "yellow"}


@click.command()
@click.option(
    "--for",
    "purpose",
    type=click.Choice(PURPOSES),
    default="emulator",
    show_default=True,
    help="What it must do for.",
)
@click.option(
    "--license-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Kong's licence (default: KONG_LICENSE_DATA).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(purpose: Purpose, license_file: Path | None, as_json: bool) -> int:
    """Say what of engine, images, licence, ports and programs is there, and what to do about the rest.

    Ends with 0 when everything is there that --for needs, else with 1. Nothing is changed.
    """
    checks = look(os.environ, license_file)
    fine = good(checks, purpose)
    if as_json:
        document = {"for": purpose, "ok": fine, "checks": [asdict(check) for check in checks]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _print(checks, purpose, fine)
    return 0 if fine else EXIT_WRONG


def _print(checks: list[Check], purpose: Purpose, fine: bool) -> None:
    console = Console(width=None if sys.stdout.isatty() else 118, highlight=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        # Missing is what this purpose cannot do without; the same thing is worth a note for another.
        state = check.state if check.state != "missing" or purpose in check.needed_for else "note"
        told = Text(check.found)
        if check.advice:
            told.append(f"\n→ {check.advice}", style="dim")
        table.add_row(Text(state, style=_STYLES[state]), check.name, told)
    console.print(table)
    options = " ".join(check.option for check in checks if check.option and purpose in check.needed_for)
    words = f"everything is there{f', with {options}' if options else ''}" if fine else "something is missing"
    console.print(f"For {purpose}: {words}.", style="bold green" if fine else "bold red")
