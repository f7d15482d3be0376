"""Captures of format version 1: JSON lines. They are read, and never written any more.

The first line of each opening is a header with the version; every other line is a request with all its members.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from harness.capture.errors import CaptureFormatError
from harness.capture.record import CapturedRequest

FORMAT = "kong-metering-capture"
VERSION = 1

_decoder = msgspec.json.Decoder(CapturedRequest)


def is_json_lines(beginning: bytes) -> bool:
    """Return whether a file that begins so is a capture of version 1, perhaps with a header that was cut off."""
    first, end, _ = beginning.partition(b"\n")
    if _is_header(first):
        return True
    start = msgspec.json.encode({"format": FORMAT, "version": VERSION})[:-1]
    return bool(first) and not end and (start.startswith(first) or first.startswith(start))


class JsonLines:
    """Reads a file of version 1 line by line, in memory for one line only.

    ``torn`` counts the incomplete lines passed over so far: each is what a killed process left behind, a request
    that had not been answered.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = 0

    def requests(self) -> Iterator[CapturedRequest]:
        """Yield every request. Raises OSError, and CaptureFormatError for a line that is no request."""
        self.torn = 0
        with self.path.open("rb") as file:
            yield from self._lines(file)

    def _lines(self, file: BinaryIO) -> Iterator[CapturedRequest]:
        for line in file:
            try:
                yield _decoder.decode(line)
            except msgspec.ValidationError as error:
                if not _is_header(line):
                    raise CaptureFormatError(
                        f"{self.path}: has a line that is no captured request: {error}"
                    ) from None
            except msgspec.DecodeError:
                self.torn += 1


def _is_header(line: bytes) -> bool:
    try:
        header: Any = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return False
    return isinstance(header, dict) and header.get("format") == FORMAT and header.get("version") == VERSION
