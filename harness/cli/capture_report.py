"""``kong-metering capture report``: a capture as one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from harness.capture.reader import CaptureReader

from .capture_options import capture_option, reading
from .json_lines import output_file


@click.command(help=__doc__)
@capture_option
@click.option("--out", default="capture.html", show_default=True, metavar="FILE", help="File; - is standard output.")
def command(capture: Path, out: str) -> None:
    """Write totals, the timeline of deliveries and retries, findings and subjects."""
    from harness.report.capture_page import CaptureSummary, capture_page

    summary = CaptureSummary()
    with reading():
        for row in CaptureReader(capture).rows():
            summary.add(row.place, row.request(), row.outline().subjects)
    with output_file(out) as file:
        file.write(capture_page(summary, f"Capture {capture.name}").encode())
