"""Texts of events that are searched: a line for each, in pieces, all but the first of which are compressed.

Going through all of it takes some 0.3 µs an event, so no other index is needed. A compressed piece is decompressed
for a search and let go of again.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zstandard

#: Bytes of text in a piece, and those that stay as they are.
PIECE, PLAIN = 1 << 20, 1 << 25
#: What stands between the parts of a line.
BETWEEN = "\x1f"
#: A text is common when it comes once in so many of the first bytes of a piece.
_PROBE, _COMMON = 1 << 14, 512
Column = np.ndarray[tuple[int], np.dtype[Any]]
Numbers = np.ndarray[tuple[int], np.dtype[np.int32]]


class Superseded(Exception):
    """Whoever asked does not wait for the answer any more."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """``starts`` are where the lines begin, each at its line feed; the first is that of event number ``first``."""

    first: int
    starts: Column
    text: bytes
    compressed: bool


@dataclass(frozen=True, slots=True)
class SearchedText:
    """The texts of the events up to some number."""

    pieces: Sequence[_Piece]

    def holding(self, terms: Collection[str], since: int, stop: threading.Event) -> Numbers:
        """Return the numbers of the events, ``since`` one on, whose text holds all ``terms``, in any case of letters.

        Raises Superseded when ``stop`` is set meanwhile.
        """
        # The longest is likely to be the rarest: the others are looked for only where it is.
        return self._found([_written(term) for term in sorted(terms, key=len, reverse=True)], since, stop)

    def beginning(self, part: str, stop: threading.Event) -> Numbers:
        """Return the numbers of the events whose first part is ``part``, in any case. Raises as ``holding`` does."""
        return self._found([_line(part) + BETWEEN.encode()], 0, stop)

    def _found(self, wanted: Sequence[bytes], since: int, stop: threading.Event) -> Numbers:
        found = [np.empty(0, np.int32)]
        decompressor = zstandard.ZstdDecompressor()
        for piece in self.pieces:
            if stop.is_set():
                raise Superseded
            if piece.first + len(piece.starts) > since:
                text = decompressor.decompress(piece.text) if piece.compressed else piece.text
                lines = _lines_with(text, piece.starts, wanted[0])
                for other in wanted[1:]:
                    lines = _of_these(lines, text, piece.starts, other)
                numbers = np.asarray(lines, np.int32) + piece.first
                found.append(numbers[numbers >= since])
        return np.concatenate(found)


class SearchText:
    """Takes in the texts of events, one after the other."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self._first = 0
        self._text = bytearray()
        self._starts = array("I")
        self._compressor = zstandard.ZstdCompressor(level=1)

    def add(self, parts: Sequence[str]) -> None:
        """Take in the next event's text: its ``parts``."""
        self._starts.append(len(self._text))
        self._text += _line(BETWEEN.join(parts))
        if len(self._text) >= PIECE:
            self._pieces.append(self._piece(compressed=len(self._pieces) * PIECE >= PLAIN))
            self._first += len(self._starts)
            self._text = bytearray()
            self._starts = array("I")

    def searched(self) -> SearchedText:
        """Return what there is so far; it does not change any more."""
        return SearchedText((*self._pieces, self._piece(compressed=False)))

    def _piece(self, *, compressed: bool) -> _Piece:
        text = self._compressor.compress(bytes(self._text)) if compressed else bytes(self._text)
        return _Piece(self._first, np.array(self._starts, np.uint32), text, compressed)


def _lines_with(text: bytes, starts: Column, wanted: bytes) -> Sequence[int] | Column:
    """Return which lines hold ``wanted``, counted from 0."""
    if wanted[:1] != b"\n" and text.count(wanted, 0, _PROBE) > _PROBE // _COMMON:
        # Most lines do: to look at each one is faster than to go from one to the next.
        return [number for number, line in enumerate(text.split(b"\n")[1:]) if wanted in line]
    places = []
    at = text.find(wanted)
    while at >= 0:
        places.append(at)
        end = text.find(b"\n", at + 1)
        at = text.find(wanted, end) if end >= 0 else -1
    return np.searchsorted(starts, places, side="right") - 1


def _of_these(lines: Sequence[int] | Column, text: bytes, starts: Column, wanted: bytes) -> list[int]:
    begins = starts.tolist() if len(lines) else []
    ends = [*begins[1:], len(text)]
    return [line for line in lines if text.find(wanted, begins[line], ends[line]) >= 0]


def _line(text: str) -> bytes:
    return b"\n" + _written(text)


def _written(text: str) -> bytes:
    return text.lower().replace("\n", " ").encode("utf-8", "replace")
