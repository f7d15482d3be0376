"""``kong-metering capture diff``: compare the accepted events of two captures.

Events are paired by id and source, or by --key: for two runs of the same traffic a field that stays the same, such as
data.request_id. Exit code 1 when the captures differ.
"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from harness.capture.difference import ALWAYS_NEW, DEFAULT_KEY, Change, differences
from harness.capture.reader import CaptureReader

from .capture_options import reading
from .main import EXIT_WRONG


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
    differ = False
    with reading():
        for change in differences(CaptureReader(a), CaptureReader(b), paths or DEFAULT_KEY, ignored):
            differ = True
            click.echo(msgspec.json.encode(change) if as_json else _line(change))
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
