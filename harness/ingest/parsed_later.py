"""The entries of a body that is known to be valid, parsed only if somebody looks at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson


class ParsedLater(Sequence[Any]):
    """The entries of ``body``, valid JSON, parsed when somebody looks at them.

    ``quick`` are as many structs, which tell what a quick yes has read of them.
    """

    __slots__ = ("_body", "_entries", "quick")

    def __init__(self, body: bytes, quick: Sequence[Any]) -> None:
        self._body = body
        self.quick = quick
        self._entries: list[Any] | None = None

    def __len__(self) -> int:
        return len(self.quick)

    def __getitem__(self, index: Any) -> Any:
        return self._parsed()[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parsed())

    def _parsed(self) -> list[Any]:
        if self._entries is None:
            data = orjson.loads(self._body)
            self._entries = data if isinstance(data, list) else [data]
        return self._entries
