"""Sizes on the command line."""

from __future__ import annotations

from typing import Any

import click

from harness.capture.size import size_in_bytes


class Size(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """An option that takes a size and gives bytes as an integer of at least ``least``."""

    name = "size"

    def __init__(self, least: int = 1) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return ``value`` in bytes. Fails as click's types do."""
        try:
            return size_in_bytes(str(value), self._least)
        except ValueError as error:
            self.fail(str(error), param, ctx)
