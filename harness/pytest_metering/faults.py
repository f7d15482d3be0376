"""A fault that was set, and how often it is to happen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class PendingFault:
    """Set for one request; ``times`` and ``forever`` set it for more. Faults follow each other in order."""

    def __init__(self, step: dict[str, Any], more: Callable[[PendingFault, list[dict[str, Any]]], None]) -> None:
        self._step = step
        self._more = more

    def times(self, number: int) -> None:
        """Let it happen to ``number`` requests in all; what follows is treated as usual."""
        if number < 1:
            raise ValueError("a fault happens to one request or more")
        if number > 1:
            self._more(self, [{**self._step, "times": number - 1}, {"delay": 0}])

    def forever(self) -> None:
        """Let it happen to every request until another fault is set, or ``recover`` is called."""
        self._more(self, [self._step])
