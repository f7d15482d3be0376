"""What of a message's head is passed on, and in which order.

Both classes are made once for a head's bytes and kept: a client or an upstream mostly repeats itself, so the work of
parsing is paid once for many messages.
"""

from __future__ import annotations

from plugin_emulator.gateway.http1 import (
    Fields,
    ResponseHead,
    parse_fields,
    parse_response_head,
    request_framing,
    tokens,
)
from plugin_emulator.gateway.key_auth import IDENTITY_HEADERS, Identity

#: Request headers that the gateway replaces or that end at it.
_NOT_FORWARDED = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-path",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-kong-request-id",
        "x-real-ip",
    )
)
_SPECIAL = _NOT_FORWARDED | IDENTITY_HEADERS
#: Response headers that end at the gateway, or that it writes first.
_NOT_RELAYED = frozenset(
    (
        "connection",
        "content-length",
        "content-type",
        "keep-alive",
        "last-modified",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
        "x-accel-buffering",
        "x-accel-charset",
        "x-accel-expires",
        "x-accel-limit-rate",
        "x-accel-redirect",
    )
)


#: Identities whose headers are kept with a client's own; more than one only where keys come in the query.
_LOGGED_KEPT = 64


def text_of(wire: str) -> str:
    """Return the text that bytes of a message stand for; the gateway itself handles them as latin-1."""
    return wire if wire.isascii() else wire.encode("latin-1").decode("utf-8", "replace")


class RequestHeaders:
    """The header lines of a request. Raises MessageError for those no server may accept.

    ``wire`` are the lines passed on upstream, ``anonymous_wire`` and ``anonymous_pairs`` the same without any claim
    to be a Consumer. ``host`` is the raw Host header, None without one.
    """

    __slots__ = (
        "_logged",
        "_without",
        "anonymous_pairs",
        "anonymous_wire",
        "chunked",
        "content_length",
        "expects_continue",
        "fields",
        "forwarded_for",
        "host",
        "keep_alive",
        "minor",
        "upstream_te",
        "via",
        "wire",
    )

    def __init__(self, fields: Fields, minor: int) -> None:
        self.fields = fields
        self.minor = minor
        first = fields.first
        self.host = first.get("host")
        self.content_length: int | None = None
        self.chunked = False
        self.keep_alive = minor == 1
        self.expects_continue = False
        #: what stands before the gateway's own entry in Via and in X-Forwarded-For
        self.via = ""
        self.forwarded_for = ""
        self.upstream_te = ""
        self.anonymous_pairs = fields.pairs
        dropped = _NOT_FORWARDED
        special = first.keys() & _SPECIAL
        if len(special) > 1 or "host" not in special or fields.repeated:
            options = frozenset(tokens(fields.joined("connection")))
            dropped |= options - {"close"}
            self.content_length, self.chunked = request_framing(fields, minor)
            self.keep_alive = "close" not in options and (minor == 1 or "keep-alive" in options)
            self.expects_continue = minor == 1 and first.get("expect", "").lower() == "100-continue"
            via = fields.joined("via")
            self.via = f"{via}, " if via else ""
            forwarded = fields.joined("x-forwarded-for")
            self.forwarded_for = f"{forwarded}, " if forwarded else ""
            self.upstream_te = "TE: trailers\r\n" if first.get("te", "").lower() == "trailers" else ""
        self.wire = self.anonymous_wire = "".join(
            [f"{name}: {value}\r\n" for name, value in fields.pairs if name.lower() not in dropped]
        )
        if not IDENTITY_HEADERS.isdisjoint(special):
            self.anonymous_pairs = [pair for pair in fields.pairs if pair[0].lower() not in IDENTITY_HEADERS]
            self.anonymous_wire = "".join(
                [f"{name}: {value}\r\n" for name, value in self.anonymous_pairs if name.lower() not in dropped]
            )
        self._without: dict[str, RequestHeaders] = {}
        self._logged: dict[Identity | None, list[tuple[str, str]]] = {}

    def logged(self, identity: Identity | None) -> list[tuple[str, str]]:
        """Return the headers as the log phase sees them, with those of the Consumer: always the same list.

        Bytes beyond ASCII are UTF-8 there, since an event's text is.
        """
        pairs = self._logged.get(identity)
        if pairs is None:
            wire = self.fields.pairs if identity is None else self.anonymous_pairs + identity.pairs
            if len(self._logged) >= _LOGGED_KEPT:
                self._logged.clear()
            pairs = self._logged[identity] = [(name, text_of(value)) for name, value in wire]
        return pairs

    @classmethod
    def parse(cls, block: bytes, minor: int) -> RequestHeaders:
        """Read header lines. Raises MessageError."""
        return cls(parse_fields(block), minor)

    def without(self, name: str) -> RequestHeaders:
        """Return these headers without the one called ``name``."""
        name = name.lower()
        if name not in self.fields.first:
            return self
        reduced = self._without.get(name)
        if reduced is None:
            fields = Fields(
                [pair for pair in self.fields.pairs if pair[0].lower() != name],
                {each: value for each, value in self.fields.first.items() if each != name},
                self.fields.repeated - {name},
            )
            reduced = self._without[name] = RequestHeaders(fields, self.minor)
        return reduced


