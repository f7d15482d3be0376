"""HTTP/1.1 as the fast host speaks it: a request while it comes in, the bytes of an answer, what is too much."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from http import HTTPStatus

from harness.ingest.lanes import Arrival
from harness.ingest.messages import Answer, Headers, IngestRequest

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*(.*)", re.DOTALL)
_BODILESS = frozenset({204, 304})
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may ask for. Sizes in bytes, times in seconds.

    ``head``: request line and header fields. ``body``: a body, once decoded. ``unread``: what a client may send ahead
    while an answer is held back. ``idle``: silence between two requests, more than Kong's own ``keepalive`` of 60 s.
    ``head_time`` and ``body_time``: until the one, then the other, is complete; ``body_time`` also for a client that
    does not read its answers. ``goodbye``: until a client leaves that was told to.
    """

    head: int = 64 * 1024
    body: int = 64 * 1024 * 1024
    unread: int = 1024 * 1024
    idle: float = 75.0
    head_time: float = 10.0
    body_time: float = 60.0
    goodbye: float = 2.0


class Exchange:
    """One request while it comes in. ``arrival`` is set once its turn has come, ``size`` counts the body's bytes."""

    __slots__ = (
        "_chunks",
        "arrival",
        "complete",
        "head_complete",
        "head_size",
        "headers",
        "keep_alive",
        "method",
        "size",
        "url",
    )

    def __init__(self) -> None:
        self.method = ""
        self.url = b""
        self.headers: list[tuple[str, str]] = []
        self.head_size = 0
        self.head_complete = False
        self.keep_alive = False
        self.complete = False
        self.arrival: Arrival | None = None
        self.size = 0
        self._chunks: list[bytes] = []

    @property
    def path(self) -> str:
        """Path with query; of an absolute request target what stands behind the authority."""
        target = self.url.decode("latin-1")
        absolute = None if target.startswith("/") else _ABSOLUTE.fullmatch(target)
        if absolute is None:
            return target
        return absolute[1] if absolute[1].startswith("/") else f"/{absolute[1]}"

    def header(self, name: str) -> str:
        """Return the first value of the header ``name`` (lower case), "" when there is none."""
        return next((value for given, value in self.headers if given.lower() == name), "")

    def add_header(self, name: bytes, value: bytes) -> None:
        """Take a header field; those behind a body are left out."""
        self.head_size += len(name) + len(value)
        if not self.head_complete:
            self.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def add_body(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self._chunks.append(chunk)
        self.size += len(chunk)

    def drop_body(self) -> None:
        """Forget the body."""
        self._chunks = []

    def request(self, arrival: Arrival, connection: str) -> IngestRequest:
        """Return what has come in."""
        chunks = self._chunks
        return IngestRequest(
            method=self.method,
            path=self.path,
            headers=tuple(self.headers),
            body=chunks[0] if len(chunks) == 1 else b"".join(chunks),
            arrived_at=arrival.arrived_at,
            connection=connection,
            monotonic=arrival.monotonic,
        )


def encoded(answer: Answer, keep_alive: bool, head_only: bool = False) -> bytes:
    """Return ``answer`` as it goes over the wire; with ``head_only`` (a HEAD request) without its body."""
    head = _head(answer.status, answer.headers, len(answer.body), keep_alive)
    return head if head_only or answer.status in _BODILESS else head + answer.body


@functools.lru_cache(maxsize=256)
def _head(status: int, headers: Headers, length: int, keep_alive: bool) -> bytes:
    lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, 'Status')}", *(f"{name}: {value}" for name, value in headers)]
    if status not in _BODILESS:
        lines.append(f"Content-Length: {length}")
    lines.append(f"Connection: {'keep-alive' if keep_alive else 'close'}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
