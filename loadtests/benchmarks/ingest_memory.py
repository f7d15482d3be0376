"""What a long run costs the ingest endpoint in memory: nothing that grows with it."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator

import uvloop

from .ingest import send
from .measure import Comparison
from .processes import Child, child

#: Late in the run the process may hold so many times what it held early.
LIMIT = 1.1
_FIFTHS = 5


def growth(events: int = 5_000_000, requests: int = 50_000) -> list[Comparison]:
    """Compare the highest resident memory of a run's last fifth with that of an early one, in MB.

    Early is the second fifth for the fast host: there the endpoint's memory for duplicates reaches its bound of two
    million events. It is the first for the mitmproxy host, whose requests have an event each: some 4 MB are the
    marks of those 40,000 more.
    """
    fast = _highest("fast", events, 100)
    mitmproxy = _highest("mitmproxy", requests, 1)
    return [
        _compare("ingest --server fast", events, "events", fast, 2),
        _compare("ingest --server mitmproxy", requests, "requests", mitmproxy, 1),
    ]


def _compare(name: str, number: int, what: str, highest: list[float], early: int) -> Comparison:
    first, last = highest[early - 1], highest[-1]
    against = f"after {number * early // _FIFTHS:,}"
    return Comparison(f"{name}, {number:,} {what}", against, last, first, last / first, LIMIT, "MB")


def _highest(kind: str, events: int, batch: int) -> list[float]:
    """Send so many events to the server ``kind``; return the highest memory in MB of each fifth of the run."""
    with (
        tempfile.TemporaryDirectory() as folder,
        child("loadtests.benchmarks.ingest_server", kind, folder) as server,
    ):
        bodies = _bodies(batch)
        highest = []
        for _ in range(_FIFTHS):
            seen: list[int] = []
            uvloop.run(send(int(server.ready), _watched(bodies, events // _FIFTHS // batch, server, seen)))
            highest.append(max(seen) / 1e6)
        return highest


def _watched(bodies: Iterator[bytes], number: int, server: Child, seen: list[int]) -> Iterator[bytes]:
    """Yield ``number`` bodies, and note the server's memory a hundred times on the way."""
    for n, body in enumerate(itertools.islice(bodies, number)):
        if n % (number // 100) == 0:
            seen.append(server.resident_bytes())
        yield body


def _bodies(batch: int) -> Iterator[bytes]:
    """Yield batches of small events for ever, every id new."""
    before = b'{"specversion":"1.0","source":"kong","type":"kong.api_request","subject":"alice","id":"'
    for first in itertools.count(0, batch):
        yield b"[" + b",".join(b'%b%032x"}' % (before, n) for n in range(first, first + batch)) + b"]"
