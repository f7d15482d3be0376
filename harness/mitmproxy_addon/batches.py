"""The newest flows, so many and no more: what the commands look into, and the most that mitmproxy's view holds."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

from mitmproxy import http

from harness.mitmproxy_addon.batch_note import BatchNote, read_note

_MOST_TRIES = 100  # remembered of one batch


class KeptFlows:
    """At most ``most`` flows, the newest. Flows that are under way are never let go."""

    def __init__(self, most: int, let_go: Callable[[Sequence[http.HTTPFlow]], None]) -> None:
        """``let_go`` is told of the flows that are no longer kept."""
        self.most = most
        self._let_go = let_go
        self._flows: OrderedDict[str, http.HTTPFlow] = OrderedDict()

    def __len__(self) -> int:
        return len(self._flows)

    def add(self, flow: http.HTTPFlow) -> None:
        """Keep ``flow``, and let go of the oldest that are one too many."""
        self._flows[flow.id] = flow
        self.trim()

    def trim(self) -> None:
        """Let go of the oldest flows above ``most``."""
        if len(self._flows) <= self.most:
            return
        ended = [flow for flow in self._flows.values() if flow.response is not None or flow.error is not None]
        gone = ended[: len(self._flows) - self.most]
        for flow in gone:
            del self._flows[flow.id]
        if gone:
            self._let_go(gone)

    def batches(self) -> Iterator[tuple[http.HTTPFlow, BatchNote]]:
        """Yield the flows that are batches with their notes, the oldest first."""
        for flow in self._flows.values():
            note = read_note(flow)
            if note is not None:
                yield flow, note


class Tries:
    """Knows a batch again by its bytes: a retry sends the same. Remembers the last ``most`` different batches."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._ends: OrderedDict[bytes, tuple[tuple[int, str], ...]] = OrderedDict()

    def add(self, lane: str, body: bytes, number: int, ending: str) -> tuple[tuple[int, str], ...]:
        """Take in a try; return the numbers and endings of those before it, the oldest first."""
        mark = hashlib.blake2b(lane.encode() + b"\0" + body, digest_size=16).digest()
        before = self._ends.pop(mark, ())
        self._ends[mark] = (*before, (number, ending))[-_MOST_TRIES:]
        if len(self._ends) > self._most:
            self._ends.popitem(last=False)
        return before