class ResponseHeaders:
    """The head of an upstream's response and how it goes on to the client. Raises ResponseError."""

    __slots__ = ("_kept", "_slots", "_start", "_via", "head")

    def __init__(self, raw: bytes, server: str, via: str) -> None:
        self.head: ResponseHead = parse_response_head(raw)
        fields = self.head.fields
        first = fields.first
        self._via = via
        start = ""
        for name, lower in (
            ("Content-Type", "content-type"),
            ("Content-Length", "content-length"),
            ("Last-Modified", "last-modified"),
        ):
            if lower in first and not (lower == "content-length" and self.head.content_length is None):
                start += f"{name}: {first[lower]}\r\n"
        self._start = start
        kept = ""
        #: the gateway's own headers that the upstream has sent too: they stay where they stood
        slots = []
        for name, value in fields.pairs:
            lower = name.lower()
            if lower in _NOT_RELAYED:
                continue
            own = _OWN_HEADERS.get(lower)
            if own is None:
                kept += f"{name}: {value}\r\n"
            elif lower not in slots:
                slots.append(lower)
                kept += own
        self._kept = kept if "server" in first else f"{kept}Server: {server}\r\n"
        self._slots = tuple(slots)

    def render(
        self, upstream_latency: int, proxy_latency: int, request_id: str, *, chunked: bool, keep_alive: bool
    ) -> bytes:
        """Return the head for the client; latencies are in milliseconds."""
        head = self.head
        framing = "Transfer-Encoding: chunked\r\n" if chunked else ""
        option = "keep-alive" if keep_alive else "close"
        if self._slots:
            return self._render_in_place(
                f"HTTP/1.1 {head.status} {head.reason}\r\n{self._start}{framing}Connection: {option}\r\n",
                {
                    "x-kong-upstream-latency": f"X-Kong-Upstream-Latency: {upstream_latency}\r\n",
                    "x-kong-proxy-latency": f"X-Kong-Proxy-Latency: {proxy_latency}\r\n",
                    "via": f"Via: {head.fields.joined('via') or ''}, {self._via}\r\n",
                    "x-kong-request-id": f"X-Kong-Request-Id: {request_id}\r\n",
                },
            )
        return (
            f"HTTP/1.1 {head.status} {head.reason}\r\n{self._start}{framing}Connection: {option}\r\n"
            f"{self._kept}"
            f"X-Kong-Upstream-Latency: {upstream_latency}\r\nX-Kong-Proxy-Latency: {proxy_latency}\r\n"
            f"Via: {self._via}\r\nX-Kong-Request-Id: {request_id}\r\n\r\n"
        ).encode("latin-1")

    def _render_in_place(self, start: str, own: dict[str, str]) -> bytes:
        kept = self._kept
        if "via" not in self._slots:
            own["via"] = f"Via: {self._via}\r\n"
        for name in self._slots:
            kept = kept.replace(_OWN_HEADERS[name], own.pop(name))
        return (start + kept + "".join(own.values()) + "\r\n").encode("latin-1")


#: Stand-ins inside a head under construction; no header can hold a NUL, so none is mistaken for one.
_OWN_HEADERS = {
    "x-kong-upstream-latency": "\0u",
    "x-kong-proxy-latency": "\0p",
    "via": "\0v",
    "x-kong-request-id": "\0r",
}
