"""Which of a request's headers or parameters may have been meant by a name that is not among them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import msgspec

from plugin_emulator.journal import SubjectReading

#: Share of characters that two names must have in common, in order.
_ALIKE = 0.8
#: How the headers begin that the gateway itself adds of an authenticated Consumer: nobody misspelt those.
_OF_THE_GATEWAY = ("x-consumer-", "x-credential-", "x-anonymous-")


def near_name(wanted: str, names: Iterable[str]) -> str | None:
    """Return the one of ``names`` (as it is written) that is most like ``wanted`` without case, or None."""
    written = {name.lower(): name for name in names}
    candidates = [name for name in written if not name.startswith(_OF_THE_GATEWAY)]
    near = difflib.get_close_matches(wanted.lower(), candidates, n=1, cutoff=_ALIKE)
    return written[near[0]] if near else None


def subject_not_found(wanted: SubjectReading, headers: Sequence[tuple[str, str]], query: str) -> SubjectReading:
    """Return a reading that found nothing, or nothing but blanks, with what else of the request may explain it."""
    field = wanted.field or ""
    lower = field.lower()
    in_headers = [name for name, _ in headers]
    in_query = [pair.partition("=")[0] for pair in query.split("&")] if query else []
    in_header = wanted.look_up_value_in == "header"
    if wanted.value is not None:
        times = sum(name.lower() == lower for name in in_headers) if in_header else in_query.count(field)
        return msgspec.structs.replace(wanted, times=max(times, 1))
    here, there = (in_headers, in_query) if in_header else (in_query, in_headers)
    elsewhere = None
    if any(name.lower() == lower for name in there):
        elsewhere = "query" if in_header else "header"
    return msgspec.structs.replace(wanted, near=near_name(field, here), elsewhere=elsewhere)
