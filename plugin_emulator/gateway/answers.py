"""Answers the gateway gives by itself: the message in the form the client accepts, with Kong's headers."""

from __future__ import annotations

import re
from email.utils import formatdate

from plugin_emulator.gateway.http1 import REASONS

JSON = "application/json; charset=utf-8"
PLAIN = "text/plain; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_XML = "application/xml; charset=utf-8"

_TYPES = {
    "application/json": JSON,
    "application/*": JSON,
    "application/xml": _XML,
    "text/html": _HTML,
    "text/plain": PLAIN,
    "text/*": PLAIN,
}
_FORMS = {
    JSON: '{{\n  "message":"{0}",\n  "request_id":"{1}"\n}}',
    PLAIN: "{0}\nrequest_id: {1}\n",
    _XML: (
        '<?xml version="1.0" encoding="UTF-8"?>\n<error>\n  <message>{0}</message>\n'
        "  <requestid>{1}</requestid>\n</error>\n"
    ),
    _HTML: (
        '<!doctype html>\n<html>\n  <head>\n    <meta charset="utf-8">\n    <title>Error</title>\n  </head>\n'
        "  <body>\n    <h1>Error</h1>\n    <p>{0}.</p>\n    <p>request_id: {1}</p>\n  </body>\n</html>\n"
    ),
}
_RANGE = re.compile(r"([a-z0-9][a-z0-9\-!#$&^_+.]+|\*)/([a-z0-9][a-z0-9\-!#$&^_+.]+|\*)", re.IGNORECASE)
_QUALITY = re.compile(r";\s*q=(1(?:\.0{0,3})?|0(?:\.\d{0,3})?)(?:\s*;|\s*$)", re.IGNORECASE)


def content_type_for(accept: str | None, default: str = JSON) -> str:
    """Return the content type of an error for an Accept header; ``default`` when there is none.

    Of several the one with the highest quality decides, the first among equals; what is not on offer gives JSON.
    """
    if accept is None:
        return default
    chosen, best = JSON, 0.0
    for part in accept.split(","):
        media = _RANGE.match(part.strip())
        if media:
            quality = _QUALITY.search(part)
            weight = float(quality[1]) if quality else 1.0
            if weight > best:
                chosen, best = _TYPES.get(media[0], JSON), weight
    return chosen


def error_answer(
    status: int,
    message: str,
    *,
    request_id: str,
    server: str,
    latency: str,
    content_type: str = JSON,
    extra: str = "",
    close: bool = False,
    connection: str | None = None,
    head_only: bool = False,
) -> bytes:
    """Return a whole response.

    ``latency`` and ``extra`` are header lines with their line ends, ``connection`` overrides the Connection header.
    """
    body = _FORMS[content_type].format(message, request_id).encode()
    option = connection or ("close" if close else "keep-alive")
    head = (
        f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Connection: {option}\r\n"
        f"{extra}"
        f"Content-Length: {len(body)}\r\n"
        f"{latency}"
        f"Server: {server}\r\n"
        f"X-Kong-Request-Id: {request_id}\r\n\r\n"
    ).encode("latin-1")
    return head if head_only else head + body
