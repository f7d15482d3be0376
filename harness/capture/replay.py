"""Sends captured batches again, to another endpoint."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import requests

from harness.capture.record import CapturedRequest
from harness.capture.redaction import REDACTED

#: Headers that belong to a connection or are made anew.
_NOT_SENT = frozenset({"host", "content-length", "connection", "transfer-encoding", "keep-alive", "expect"})
_LONGEST = 30.0  # seconds for an answer


class Sent(msgspec.Struct, frozen=True):
    """One captured request sent again: its place, its number ``n`` in its lane, and the ``status`` then and now.

    ``problem`` is why there was no answer.
    """

    request: int
    n: int
    lane: str
    entries: int
    status_then: int | None
    status: int | None
    problem: str | None = None

    @property
    def taken(self) -> bool:
        """Whether it was answered with success."""
        return self.status is not None and 200 <= self.status < 300


def replay(
    captured: Iterable[tuple[int, CapturedRequest]],
    url: str,
    token: str | None,
    *,
    new_ids: bool = False,
    speed: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Sent]:
    """POST the body of each request, given with its place, to ``url``, one after the other; yield how it went.

    Where the capture has a redacted secret, ``token`` takes its place in the same form, or the header is left out.
    ``new_ids`` gives each event an id of its own. ``speed`` 1 keeps the pauses of the capture, 2 halves them; None
    makes none.
    """
    before: CapturedRequest | None = None
    with requests.Session() as session:
        session.trust_env = False  # neither a proxy nor .netrc's credentials
        for place, request in captured:
            if before is not None and speed is not None:
                sleep(max(0.0, request.arrived_at - before.arrived_at) / speed)
            before = request
            yield _sent(session, place, request, url, token, new_ids)


def _sent(
    session: requests.Session, place: int, request: CapturedRequest, url: str, token: str | None, new_ids: bool
) -> Sent:
    body = request.body_bytes()
    status: int | None = None
    problem: str | None = None
    try:
        answer = session.post(
            url,
            data=_with_new_ids(body) if new_ids else body,
            headers=_headers(request, token),
            timeout=_LONGEST,
            allow_redirects=False,
        )
        status = answer.status_code
    except requests.RequestException as error:
        problem = type(error).__name__
    return Sent(place, request.n, request.lane, len(request.verdicts), request.status, status, problem)


def _headers(request: CapturedRequest, token: str | None) -> dict[str, str]:
    sent: dict[str, str] = {}
    for name, value in request.headers:
        if name.lower() in _NOT_SENT:
            continue
        if value.endswith(REDACTED):
            if token is None or name.lower() not in ("authorization", "x-api-key"):
                continue
            value = value.removesuffix(REDACTED) + token
        sent[name] = value
    return sent


def _with_new_ids(body: bytes) -> bytes:
    try:
        document: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body
    for entry in document if isinstance(document, list) else [document]:
        for name in ("id", "uniqueId"):
            if isinstance(entry, dict) and name in entry:
                entry[name] = str(uuid.uuid4())
    return msgspec.json.encode(document)
