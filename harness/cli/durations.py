"""Lengths of time on the command line: ``50ms``, ``1.5s``, ``10m``, ``1h``; a plain number is seconds."""

from __future__ import annotations

import math
import re
from typing import Any

import click

_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
_FORM = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(?P<unit>ms|s|m|h|)", re.ASCII)


def seconds(text: str) -> float:
    """Return the length of time ``text`` stands for, in seconds. Raises ValueError when it stands for none."""
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise ValueError(f"{text!r} is not a length of time")
    number, factor = float(form["number"]), _SECONDS[form["unit"]]
    length = number / 1000 if form["unit"] == "ms" else number * factor
    if not math.isfinite(length):
        raise ValueError(f"{text!r} is too long")
    return length


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """An option that takes a length of time and gives seconds as a float, finite and not negative."""

    name = "duration"

    def __init__(self, *, min_open: bool = False, longest: float = math.inf) -> None:
        """``min_open``: zero is refused as well; ``longest``: more than so many seconds is."""
        self._above_zero = min_open
        self._longest = longest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return ``value`` in seconds; a number given as a default is seconds already. Fails as click's types do."""
        if isinstance(value, (int, float)):
            return float(value)
        try:
            length = seconds(value)
        except ValueError:
            self.fail(f"{value!r} is not a length of time: write e.g. 50ms, 1.5s, 10m or 1h.", param, ctx)
        if self._above_zero and length == 0:
            self.fail(f"{value!r} must be longer than zero.", param, ctx)
        if length > self._longest:
            self.fail(f"{value!r} is longer than {self._longest / 3600:g}h.", param, ctx)
        return length
