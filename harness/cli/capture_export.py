"""``kong-metering capture export``: a capture in another format.

jsonl, csv and parquet have a line or row for each event that the filters select; har has every request with such an
event, or every request when there is no filter.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click

from harness.capture.export import (
    MissingLibraryError,
    whole_entries,
    write_csv,
    write_har,
    write_json_lines,
    write_parquet,
)
from harness.capture.reader import CaptureReader
from harness.capture.record import CapturedRequest
from harness.capture.selection import Selection

from .capture_options import capture_option, reading, selection_options
from .json_lines import output_file
from .main import CannotContinue

_WRITERS = {"jsonl": write_json_lines, "csv": write_csv, "parquet": write_parquet}


@click.command(help=__doc__)
@capture_option
@selection_options
@click.option("--format", "form", type=click.Choice([*_WRITERS, "har"]), required=True, help="Format to write.")
@click.option("--out", default="-", show_default=True, metavar="FILE", help="File to write; - is standard output.")
def command(capture: Path, selection: Selection, form: str, out: str) -> None:
    """Write the selected events, or their requests, to ``out``, which appears when it is complete."""
    reader = CaptureReader(capture)
    try:
        with reading(), output_file(out) as file:
            if form == "har":
                write_har(_requests(reader, selection), file, version("kong-metering-harness"))
            else:
                _WRITERS[form](whole_entries(reader, selection), file)
    except MissingLibraryError as error:
        raise CannotContinue(str(error)) from None


def _requests(reader: CaptureReader, selection: Selection) -> Iterator[CapturedRequest]:
    if selection == Selection():
        yield from reader.requests()
        return
    wanted = {entry.request for entry in selection.entries(reader)}
    for row in reader.rows():
        if row.place in wanted:
            yield row.request()
