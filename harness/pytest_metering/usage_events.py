"""The fixture ``usage_events``: the events accepted in a test, once metering is idle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from harness.pytest_metering.delivery import Event
from harness.pytest_metering.ingest import Ingest


class UsageEvents(Sequence[Event]):
    """The accepted events, each once, in order of arrival.

    Each reading waits first until no event is on its way any more, so it may grow with the test's traffic. Compares
    equal to a list.
    """

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._read: list[Event] = []

    def _now(self) -> list[Event]:
        __tracebackhide__ = True
        self._ingest.wait_until_idle()
        self._read = self._ingest.events()
        return self._read

    def __len__(self) -> int:
        __tracebackhide__ = True
        return len(self._now())

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...

    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        __tracebackhide__ = True
        return self._now()[index]

    def __iter__(self) -> Iterator[Event]:
        __tracebackhide__ = True
        return iter(self._now())

    def __eq__(self, other: object) -> bool:
        __tracebackhide__ = True
        return self._now() == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._read)  # what the assertion that failed has seen
