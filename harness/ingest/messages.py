"""What goes into the ingest endpoint and what comes out: a request, its answer, and a verdict on each event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.capture.verdict import ACCEPTED, DUPLICATE, REFUSED, Finding, Outcome, Verdict

__all__ = [
    "ACCEPTED",
    "DUPLICATE",
    "REFUSED",
    "Answer",
    "Finding",
    "Headers",
    "IngestRequest",
    "Outcome",
    "Receipt",
    "Verdict",
]

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """One HTTP request as it reached the endpoint.

    ``path`` includes the query. ``headers`` keeps order and repetition; names and values are decoded as Latin-1, so
    that nothing is lost. ``arrived_at`` is in seconds since the epoch, ``monotonic`` in seconds of a clock that is
    never set back. ``connection`` tells the client's connections apart.
    """

    method: str
    path: str
    headers: Headers
    body: bytes
    arrived_at: float = 0.0
    connection: str = ""
    monotonic: float = 0.0

    def header_values(self, name: str) -> list[str]:
        """Return the values of header ``name`` (in any case), in order, without surrounding blanks."""
        wanted = name.lower()
        return [value.strip(" \t") for key, value in self.headers if key.lower() == wanted]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. ``headers`` does not include Content-Length."""

    status: int
    headers: Headers = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The endpoint's decision on one request.

    ``verdicts[i]`` belongs to ``events[i]``, the parsed body's i-th event. ``findings`` are those on the request as a
    whole. ``answer`` is None when a fault leaves the client without one. ``keys`` are the memory's marks for the
    events taken in with this request. ``place`` is where the capture has the request, 0 until it is written.
    """

    answer: Answer | None
    verdicts: Sequence[Verdict] = ()
    events: Sequence[Any] = ()
    findings: tuple[Finding, ...] = ()
    keys: Sequence[int] = ()
    place: int = 0

    def count(self, outcome: Outcome) -> int:
        """Return how many events have the verdict ``outcome``."""
        return sum(1 for verdict in self.verdicts if verdict.verdict == outcome)
