"""Absolute http(s) URLs."""

from __future__ import annotations

from urllib.parse import urlsplit

#: What is wrong with any other, as the end of a sentence on an endpoint.
NO_URL = "is empty or no http(s) URL"


def is_http_url(text: str) -> bool:
    """Return whether ``text`` is an absolute http or https URL with a host and, if any, a port that exists."""
    if any(character.isspace() or not character.isprintable() for character in text):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # e.g. a port beyond 65535, an IPv6 address without its bracket
        return False
