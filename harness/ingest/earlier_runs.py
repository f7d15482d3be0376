"""What an endpoint knows again of earlier runs: the entries that the capture it appends to has as taken in."""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec

from harness.capture.store import CaptureWriter
from harness.ingest.api import IngestApi

#: Most entries that are looked for at a start: what tells them apart is in the bodies, which takes time to read.
MOST = 100_000


class _Identity(msgspec.Struct, gc=False):
    """The members that an entry of any API is known again by; the rest of it is not built."""

    id: str | None = None
    source: str | None = None
    uniqueId: str | None = None  # noqa: N815 - the record's


_many = msgspec.json.Decoder(list[_Identity])
_one = msgspec.json.Decoder(_Identity)


def marks_of_earlier_runs(capture: CaptureWriter, lane: str, api: IngestApi, most: int) -> list[int]:
    """Return the marks of the newest entries of ``api`` that ``capture`` has as taken in by ``lane``, oldest first.

    They are those of at most ``most`` entries, and of at most ``MOST``. Raises CaptureError and CaptureFormatError.
    """
    most = min(most, MOST)
    marks: list[int] = []
    for body, verdicts in capture.taken_in(lane):
        known = [api.mark_of(entry.id, entry.source, entry.uniqueId) for entry in _entries(body)]
        taken = [
            mark
            for index, mark in enumerate(known)
            if mark is not None and (verdicts is None or verdicts[index] in ("accepted", "duplicate"))
        ]
        marks += reversed(taken)
        if len(marks) >= most:
            break
    return list(reversed(list(islice(marks, most))))


def _entries(body: bytes) -> list[_Identity]:
    try:
        return [_one.decode(body)] if body.startswith(b"{") else _many.decode(body)
    except msgspec.ValidationError:  # one of them is invalid, or the body begins with a blank
        document: Any = msgspec.json.decode(body)
        entries = document if isinstance(document, list) else [document]
        return [_identity(entry) for entry in entries]


def _identity(entry: Any) -> _Identity:
    members = entry if isinstance(entry, dict) else {}
    texts = (members.get(name) for name in ("id", "source", "uniqueId"))
    return _Identity(*(text if isinstance(text, str) else None for text in texts))
