"""What one plugin instance tells of the requests it meters and of the way its events go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import time

from plugin_emulator.journal import AttributeReading, Lost, Metered, Observer, Sending, SubjectReading, Tried
from plugin_emulator.metering_plugin import Drop

from .http_sender import Try

#: What an instance found of subject and attributes in a request.
Readings = tuple[SubjectReading, tuple[AttributeReading, ...]]


class _UnderWay:
    """A batch between its first try and its end."""

    __slots__ = ("began", "events", "number", "tries")

    def __init__(self, number: int, events: tuple[str, ...], began: float) -> None:
        self.number = number
        self.events = events
        self.tries = 0
        self.began = began


class EventJournal:
    """Tells ``observe`` of one instance's events; ``identify`` gives id and type of a serialised event.

    A batch is known by the identity of its list: what sends it hands over the same one for each try.
    """

    __slots__ = ("_batches", "_identify", "_instance", "_observe", "_under_way")

    def __init__(self, instance: str, observe: Observer, identify: Callable[[bytes], tuple[str, str]]) -> None:
        self._instance = instance
        self._observe = observe
        self._identify = identify
        self._batches = 0
        self._under_way: dict[int, _UnderWay] = {}

    def metered(self, request: str | None, readings: Readings, made: Sequence[bytes] | Drop) -> None:
        """The instance has made these serialised events of a request, or none."""
        subject, attributes = readings
        if isinstance(made, Drop):
            fact = Metered(
                time(), request or "", self._instance, subject, attributes, rule=made.rule, reason=made.reason
            )
        else:
            events = tuple(self._identify(entry) for entry in made)
            fact = Metered(time(), request or "", self._instance, subject, attributes, events)
        self._observe(fact)

    def sending(self, batch: list[bytes]) -> None:
        """A try of ``batch`` begins."""
        now = time()
        known = self._under_way.get(id(batch))
        if known is None:
            self._batches += 1
            events = self._ids(batch)
            known = self._under_way[id(batch)] = _UnderWay(self._batches, events, now)
            self._observe(Sending(now, self._instance, known.number, events))
        known.tries += 1
        known.began = now

    def tried(self, batch: list[bytes], result: Try) -> None:
        """The try of ``batch`` that began last is over."""
        known = self._under_way[id(batch)]
        now = time()
        took = max(now - known.began, 0.0)
        self._observe(
            Tried(now, self._instance, known.number, known.tries, took, result.ok, result.status, result.problem)
        )
        if result.ok:
            del self._under_way[id(batch)]

    def lost(self, entries: Sequence[bytes], rule: str, reason: str) -> None:
        """These serialised events are lost, a batch of which a try was made or others."""
        known = self._under_way.pop(id(entries), None)
        events, number = (self._ids(entries), None) if known is None else (known.events, known.number)
        self._observe(Lost(time(), self._instance, events, rule, reason, number))

    def abandoned(self, rule: str, reason: str) -> None:
        """Whatever is under way is lost."""
        for known in self._under_way.values():
            self._observe(Lost(time(), self._instance, known.events, rule, reason, known.number))
        self._under_way.clear()

    def _ids(self, entries: Sequence[bytes]) -> tuple[str, ...]:
        return tuple(self._identify(entry)[0] for entry in entries)
