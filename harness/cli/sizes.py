"""Sizes on the command line: ``500MB``, ``2GB``, ``64KiB``; a plain number is bytes."""

from __future__ import annotations

import re
from typing import Any

import click

_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)}
_UNITS |= {f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)}
_FORM = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[A-Za-z]*)", re.ASCII)
_NAMES = {unit.lower(): factor for unit, factor in _UNITS.items()}


class Size(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """An option that takes a size and gives bytes as an integer of at least ``least``."""

    name = "size"

    def __init__(self, least: int = 1) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return ``value`` in bytes. Fails as click's types do."""
        form = _FORM.fullmatch(str(value).strip())
        if form is None or form["unit"].lower() not in _NAMES:
            self.fail(f"{value!r} is not a size: write e.g. 500MB, 2GB or 64KiB.", param, ctx)
        size = int(float(form["number"]) * _NAMES[form["unit"].lower()])
        if size < self._least:
            self.fail(f"{value!r} is less than {self._least:,} bytes.", param, ctx)
        return size
