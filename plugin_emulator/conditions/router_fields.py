"""The fields of router expressions, with their types (SPEC CND-4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from . import facts
from .facts import FIXED, Reader


class Type(Enum):
    """The type of a field, as Kong's documents name it."""

    STRING = "String"
    STRINGS = "String[]"
    INT = "Int"
    ADDRESS = "IpAddr"


@dataclass(frozen=True, slots=True)
class Field:
    """A field with the reader of its value."""

    name: str
    type: Type
    reader: Reader


_STRINGS = (
    *("http.method", "http.host", "http.path", "net.protocol", "net.tls.sni"),
    *("route.id", "route.name", "service.id", "service.name"),
    *("consumer.id", "consumer.username", "consumer.custom_id"),
)
_FIXED = {
    **{name: Field(name, Type.STRING, FIXED[name]) for name in _STRINGS},
    "tls.sni": Field("tls.sni", Type.STRING, FIXED["net.tls.sni"]),
    "http.path.segments.len": Field("http.path.segments.len", Type.INT, lambda request: len(facts.segments(request))),
    **{name: Field(name, Type.INT, FIXED[name]) for name in ("net.src.port", "net.dst.port")},
    **{name: Field(name, Type.ADDRESS, FIXED[name]) for name in ("net.src.ip", "net.dst.ip")},
}
#: What a message lists.
KNOWN = (*_FIXED, "http.headers.<name>", "http.queries.<name>", "http.path.segments.<index>", "kong.ctx.shared.<key>")
_SEGMENTS = re.compile(r"http\.path\.segments\.([0-9]{1,4})(?:_([0-9]{1,4}))?")


def field_of(name: str) -> Field | None:
    """Return the field of that name; None when there is none."""
    field = _FIXED.get(name)
    if field is not None:
        return field
    if name.startswith("http.headers.") and len(name) > len("http.headers."):
        return Field(name, Type.STRINGS, facts.all_headers(name.removeprefix("http.headers.")))
    if name.startswith("http.queries.") and len(name) > len("http.queries."):
        return Field(name, Type.STRINGS, facts.all_queries(name.removeprefix("http.queries.")))
    if name.startswith("kong.ctx.shared.") and len(name) > len("kong.ctx.shared."):
        return Field(name, Type.STRING, facts.nothing)
    found = _SEGMENTS.fullmatch(name)
    if found is None:
        return None
    first = int(found[1])
    last = first if found[2] is None else int(found[2])
    if found[2] is not None and first >= last:
        return None
    return Field(name, Type.STRING, facts.join_segments(first, last))
