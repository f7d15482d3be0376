"""HTTP/1.x as bytes and text: heads, header fields, body framing. No sockets, no clock.

The rules are those of the web server inside Kong: it takes a bare LF for a line end, ignores header names it does
not like, and refuses what could be read in two ways (two Hosts, two lengths, a length beside an encoding).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

#: Longest request line or header line, and longest head, in bytes (four buffers of 8 KiB).
MAX_LINE = 8192
MAX_HEAD = 4 * MAX_LINE

REASONS: dict[int, str] = {
    200: "OK",
    201: "Created",
    204: "No Content",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Not Allowed",
    414: "Request-URI Too Large",
    426: "Upgrade Required",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
    505: "HTTP Version Not Supported",
}

_SHORT_LINE = 256
_NONE: frozenset[str] = frozenset()
_HEAD_END = re.compile(rb"\n\r?\n")
_NAME = re.compile(r"[0-9A-Za-z_-]+")
_METHOD = re.compile(r"[A-Z_-]+")
_VERSION = re.compile(r"HTTP/(\d)\.(\d)")
_UNSAFE_IN_TARGET = re.compile(r"[\x00-\x20\x7f]")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)(.*)", re.DOTALL)
_STATUS_LINE = re.compile(r"HTTP/1\.(\d) ([1-9]\d\d)(?: (.*))?")


class MessageError(ValueError):
    """A request that cannot be served as it stands. ``status`` is the answer, ``message`` its text."""

    def __init__(self, status: int = 400, message: str = "Bad request") -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class ResponseError(ValueError):
    """An upstream's answer is not HTTP/1.x."""


@dataclass(frozen=True, slots=True)
class RequestLine:
    """``method``, ``path`` and ``query`` as sent; ``query`` is None without a question mark.

    ``host`` is that of an absolute request target, otherwise None; ``minor`` is 0 or 1.
    """

    method: str
    path: str
    query: str | None
    host: str | None
    minor: int


@dataclass(frozen=True, slots=True)
class Fields:
    """Header fields: all of them in order, the first value by lower-case name, and the names given repeatedly."""

    pairs: list[tuple[str, str]]
    first: dict[str, str]
    repeated: frozenset[str]

    def joined(self, name: str) -> str | None:
        """Return all values of the lower-case ``name``, separated by a comma and a blank, or None."""
        if name not in self.repeated:
            return self.first.get(name)
        return ", ".join(value for given, value in self.pairs if given.lower() == name)


def head_end(data: bytes) -> int:
    """Return the index just after the head that ``data`` begins with, or -1 when it is not complete."""
    strict = data.find(b"\r\n\r\n")
    lax = _HEAD_END.search(data, 0, len(data) if strict < 0 else strict + 4)
    return lax.end() if lax else -1


