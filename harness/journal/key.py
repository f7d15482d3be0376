"""Ids of requests and events as people paste them."""

from __future__ import annotations

import re

_HEADER = re.compile(r"(?:<\s*)?x-kong-request-id\s*:\s*", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f-]{8,}", re.IGNORECASE)


def keys_of(pasted: str) -> tuple[str, ...]:
    """Return the ids that a text may mean, the likeliest first.

    It may be a whole line of an answer, ``X-Kong-Request-Id: …``, have blanks around it, and capitals in an id of
    hexadecimal digits, which the gateway writes without.
    """
    key = pasted.strip()
    header = _HEADER.match(key)
    key = key[header.end() :] if header is not None else key
    return (key, key.lower()) if _HEX.fullmatch(key) and key != key.lower() else (key,)
