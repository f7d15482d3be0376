"""``kong-metering capture diff``: compare the accepted events of two captures.

Events are paired by id and source, or by --key: for two runs of the same traffic a field that stays the same, such as
data.request_id. Exit code 1 when the captures differ.
"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from harness.capture.difference import ALWAYS_NEW, DEFAULT_KEY, Change, differences, lacking
from harness.capture.reader import CaptureReader

from .capture_options import reading
from .main import EXIT_WRONG, CannotContinue


@click.command(help=__doc__)
@click.argument("a", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("b", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--key", multiple=True, metavar="PATH", help="Pair events by this field; ids, times may differ.")
@click.option("--ignore", multiple=True, metavar="PATH", help="Leave out this field and what is in it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(a: Path, b: Path, key: tuple[str, ...], ignore: tuple[str, ...], as_json: bool) -> int:
    """Print one line for each difference between captures ``a`` and ``b``."""
    paths = [tuple(path.split(".")) for path in key]
    ignored = [tuple(path.split(".")) for path in ignore]
    if paths:
        ignored += ALWAYS_NEW
    differ, unpaired = False, 0
    first, second = CaptureReader(a), CaptureReader(b)
    with reading():
        missing = lacking(first, second, paths)
        if missing:
            names = ", ".join(".".join(path) for path in missing)
            raise CannotContinue(f"--key: no accepted event in {a} or {b} has {names}; export shows what they have")
        for change in differences(first, second, paths or DEFAULT_KEY, ignored):
            differ = True
            unpaired += bool(paths) and all(value is None for value in change.key)
            click.echo(msgspec.json.encode(change) if as_json else _line(change))
    if unpaired:
        click.echo(f"kong-metering: {unpaired} events have no {' or '.join(key)} and are paired with none", err=True)
    return EXIT_WRONG if differ else 0


def _line(change: Change) -> str:
    key = " ".join(value if isinstance(value, str) else msgspec.json.encode(value).decode() for value in change.key)
    if change.kind != "changed":
        return f"{'+' if change.kind == 'added' else '-'} {key}"
    fields = (
        f"{name} {msgspec.json.encode(before).decode()} → {msgspec.json.encode(after).decode()}"
        for name, (before, after) in change.fields.items()
    )
    return f"~ {key}: {', '.join(fields)}"
