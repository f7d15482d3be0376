"""What a condition may ask about one request (SPEC CND-2, CND-4).

A condition is compiled to the readers of the fields that it names; nothing else is looked up in a request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

#: A field's value; None where the request has none.
Value = str | int | bool | tuple[str, ...] | None
Reader = Callable[["Facts"], Value]

#: Kong reads no more query parameters than this.
_MAX_PARAMETERS = 100


@dataclass(frozen=True, slots=True)
class EntityFacts:
    """The matched Route, or its Service."""

    id: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConsumerFacts:
    """The authenticated Consumer."""

    id: str | None = None
    username: str | None = None
    custom_id: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PluginFacts:
    """A plugin that is configured: whether its scope, Consumers aside, fits the request, and whether it has run."""

    is_matched: bool
    priority: int
    access_has_executed: bool


@dataclass(slots=True, eq=False)
class Facts:
    """One request just before a plugin's access phase.

    ``path`` is normalised and without query, ``query`` raw, ``host`` without port and lower-case. ``headers`` keeps
    order and repetition. All is text, not bytes as latin-1. ``plugins`` is by name with underscores.
    """

    method: str = "GET"
    path: str = "/"
    host: str | None = None
    headers: Sequence[tuple[str, str]] = ()
    query: str = ""
    protocol: str | None = "http"
    sni: str | None = None
    src_ip: str | None = None
    src_port: int | None = None
    dst_ip: str | None = None
    dst_port: int | None = None
    route: EntityFacts | None = None
    service: EntityFacts | None = None
    consumer: ConsumerFacts | None = None
    plugins: Mapping[str, PluginFacts] = field(default_factory=dict)


#: Fields that have a fixed name.
FIXED: dict[str, Reader] = {
    "http.method": lambda facts: facts.method,
    "http.host": lambda facts: facts.host or None,
    "http.path": lambda facts: facts.path,
    "net.protocol": lambda facts: facts.protocol,
    "net.tls.sni": lambda facts: facts.sni,
    "net.src.ip": lambda facts: facts.src_ip or None,
    "net.src.port": lambda facts: facts.src_port,
    "net.dst.ip": lambda facts: facts.dst_ip or None,
    "net.dst.port": lambda facts: facts.dst_port,
    "route.id": lambda facts: facts.route.id if facts.route else None,
    "route.name": lambda facts: facts.route.name if facts.route else None,
    "route.tags": lambda facts: (facts.route.tags or None) if facts.route else None,
    "service.id": lambda facts: facts.service.id if facts.service else None,
    "service.name": lambda facts: facts.service.name if facts.service else None,
    "service.tags": lambda facts: (facts.service.tags or None) if facts.service else None,
    "consumer.id": lambda facts: facts.consumer.id if facts.consumer else None,
    "consumer.username": lambda facts: facts.consumer.username if facts.consumer else None,
    "consumer.custom_id": lambda facts: facts.consumer.custom_id if facts.consumer else None,
    "consumer.tags": lambda facts: (facts.consumer.tags or None) if facts.consumer else None,
}


def nothing(facts: Facts) -> Value:
    """Read a field that no request has here, such as a Consumer Group: the emulated gateway has none."""
    return None


def segments(facts: Facts) -> tuple[str, ...]:
    """Return the non-empty segments of the path."""
    return tuple([part for part in facts.path.split("/") if part])


def all_headers(name: str) -> Reader:
    """Return the reader of every value of a header, whose ``name`` is lower-case with underscores for dashes."""
    length = len(name)

    def read(facts: Facts) -> Value:
        values = [
            value.strip(" \t")
            for given, value in facts.headers
            if len(given) == length and given.lower().replace("-", "_") == name
        ]
        return tuple(values) or None

    return read


def all_queries(name: str) -> Reader:
    """Return the reader of every value of a query parameter, percent-decoded; one without ``=`` counts as empty."""

    def read(facts: Facts) -> Value:
        if not facts.query:
            return None
        pairs = [part.partition("=") for part in facts.query.split("&")[:_MAX_PARAMETERS]]
        values = [unquote_plus(value) for given, _, value in pairs if given and unquote_plus(given) == name]
        return tuple(values) or None

    return read


def first_of(values: Reader) -> Reader:
    """Return the reader of the first of several values."""

    def read(facts: Facts) -> Value:
        found = values(facts)
        return found[0] if isinstance(found, tuple) else None

    return read


def plugin_state(name: str, attribute: str) -> Reader:
    """Return the reader of ``is_matched``, ``priority`` or ``access_has_executed`` of a plugin.

    All are None for a plugin that is not configured; one that is not matched has no priority.
    """

    def read(facts: Facts) -> Value:
        plugin = facts.plugins.get(name)
        if plugin is None:
            return None
        if attribute == "is_matched":
            return plugin.is_matched
        if attribute == "access_has_executed":
            return plugin.access_has_executed
        return plugin.priority if plugin.is_matched else None

    return read


def join_segments(first: int, last: int) -> Reader:
    """Return the reader of the path's segments from ``first`` to ``last``, both included and from 0."""

    def read(facts: Facts) -> Value:
        parts = segments(facts)
        return "/".join(parts[first : last + 1]) if last < len(parts) else None

    return read
