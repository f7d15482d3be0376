"""The ingest endpoint's decisions: a request in, verdicts and an answer out. No socket, file, clock or thread."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from harness.ingest import cloudevents_check
from harness.ingest.event_schema import body_pointer, event_schema
from harness.ingest.faults import NO_FAULT, Fault
from harness.ingest.messages import (
    ACCEPTED,
    DUPLICATE,
    REFUSED,
    Answer,
    Finding,
    IngestRequest,
    Receipt,
    Verdict,
)
from harness.ingest.problem import problem
from harness.ingest.profile import V3, Profile
from harness.ingest.seen_events import DEFAULT_REMEMBERED, SeenEvents, mark

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
EITHER = "application/json"

_PLACEHOLDER_SUBJECT = "unknown"
_SUSPICIOUS = "the subject is the placeholder 'unknown'; a request without a subject must make no event"
_SHAPES_REMEMBERED = 4096


@dataclass(frozen=True)
class IngestSettings:
    """How one endpoint behaves.

    ``tokens``: the bearer tokens taken; empty takes any. ``path_suffix``: what a path, without its query, ends in.
    ``lenient``: refuse only what the ingest API itself refuses; what breaks the plugin's promises beyond that (event
    types EVT-2, data EVT-6, attributes ATR-1) is accepted and stands in the findings. ``thorough``: ask the
    CloudEvents SDK about every event instead of one of each shape. ``remembered``: how many events at least the
    endpoint knows again.
    """

    tokens: frozenset[str] = field(default=frozenset(), repr=False)
    profile: Profile = V3
    path_suffix: str = "/events"
    lenient: bool = False
    thorough: bool = False
    remembered: int = DEFAULT_REMEMBERED


@dataclass(slots=True)
class _Judgement:
    """What the body holds: its events with their errors and remarks (one entry each), and errors of the whole."""

    events: Sequence[Any] = ()
    batch: bool = False
    errors: dict[int, tuple[Finding, ...]] = field(default_factory=dict)
    remarks: dict[int, tuple[Finding, ...]] = field(default_factory=dict)
    body_errors: tuple[Finding, ...] = ()


class IngestCore:
    """One ingest endpoint with the memory it needs to know an event again.

    Not safe for several threads at once.
    """

    def __init__(self, settings: IngestSettings | None = None) -> None:
        self.settings = settings or IngestSettings()
        extensions = self.settings.profile.extension_members
        self._strict = event_schema(True, extensions)
        self._schema = event_schema(not self.settings.lenient, extensions)
        self._seen = SeenEvents(self.settings.remembered)
        self._shapes: set[tuple[str, ...]] = set()
        self._count = 0

    def receive(self, request: IngestRequest, fault: Fault = NO_FAULT) -> Receipt:
        """Judge ``request`` and decide the answer (DLV-1, EVT-1…6).

        Every event gets a verdict, whatever the answer. Events are accepted all together or not at all: one that is
        invalid makes the answer a 400 that names it, and the others are ``refused``. With a ``fault`` that keeps the
        endpoint from accepting, well-formed events are ``refused``, too.
        """
        self._count += 1
        findings: tuple[Finding, ...] = ()
        if fault.reset == "before":
            return Receipt(None)
        judgement = self._judge(request.body)
        answer = self._refusal_by_head(request)
        if answer is None:
            findings, answer = self._content_type(request, judgement)
        else:
            findings = (Finding("DLV-1", "", _summary(answer.status), source="header"),)
        findings += judgement.body_errors
        if answer is None and (judgement.errors or judgement.body_errors):
            answer = self._bad_request(judgement)
        if not fault.accepts:
            scripted = self._scripted(request, fault) if fault.answers else None
            return Receipt(scripted, self._refused(judgement), judgement.events, findings)
        if answer is not None:
            given = Answer(answer.status, answer.headers + fault.headers, answer.body)
            return Receipt(given if fault.answers else None, self._refused(judgement), judgement.events, findings)
        verdicts, keys = self._take_in(judgement)
        success = Answer(fault.status or self.settings.profile.accepted_status, fault.headers)
        return Receipt(success if fault.answers else None, verdicts, judgement.events, findings, keys)

    def forget(self, receipt: Receipt) -> None:
        """Undo the acceptance of ``receipt``'s events: the host could not keep them."""
        self._seen.forget(receipt.keys)

    def unavailable(self, detail: str) -> Answer:
        """Return the 503 for a host that cannot accept anything now."""
        return problem(503, detail, str(self._count))

    def _refusal_by_head(self, request: IngestRequest) -> Answer | None:
        trace = str(self._count)
        if not request.path.partition("?")[0].endswith(self.settings.path_suffix):
            detail = f"No such path; events go to a path that ends in [{self.settings.path_suffix}]"
            return problem(404, detail, trace)
        if request.method != "POST":
            return problem(405, f"Method [{request.method}] is not allowed", trace, headers=(("Allow", "POST"),))
        credentials = request.header_values("authorization")
        scheme, _, token = credentials[0].partition(" ") if len(credentials) == 1 else ("", "", "")
        token = token.strip(" ")
        if scheme.lower() != "bearer" or not token:
            return problem(401, "Invalid credentials", trace, headers=(("WWW-Authenticate", "Bearer"),))
        if self.settings.tokens and not any(_same(token, known) for known in self.settings.tokens):
            return problem(403, "Forbidden", trace)
        return None

    def _content_type(
        self, request: IngestRequest, judgement: _Judgement
    ) -> tuple[tuple[Finding, ...], Answer | None]:
        """Check DLV-1's content type and that the body has the shape it announces."""
        given = request.header_values("content-type")
        kind = self.settings.profile.content_type(given[0]) if len(given) == 1 else None
        encodings = [value for value in request.header_values("content-encoding") if value.lower() != "identity"]
        if kind not in (SINGLE, BATCH, EITHER) or encodings:
            name = "content-encoding" if kind in (SINGLE, BATCH, EITHER) else "content-type"
            message = f"must be one of {SINGLE}, {BATCH} and {EITHER}, in UTF-8, without Content-Encoding"
            finding = Finding("DLV-1", name, message, source="header")
            status = self.settings.profile.wrong_type_status
            parameters = (finding,) if status == 400 else ()
            return (finding,), problem(status, f"The {name} {message}", str(self._count), parameters)
        complaint = None
        if judgement.body_errors:
            return (), None
        if kind == SINGLE and judgement.batch:
            complaint = f"is an array, but {SINGLE} announces one event"
        elif kind == BATCH and not judgement.batch:
            complaint = f"is one event, but {BATCH} announces an array"
        elif kind == EITHER and judgement.batch and not judgement.events and not self.settings.profile.empty_batch:
            complaint = "is an empty array"
        if complaint is None:
            return (), None
        finding = Finding("DLV-1", "", complaint, "type")
        everything = (finding, *(error for errors in judgement.errors.values() for error in errors))
        answer = problem(400, f"The body {complaint}", str(self._count), everything, judgement.batch)
        return (finding,), answer

    def _judge(self, body: bytes) -> _Judgement:
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            finding = Finding("DLV-1", "", f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})")
            return _Judgement(body_errors=(finding,))
        batch = isinstance(data, list)
        events: list[Any] = data if isinstance(data, list) else [data]
        judgement = _Judgement(events, batch)
        if not self._schema.all_valid(events):
            for index, event in enumerate(events):
                errors = self._schema.findings(event, (index,) if batch else ())
                if errors:
                    judgement.errors[index] = errors
        if self.settings.lenient and not self._strict.all_valid(events):
            for index, event in enumerate(events):
                remarks = self._strict.findings(event, (index,) if batch else ())
                known = {error.pointer for error in judgement.errors.get(index, ())}
                judgement.remarks[index] = tuple(remark for remark in remarks if remark.pointer not in known)
        self._ask_sdk(judgement)
        self._suspect(judgement)
        return judgement

    def _ask_sdk(self, judgement: _Judgement) -> None:
        """Let the CloudEvents SDK judge the envelopes, too: all of them, or one of each set of members."""
        thorough = self.settings.thorough
        if not thorough and not judgement.errors and self._shapes.issuperset(map(tuple, judgement.events)):
            return
        for index, event in enumerate(judgement.events):
            if not isinstance(event, dict):
                continue
            shape = tuple(event)
            if not thorough and index not in judgement.errors and shape in self._shapes:
                continue
            at: tuple[str | int, ...] = (index,) if judgement.batch else ()
            errors = judgement.errors.get(index, ())
            known = {error.pointer for error in errors}
            further = tuple(
                Finding("EVT-1", pointer, message)
                for member, message in cloudevents_check.complaints(event)
                if (pointer := body_pointer((*at, member))) not in known
            )
            if further:
                judgement.errors[index] = errors + further
            elif not errors:
                if len(self._shapes) >= _SHAPES_REMEMBERED:
                    self._shapes.clear()
                self._shapes.add(shape)

    @staticmethod
    def _suspect(judgement: _Judgement) -> None:
        """Remark on subjects that stand for "none" (DRP-1). The API takes them; a bill should not."""
        events = judgement.events
        if not judgement.errors and _PLACEHOLDER_SUBJECT not in [event["subject"] for event in events]:
            return
        for index, event in enumerate(events):
            if isinstance(event, dict) and event.get("subject") == _PLACEHOLDER_SUBJECT:
                at = (index, "subject") if judgement.batch else ("subject",)
                remark = Finding("DRP-1", body_pointer(at), _SUSPICIOUS)
                judgement.remarks[index] = (*judgement.remarks.get(index, ()), remark)

    def _take_in(self, judgement: _Judgement) -> tuple[Sequence[Verdict], Sequence[int]]:
        events = judgement.events
        keys = [mark((event["source"], event["id"])) for event in events]
        verdicts: list[Verdict]
        if self._seen.add_new(keys):
            verdicts = [ACCEPTED] * len(keys)
        else:
            fresh = [self._seen.add(key) for key in keys]
            verdicts = [ACCEPTED if new else DUPLICATE for new in fresh]
            keys = [key for key, new in zip(keys, fresh, strict=True) if new]
        for index, remarks in judgement.remarks.items():
            if remarks:
                verdicts[index] = Verdict(verdicts[index].verdict, remarks)
        return verdicts, keys

    @staticmethod
    def _refused(judgement: _Judgement) -> Sequence[Verdict]:
        verdicts = [REFUSED] * len(judgement.events)
        for index, remarks in judgement.remarks.items():
            verdicts[index] = Verdict("refused", remarks)
        for index, errors in judgement.errors.items():
            verdicts[index] = Verdict("invalid", errors + judgement.remarks.get(index, ()))
        return verdicts

    def _bad_request(self, judgement: _Judgement) -> Answer:
        if judgement.body_errors:
            detail = f"The body {judgement.body_errors[0].message}"
        elif judgement.batch:
            detail = f"[{len(judgement.errors)}] of [{len(judgement.events)}] events are not valid"
        else:
            detail = "The event is not valid"
        findings = [error for index in sorted(judgement.errors) for error in judgement.errors[index]]
        return problem(400, detail, str(self._count), [*judgement.body_errors, *findings], judgement.batch)

    def _scripted(self, request: IngestRequest, fault: Fault) -> Answer:
        assert fault.status is not None
        headers = fault.headers
        if fault.redirects and not any(name.lower() == "location" for name, _ in headers):
            headers = (*headers, ("Location", request.path))
        return problem(fault.status, "Answered so by the fault script", str(self._count), headers=headers)


def _same(given: str, known: str) -> bool:
    """Compare two tokens in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("latin-1", "replace"), known.encode("utf-8", "surrogateescape"))


def _summary(status: int) -> str:
    return {
        401: "no bearer token in Authorization",
        403: "the bearer token is not the expected one",
        404: "the path is not that of the ingest endpoint",
        405: "the method is not POST",
    }[status]
