"""Regular expressions as Kong's router has them: those of Rust's regex library, in linear time."""

from __future__ import annotations

import functools
from typing import Any


class RustRegex:
    """One regular expression, looked for anywhere in a text. Raises ValueError for what is none."""

    __slots__ = ("_pattern",)

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        try:
            self._search("")
        except RuntimeError:
            raise ValueError("is no regular expression") from None

    def search(self, text: str) -> bool:
        """Return whether it matches some part of ``text``."""
        try:
            return self._search(text)
        except UnicodeEncodeError:  # a lone surrogate
            return self._search(text.encode("utf-8", "replace").decode())

    def _search(self, text: str) -> bool:
        return bool(_matcher()({"text": text, "pattern": self._pattern}))


@functools.cache
def _matcher() -> Any:
    import cel

    return cel.compile("text.matches(pattern)").execute
