"""What can be wrong with a capture file."""

from __future__ import annotations


class CaptureError(OSError):
    """The capture file cannot be opened, read or written. The message is one line with the file's name."""


class CaptureFormatError(ValueError):
    """The file is not a capture this version can read, or write. The message is one line with the file's name."""
