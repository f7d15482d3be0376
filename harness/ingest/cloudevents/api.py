"""The ingest API that takes CloudEvents, as Konnect and OpenMeter have it (SPEC DLV-1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.ingest.api import Judgement, Refusal
from harness.ingest.cloudevents.aspects import aspects_of_event
from harness.ingest.cloudevents.judge import EventJudge
from harness.ingest.five_aspects import FiveAspects
from harness.ingest.media_type import media_type
from harness.ingest.messages import Answer, Finding, Headers, IngestRequest
from harness.ingest.problem import problem
from harness.ingest.seen_entries import mark

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
EITHER = "application/json"
_KINDS = (SINGLE, BATCH, EITHER)

_NO_TOKEN = Refusal(
    401,
    "Invalid credentials",
    Finding("DLV-1", "", "no bearer token in Authorization", source="header"),
    headers=(("WWW-Authenticate", "Bearer"),),
)
_WRONG_TOKEN = Refusal(
    403, "Forbidden", Finding("DLV-1", "", "the bearer token is not the expected one", source="header")
)


@dataclass(frozen=True, slots=True)
class CloudEventsApi:
    """Fulfils :class:`harness.ingest.api.IngestApi`; the fields are what such APIs differ in.

    ``accepted_status`` answers success. ``exact_content_type`` takes a content type only without parameters.
    ``extension_members`` allows CloudEvents extensions beside the known envelope members. ``empty_batch`` takes an
    empty array sent as application/json. ``wrong_type_status`` answers another content type.
    """

    name: str
    accepted_status: int = 202
    exact_content_type: bool = False
    extension_members: bool = False
    empty_batch: bool = True
    wrong_type_status: int = 415
    entry: str = "event"
    path_suffixes: tuple[str, ...] = ("/events",)
    hosts: tuple[str, ...] = ()
    request_rule: str = "DLV-1"
    identity: tuple[str, ...] = ("id", "source", "subject", "type")
    no_credential: Refusal = _NO_TOKEN
    wrong_credential: Refusal = _WRONG_TOKEN

    def mark_of(self, id_: str | None, source: str | None, unique_id: str | None) -> int | None:
        """Return the memory's mark of an event (EVT-3), as its judge does."""
        return None if id_ is None or source is None else mark((source, id_))

    def five_aspects(self, entry: Any) -> FiveAspects | None:
        """Return the five aspects of a usage event, right or wrong; None when ``entry`` is none."""
        return aspects_of_event(entry)

    def credential(self, request: IngestRequest) -> str:
        """Return the bearer token, "" when there is none."""
        credentials = request.header_values("authorization")
        scheme, _, token = credentials[0].partition(" ") if len(credentials) == 1 else ("", "", "")
        return token.strip(" ") if scheme.lower() == "bearer" else ""

    def content_refusal(self, request: IngestRequest, judgement: Judgement) -> Refusal | None:
        """Return why the content type cannot be taken, or how the body has another shape than it announces."""
        given = request.header_values("content-type")
        kind = self._kind(given[0]) if len(given) == 1 else None
        encodings = [value for value in request.header_values("content-encoding") if value.lower() != "identity"]
        if kind not in _KINDS or encodings:
            name = "content-encoding" if kind in _KINDS else "content-type"
            message = f"must be one of {SINGLE}, {BATCH} and {EITHER}, in UTF-8, without Content-Encoding"
            finding = Finding("DLV-1", name, message, source="header")
            status = self.wrong_type_status
            parameters = (finding,) if status == 400 else ()
            return Refusal(status, f"The {name} {message}", finding, parameters=parameters)
        if judgement.body_errors:
            return None
        if kind == SINGLE and judgement.batch:
            complaint = f"is an array, but {SINGLE} announces one event"
        elif kind == BATCH and not judgement.batch:
            complaint = f"is one event, but {BATCH} announces an array"
        elif kind == EITHER and judgement.batch and not judgement.entries and not self.empty_batch:
            complaint = "is an empty array"
        else:
            return None
        finding = Finding("DLV-1", "", complaint, "type")
        everything = (finding, *(error for errors in judgement.errors.values() for error in errors))
        return Refusal(400, f"The body {complaint}", finding, parameters=everything)

    def judge(self, *, lenient: bool, thorough: bool) -> EventJudge:
        """Return the judge of a new endpoint; ``thorough`` asks the CloudEvents SDK about every event."""
        return EventJudge(self.extension_members, lenient=lenient, thorough=thorough)

    def accepted(self, count: int) -> Answer:
        """Return the answer to a request whose events were taken in: it has no body."""
        return Answer(self.accepted_status)

    def error(
        self,
        status: int,
        detail: str,
        trace: str,
        findings: Iterable[Finding] = (),
        batch: bool = False,
        headers: Headers = (),
    ) -> Answer:
        """Return the problem document for a request that was not taken in."""
        return problem(status, detail, trace, findings, batch, headers)

    def _kind(self, content_type: str) -> str | None:
        return content_type if self.exact_content_type else media_type(content_type)


#: Konnect and OpenMeter's API of today.
V3 = CloudEventsApi("v3")
#: OpenMeter's first API.
V1 = CloudEventsApi("v1", 204, True, True, False, 400)
