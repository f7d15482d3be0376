"""The ingest API's error answers: problem documents (``application/problem+json``)."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import orjson

from harness.ingest.messages import Answer, Finding, Headers

CONTENT_TYPE = "application/problem+json"


def problem(
    status: int, detail: str, trace: str, findings: Iterable[Finding] = (), batch: bool = False, headers: Headers = ()
) -> Answer:
    """Return the answer for a request that was not accepted.

    ``trace`` is the correlation id shown as ``instance``. ``findings`` become ``invalid_parameters``, one for each
    member that is wrong; ``batch`` says that the first step of their pointers counts events.
    """
    document: dict[str, Any] = {
        "status": status,
        "title": _title(status),
        "type": f"https://httpstatuses.com/{status}",
        "instance": f"kong:trace:{trace}",
        "detail": detail,
    }
    parameters = {
        (finding.source, finding.pointer, finding.constraint, finding.message): {
            "field": _field(finding, batch),
            "rule": finding.constraint,
            "reason": finding.message,
            "source": finding.source,
        }
        for finding in findings
    }
    if parameters:
        document["invalid_parameters"] = list(parameters.values())
    return Answer(status, (("Content-Type", CONTENT_TYPE), *headers), orjson.dumps(document))


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase.capitalize()
    except ValueError:
        return "Error"


def _field(finding: Finding, batch: bool) -> str:
    """Return the member a finding is about as the API writes it: ``[2].data.tokens``, or ``body``."""
    if finding.source == "header":
        return finding.pointer
    parts = [part.replace("~1", "/").replace("~0", "~") for part in finding.pointer.split("/")[1:]]
    if batch and parts:
        parts[0] = f"[{parts[0]}]"
    return ".".join(parts) or "body"
