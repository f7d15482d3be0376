"""Every byte of a capture, and all that can be decompressed from it, as text to look for secrets in."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from harness.capture.reader import CaptureReader


def stored_text(capture: Path) -> str:
    """Return the files of ``capture`` and everything compressed in them."""
    files = sorted(capture.parent.glob(f"{capture.name}*"))
    parts = [file.read_bytes() for file in files]
    parts += [msgspec.json.encode(request) for request in CaptureReader(capture).requests()]
    parts += [msgspec.json.encode(row.outline()) for row in CaptureReader(capture).rows()]
    with closing(sqlite3.connect(f"file:{capture}?mode=ro", uri=True)) as connection:
        parts += [row[0] for row in connection.execute("SELECT content FROM dictionaries")]
    return "\n".join(part.decode("utf-8", "replace") for part in parts)
