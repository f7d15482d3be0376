"""One request that reached the fake ingest endpoint, and its line in a failure's text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.capture.record import CapturedRequest
from harness.capture.verdict import Finding, Verdict

_LANE = re.compile(r"^/lane/[^/?#]*")
_SHOWN_ID = 8

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request to the endpoint.

    ``number`` counts them from 1, ``at`` is when it arrived (seconds since the epoch), ``status`` the answer (None:
    no answer), ``fault`` what was done wrong on purpose. ``events`` are the objects in the body, ``verdicts`` what
    became of each: accepted, duplicate, invalid or refused. ``headers`` have lower-case names and no secret values.
    """

    number: int
    at: float
    status: int | None
    fault: str | None
    method: str
    path: str
    headers: Mapping[str, str]
    body: str = field(repr=False)
    events: tuple[Event, ...]
    verdicts: tuple[str, ...]
    judged: tuple[Verdict, ...] = field(repr=False, default=())
    findings: tuple[Finding, ...] = field(repr=False, default=())

    @classmethod
    def of(cls, request: CapturedRequest) -> Delivery:
        """Make a delivery of a line of the capture."""
        events = tuple(one.event if isinstance(one.event, dict) else {} for one in request.events())
        return cls(
            number=request.n,
            at=request.arrived_at,
            status=request.status,
            fault=request.fault,
            method=request.method,
            path=_LANE.sub("", request.path),
            headers={name.lower(): value for name, value in reversed(request.headers)},
            body=request.body_bytes().decode("utf-8", "replace"),
            events=events,
            verdicts=tuple(verdict.verdict for verdict in request.verdicts),
            judged=request.verdicts,
            findings=request.findings,
        )

    def lines(self) -> Iterator[str]:
        """Yield a line for each event, or one for a request without any."""
        if not self.events:
            yield f"{self.head}  {self.method} {self.path.partition('?')[0]}{self._reasons(self.findings)}"
        for event, verdict in zip(self.events, self.judged, strict=True):
            findings = (*self.findings, *verdict.findings)
            yield f"{self.head}  {summary(event)}  {verdict.verdict}{self._reasons(findings)}"

    @property
    def head(self) -> str:
        """Number and answer, as ``#2 503``."""
        return f"#{self.number} {'no answer' if self.status is None else self.status}"

    @staticmethod
    def _reasons(findings: tuple[Finding, ...]) -> str:
        return "".join(f"; {said(finding)} ({finding.rule})" for finding in findings)


def said(finding: Finding) -> str:
    """Return a finding in words: where, if that is known, and what."""
    return f"{finding.pointer} {finding.message}".strip()


def summary(event: Mapping[str, Any]) -> str:
    """Return who, what and which event, without what the request carried besides."""
    given = event.get("data")
    data: Mapping[str, Any] = given if isinstance(given, dict) else {}
    parts = [str(event.get("subject", "no subject")), str(event.get("type", "no type"))]
    if "request_uri" in data:
        parts.append(f"{data.get('request_method', '')} {data['request_uri']}".strip())
    if "tokens" in data:
        parts.append(f"{data.get('type', '')} {data['tokens']} tokens".strip())
    status = data.get("response_http_status", data.get("http_status"))
    if status is not None:
        parts.append(f"→ {status}")
    identity = str(event.get("id", ""))
    parts.append(f"id …{identity[-_SHOWN_ID:]}" if len(identity) > _SHOWN_ID else f"id {identity or 'none'}")
    return "  ".join(parts)
