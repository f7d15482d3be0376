"""One received request as a line of a capture file."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import msgspec

from harness.capture.verdict import Finding, Verdict


class CapturedEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of a captured request: ``index`` in its body, the event itself as parsed, and its verdict."""

    request: CapturedRequest
    index: int
    event: Any
    verdict: Verdict


#: What the failure of a request has in it that never left, so that it cannot have been billed.
NOT_REACHED = "could not be reached"


class Relayed(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How a request fared that was passed on to ``host``, the real ingest endpoint.

    ``seconds`` is how long it took, ``status`` what it answered and ``size`` the length of its body, decoded, in
    bytes. ``failure`` says why there was no answer; ``status`` is then None.
    """

    host: str
    seconds: float
    status: int | None = None
    size: int = 0
    failure: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the real endpoint answered with success."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def sent(self) -> bool:
        """Whether the real endpoint may have had the request, answered or not."""
        return self.failure is None or NOT_REACHED not in self.failure

    def words(self) -> str:
        """Return how it fared, in a line."""
        if self.failure is not None:
            return f"relay: {self.failure}"
        return f"{self.host} {self.status}, {self.size:,} bytes in {self.seconds * 1000:.0f} ms"


class CapturedRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request with what was decided about it.

    ``n`` counts a lane's requests from 1 by the arrival of their heads; the order of lines is that of the decisions.
    ``arrived_at`` is in seconds since the epoch, ``monotonic`` in seconds of a clock that is never set back, for
    intervals. ``path`` includes the query and, in a lane, its prefix. ``headers`` are redacted. The body is ``body``
    when it is UTF-8 text and ``body_base64`` otherwise, exactly as received; ``size`` is its length in bytes.
    ``status`` is None when the client got no answer; ``fault`` names what the fault script did. ``relayed`` is None
    for a request that was passed on to nobody.
    """

    n: int
    lane: str
    arrived_at: float
    monotonic: float
    connection: str
    method: str
    path: str
    headers: list[tuple[str, str]]
    size: int
    content_type: str | None = None
    body: str | None = None
    body_base64: str | None = None
    status: int | None = None
    fault: str | None = None
    findings: tuple[Finding, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    relayed: Relayed | None = None

    def body_bytes(self) -> bytes:
        """Return the body exactly as received."""
        if self.body_base64 is not None:
            return base64.b64decode(self.body_base64)
        return (self.body or "").encode()

    def events(self) -> Iterator[CapturedEvent]:
        """Yield the events of the body with their verdicts; none when the body was not read or not JSON."""
        if not self.verdicts:
            return
        data = msgspec.json.decode(self.body_bytes())
        events = data if isinstance(data, list) else [data]
        for index, (event, verdict) in enumerate(zip(events, self.verdicts, strict=True)):
            yield CapturedEvent(self, index, event, verdict)


def body_members(body: bytes) -> dict[str, str]:
    """Return the member that holds ``body`` in a record: text as it is, anything else in base64."""
    try:
        return {"body": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode("ascii")}
