"""What must not be in a capture: the values of headers that carry a secret."""

from __future__ import annotations

from collections.abc import Iterable

REDACTED = "[redacted]"

#: Header names, in lower case, whose values never leave the process.
SECRET_HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "apikey",
        "api-key",
        "x-api-key",
        "x-api-token",
        "x-auth-token",
        "kong-admin-token",
        "cookie",
        "set-cookie",
    }
)

_SCHEMES = ("Bearer", "Basic", "Digest")


def redacted(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return ``headers`` without the values of secret ones; an authentication scheme that is well known stays."""
    return [(name, _shown(value) if name.lower() in SECRET_HEADERS else value) for name, value in headers]


def _shown(value: str) -> str:
    scheme, blank, _ = value.partition(" ")
    for known in _SCHEMES:
        if blank and scheme.lower() == known.lower():
            return f"{known} {REDACTED}"
    return REDACTED
