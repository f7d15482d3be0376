"""Ids that several events have (EVT-3): of events with the same source and id a billing endpoint keeps one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


def keys_of(ids: Array, sources: Array) -> Array:
    """Return a number for each event, the same for the same source and id; ``ids`` has two numbers a row."""
    mixed: Array = (ids[:, 0] ^ sources.astype(np.uint64)) * _MIX
    mixed ^= mixed >> _SHIFT
    mixed += ids[:, 1]
    return mixed


class EventIds:
    """Gathers the ids of billed events by their keys, eight bytes each, and finds those that came several times."""

    def __init__(self, most: int) -> None:
        """Make room for ``most`` events."""
        self._keys = np.empty(most, np.uint64)  # takes no memory before it is written to
        self._count = 0

    def add(self, keys: Array) -> None:
        """Take in the keys of some billed events."""
        end = self._count + len(keys)
        self._keys[self._count : end] = keys
        self._count = end

    def repeated(self) -> Array:
        """Return the keys that came more than once, sorted, and forget all of them."""
        keys, self._keys = self._keys[: self._count], np.empty(0, np.uint64)
        keys.sort()
        found: Array = np.unique(keys[1:][keys[1:] == keys[:-1]])
        return found
