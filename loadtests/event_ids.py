"""Ids that several events have (EVT-3): of events with the same source and id a billing endpoint keeps one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Bits of a key by which most are told apart, and keys looked at together.
_PART, _CHUNK = 20, 1 << 15
_MIX = np.uint64(0x9E3779B97F4A7C15)


def keys_of(ids: Array, sources: Array | None) -> Array:
    """Return a number for each event, the same for the same source and id, and as good as never for others.

    ``ids`` has two numbers a row; ``sources`` are by number, None when all have the same.
    """
    keys: Array = (ids[:, 0] if sources is None else ids[:, 0] ^ sources.astype(np.uint64)) * _MIX
    keys += ids[:, 1]
    return keys


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
        """Return the keys that came more than once, sorted, and forget all of them.

        Half of a key is sorted in two thirds of the time, and tells apart all but a few.
        """
        keys, self._keys = self._keys[: self._count], np.empty(0, np.uint64)
        likely = np.zeros(1 << _PART, np.bool_)
        likely[_twice((keys >> np.uint64(32)).astype(np.uint32)) >> np.uint32(32 - _PART)] = True
        chunks = (keys[first : first + _CHUNK] for first in range(0, len(keys), _CHUNK))
        rest = [chunk[likely.take((chunk >> np.uint64(64 - _PART)).view(np.int64))] for chunk in chunks]
        return _twice(np.concatenate(rest)) if rest else keys


def _twice(keys: Array) -> Array:
    """Return what is among ``keys`` more than once, sorted; ``keys`` are sorted too."""
    keys.sort()
    found: Array = np.unique(keys[1:][keys[1:] == keys[:-1]])
    return found
