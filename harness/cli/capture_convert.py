"""``kong-metering capture convert``: a capture of an older version as one of this version."""

from __future__ import annotations

from pathlib import Path

import click

from harness.capture.reader import CaptureReader
from harness.capture.store import CaptureWriter

from .capture_options import reading
from .main import CannotContinue


@click.command(help=__doc__)
@click.argument("old", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("new", type=click.Path(dir_okay=False, path_type=Path))
def command(old: Path, new: Path) -> None:
    """Copy every request of ``old`` into the new file ``new``; ``old`` stays as it is."""
    if new.exists():
        raise CannotContinue(f"{new}: exists already; choose another name")
    with reading():
        reader = CaptureReader(old)
        requests = iter(reader.requests())
        first = next(requests, None)  # what is no capture leaves no file behind
        with CaptureWriter(new) as writer:
            try:
                copied = 0
                if first is not None:
                    writer.append(first)
                    copied = 1
                for request in requests:
                    writer.append(request)
                    copied += 1
            except BaseException:
                writer.discard()
                raise
    torn = f", {reader.torn} incomplete lines left out" if reader.torn else ""
    click.echo(f"{new}: {copied} requests{torn}")
