"""Amberflo's ingest API (SPEC AMB-8).

Its documents name the header, the members of a record, status 200 and the text that goes with it. They do not say how
a request without a key, with a wrong one or with a record that is none is answered: 401, 403 and 400, and the form of
those answers, are assumptions. To the plugin's client they are all alike: a status of 400 or more is a failure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from harness.ingest.amberflo.aspects import aspects_of_record
from harness.ingest.amberflo.judge import RecordJudge
from harness.ingest.api import Judgement, Refusal
from harness.ingest.five_aspects import FiveAspects
from harness.ingest.media_type import media_type
from harness.ingest.messages import Answer, Finding, Headers, IngestRequest
from harness.ingest.seen_entries import mark

_JSON = "application/json"
_NO_KEY = Refusal(401, "Unauthorized", Finding("AMB-8", "", "no API key in X-API-KEY", source="header"))
_WRONG_KEY = Refusal(403, "Forbidden", Finding("AMB-8", "", "the API key is not the expected one", source="header"))


@dataclass(frozen=True, slots=True)
class AmberfloApi:
    """Fulfils :class:`harness.ingest.api.IngestApi`."""

    name: str = "amberflo"
    entry: str = "record"
    # Amberflo's own Python client writes the path with a slash at its end.
    path_suffixes: tuple[str, ...] = ("/ingest", "/ingest/")
    # Where client 2.0.2 sends to, and later ones (AMB-13).
    hosts: tuple[str, ...] = ("app.amberflo.io", "ingest.amberflo.io")
    request_rule: str = "AMB-8"
    identity: tuple[str, ...] = ("uniqueId", "meterApiName", "customerId")
    no_credential: Refusal = _NO_KEY
    wrong_credential: Refusal = _WRONG_KEY

    def mark_of(self, id_: str | None, source: str | None, unique_id: str | None) -> int | None:
        """Return the memory's mark of a record (AMB-2), as its judge does."""
        return None if unique_id is None else mark(unique_id)

    def five_aspects(self, entry: Any) -> FiveAspects | None:
        """Return the five aspects of a meter record, right or wrong; None when ``entry`` is none."""
        return aspects_of_record(entry)

    def credential(self, request: IngestRequest) -> str:
        """Return the API key, "" when there is none or more than one."""
        keys = request.header_values("x-api-key")
        return keys[0] if len(keys) == 1 else ""

    def content_refusal(self, request: IngestRequest, judgement: Judgement) -> Refusal | None:
        """Return why the content type cannot be taken."""
        given = request.header_values("content-type")
        is_json = len(given) == 1 and media_type(given[0]) == _JSON
        encodings = [value for value in request.header_values("content-encoding") if value.lower() != "identity"]
        if is_json and not encodings:
            return None
        name = "content-encoding" if is_json else "content-type"
        message = f"must be {_JSON}, in UTF-8, without Content-Encoding"
        return Refusal(415, f"The {name} {message}", Finding("AMB-8", name, message, source="header"))

    def judge(self, *, lenient: bool, thorough: bool) -> RecordJudge:
        """Return the judge of a new endpoint."""
        return RecordJudge(lenient=lenient, thorough=thorough)

    def accepted(self, count: int) -> Answer:
        """Return the answer to a request whose records were taken in."""
        return Answer(200, (("Content-Type", "text/plain"),), b"%d records were ingested" % count)

    def error(
        self,
        status: int,
        detail: str,
        trace: str,
        findings: Iterable[Finding] = (),
        batch: bool = False,
        headers: Headers = (),
    ) -> Answer:
        """Return the answer to a request that was not taken in: a JSON object with ``message`` and ``errors``."""
        errors = [f"{finding.pointer}: {finding.message}".removeprefix(": ") for finding in findings]
        document = {"message": detail, "trace": trace} | ({"errors": errors} if errors else {})
        return Answer(status, (("Content-Type", _JSON), *headers), orjson.dumps(document))


AMBERFLO = AmberfloApi()
