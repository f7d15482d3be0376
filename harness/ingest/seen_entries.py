"""The memory that makes a second delivery of an event or record a duplicate, in bounded space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

DEFAULT_REMEMBERED = 1_000_000


#: Returns the mark of what an entry is known again by: a tuple or a string.
mark = hash


class SeenEntries:
    """Marks of the entries taken in, by what their API knows one again by (EVT-3, AMB-2).

    Remembers at least the last ``at_least`` entries and at most twice as many, about 80 bytes each: what a real
    endpoint forgets by age, this one forgets by number. A mark is a 64-bit keyed hash, so that two different entries
    share one about once in 10¹³.
    """

    def __init__(self, at_least: int = DEFAULT_REMEMBERED) -> None:
        self._at_least = at_least
        self._recent: set[int] = set()
        self._older: set[int] = set()

    def __len__(self) -> int:
        return len(self._recent) + len(self._older)

    def add_new(self, marks: Sequence[int]) -> bool:
        """Take in ``marks`` if all are new and different. Return whether it did; otherwise nothing changes."""
        fresh = set(marks)
        if len(fresh) != len(marks) or not self._recent.isdisjoint(fresh) or not self._older.isdisjoint(fresh):
            return False
        self._recent |= fresh
        self._age()
        return True

    def add(self, mark: int) -> bool:
        """Take in one mark. Return whether it was new."""
        if mark in self._recent or mark in self._older:
            return False
        self._recent.add(mark)
        self._age()
        return True

    def remember(self, marks: Iterable[int]) -> None:
        """Take in ``marks``, no more of them than are remembered for certain, whether they are new or not."""
        self._recent.update(marks)
        self._age()

    def forget(self, marks: Iterable[int]) -> None:
        """Take out ``marks``, as if their entries had never arrived."""
        gone = set(marks)
        self._recent -= gone
        self._older -= gone

    def _age(self) -> None:
        if len(self._recent) >= self._at_least:
            self._older = self._recent
            self._recent = set()