def parse_request_line(line: bytes) -> RequestLine:
    """Read a request line without its line end. Raises MessageError."""
    if len(line) > MAX_LINE:
        raise MessageError(414, "URI too long")
    parts = line.decode("latin-1").split(" ")
    if len(parts) != 3 or not _METHOD.fullmatch(parts[0]) or _UNSAFE_IN_TARGET.search(parts[1]):
        raise MessageError
    method, target, version = parts
    digits = _VERSION.fullmatch(version)
    if not digits:
        raise MessageError
    if digits[1] != "1":
        raise MessageError(505, "The upstream server responded with 505")
    if method in ("CONNECT", "TRACE"):
        raise MessageError(405, "Method not allowed")
    host = None
    if not target.startswith("/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if not absolute:
            raise MessageError
        host, target = absolute.groups()
        if not target.startswith("/"):
            target = "/" + target
    path, mark, query = target.partition("?")
    return RequestLine(method, path.partition("#")[0], query if mark else None, host, min(int(digits[2]), 1))


def parse_fields(block: bytes, *, lenient: bool = True) -> Fields:
    """Read header lines; ``block`` ends with the line end of the last one, or is empty.

    With ``lenient`` a name of unusual characters is left out instead of refused. Raises MessageError.
    """
    text = block.decode("latin-1").replace("\r\n", "\n")
    if text and text[-1] != "\n":
        raise MessageError
    pairs = []
    first: dict[str, str] = {}
    repeated = []
    for line in text[:-1].split("\n") if text else ():
        if len(line) <= _SHORT_LINE:
            parsed = _short_line(line, lenient)
        elif len(line) > MAX_LINE:
            raise MessageError(400, "Request header or cookie too large")
        else:
            parsed = _parse_line(line, lenient)
        if parsed is None:
            continue
        pair, lower = parsed
        pairs.append(pair)
        if lower in first:
            repeated.append(lower)
        else:
            first[lower] = pair[1]
    return Fields(pairs, first, frozenset(repeated) if repeated else _NONE)


def _parse_line(line: str, lenient: bool) -> tuple[tuple[str, str], str] | None:
    """Return a header line's name and value, and its lower-case name; None for one to leave out."""
    name, colon, value = line.partition(":")
    if not colon or "\0" in value or "\r" in value:
        raise MessageError
    if not _NAME.fullmatch(name):
        if not name or any(character <= " " or character == "\x7f" for character in name):
            raise MessageError
        if lenient:
            return None
    return (name, value.strip(" \t")), name.lower()


#: Most header lines come again and again: a client's own, an upstream's.
_short_line = functools.lru_cache(maxsize=8192)(_parse_line)


def request_framing(fields: Fields, minor: int) -> tuple[int | None, bool]:
    """Return (content length or None, whether the body is chunked) of a request. Raises MessageError."""
    first = fields.first
    if fields.repeated and fields.repeated & {"host", "content-length", "transfer-encoding"}:
        raise MessageError
    encoding = first.get("transfer-encoding")
    length = first.get("content-length")
    if encoding is not None:
        if minor == 0 or length is not None:
            raise MessageError
        if encoding.lower() != "chunked":
            raise MessageError(501, "The upstream server responded with 501")
        return None, True
    if length is not None:
        if not (length.isascii() and length.isdigit()) or len(length) > 18:
            raise MessageError
        return int(length), False
    return None, False


def tokens(value: str | None) -> Iterable[str]:
    """Yield the lower-case members of a comma-separated header value."""
    return (part.strip().lower() for part in value.split(",")) if value else ()


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """An upstream's status line and header fields.

    ``content_length`` is None when the body is chunked or ends with the connection; ``keep_alive`` tells whether the
    connection can serve another request.
    """

    status: int
    reason: str
    fields: Fields
    content_length: int | None
    chunked: bool
    keep_alive: bool


def parse_response_head(head: bytes) -> ResponseHead:
    """Read a status line with header fields, up to and including the empty line. Raises ResponseError."""
    end = head.find(b"\n") + 1
    match = _STATUS_LINE.fullmatch(head[:end].decode("latin-1").rstrip("\r\n"))
    if not match:
        raise ResponseError("no status line")
    try:
        block = head[end:-2] if head.endswith(b"\r\n") else head[end:-1]
        fields = parse_fields(block, lenient=False)
    except MessageError as error:
        raise ResponseError("malformed header") from error
    first = fields.first
    chunked = "chunked" in tokens(first.get("transfer-encoding"))
    length = None if chunked else first.get("content-length")
    if length is not None and not (length.isascii() and length.isdigit() and len(length) <= 18):
        raise ResponseError("Content-Length is no number")
    if length is not None and "content-length" in fields.repeated:
        raise ResponseError("Content-Length is given twice")
    options = set(tokens(fields.joined("connection")))
    keep_alive = "close" not in options if match[1] != "0" else "keep-alive" in options
    return ResponseHead(
        int(match[2]), match[3] or "", fields, None if length is None else int(length), chunked, keep_alive
    )


class ChunkedReader:
    """Decodes a chunked body fed in pieces of any size; extensions and trailers are dropped."""

    __slots__ = ("_pending", "_remaining", "_state", "done", "rest")

    def __init__(self) -> None:
        self._pending = b""
        self._remaining = 0
        self._state = "size"
        self.done = False
        #: what came after the end of the body
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return the part of the body that ``data`` completes. Raises MessageError when it is not chunked."""
        if self._pending:
            data = self._pending + data
            self._pending = b""
        parts = []
        at = 0
        while at < len(data) and not self.done:
            if self._state == "data":
                part = data[at : at + self._remaining]
                parts.append(part)
                at += len(part)
                self._remaining -= len(part)
                if not self._remaining:
                    self._state = "after"
                continue
            end = data.find(b"\n", at)
            if end < 0:
                if len(data) - at > MAX_LINE:
                    raise MessageError
                self._pending = data[at:]
                at = len(data)
                break
            line = data[at:end].rstrip(b"\r")
            at = end + 1
            self._line(line)
        if self.done:
            self.rest = data[at:]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _line(self, line: bytes) -> None:
        if self._state == "after":
            if line:
                raise MessageError
            self._state = "size"
        elif self._state == "trailer":
            self.done = not line
        else:
            size = line.partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", size):
                raise MessageError
            self._remaining = int(size, 16)
            self._state = "data" if self._remaining else "trailer"
