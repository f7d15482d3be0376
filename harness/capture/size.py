"""Sizes as a user writes them: ``500MB``, ``2GB``, ``64KiB``; a plain number is bytes."""

from __future__ import annotations

import re

_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)}
_UNITS |= {f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)}
_FORM = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[A-Za-z]*)", re.ASCII)
_NAMES = {unit.lower(): factor for unit, factor in _UNITS.items()}


def size_in_bytes(text: str, least: int = 1) -> int:
    """Return the size ``text`` in bytes. Raises ValueError, with one line that says why, also below ``least``."""
    form = _FORM.fullmatch(text.strip())
    if form is None or form["unit"].lower() not in _NAMES:
        raise ValueError(f"{text!r} is not a size: write e.g. 500MB, 2GB or 64KiB.")
    size = int(float(form["number"]) * _NAMES[form["unit"].lower()])
    if size < least:
        raise ValueError(f"{text!r} is less than {least:,} bytes.")
    return size
