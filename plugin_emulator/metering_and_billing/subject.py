"""Who is billed for a request (SPEC SUB-1…8, DRP-1, DRP-2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..exchange import Exchange
from .config import SubjectSource

#: How a Consumer or application without ``field`` is written (SUB-1, SUB-4): ``alice`` or ``consumer:<id>``.
SubjectForm = Literal["username", "prefixed-id"]

#: An exchange, with the headers and query parameters that were looked up in it, to a subject; None or "" for none.
SubjectLookup = Callable[[Exchange, Mapping[str, str], Mapping[str, str]], str | None]


@dataclass(frozen=True, slots=True)
class SubjectRule:
    """How one plugin instance finds the subject.

    ``header`` (lower case) and ``parameter`` name what must be looked up first. ``kind`` is what
    ``data.subject_type`` says (SUB-8). ``absent`` words the drop when nothing was found.
    """

    lookup: SubjectLookup
    kind: str
    absent: str
    header: str | None = None
    parameter: str | None = None


def subject_rule(source: SubjectSource, form: SubjectForm = "username") -> SubjectRule:
    """Return the rule for a configured ``subject``."""
    name = source.field
    match source.look_up_value_in:
        case "header":
            return _header_rule(name)
        case "query":
            return _query_rule(name)
        case "application":
            return _application_rule(name, form)
        case _:
            return _consumer_rule(name, form)


def _header_rule(name: str | None) -> SubjectRule:
    if not name:
        return _never("header", "subject.field names no header")
    key = name.lower()
    return SubjectRule(
        lambda exchange, headers, parameters: headers.get(key),
        "header",
        f"no header {name!r} in the request",
        header=key,
    )


def _query_rule(name: str | None) -> SubjectRule:
    if not name:
        return _never("query", "subject.field names no query parameter")
    return SubjectRule(
        lambda exchange, headers, parameters: parameters.get(name),
        "query",
        f"no query parameter {name!r} in the request",
        parameter=name,
    )


def _never(kind: str, why: str) -> SubjectRule:
    """A configuration that validates and then drops every event (CFG-5)."""
    return SubjectRule(lambda exchange, headers, parameters: None, kind, why)


def _consumer_rule(name: str | None, form: SubjectForm) -> SubjectRule:
    prefix = "consumer:" if name is None and form == "prefixed-id" else ""
    attribute = name or ("id" if prefix else "username")

    def lookup(exchange: Exchange, headers: Mapping[str, str], parameters: Mapping[str, str]) -> str | None:
        consumer = exchange.consumer
        if consumer is None:
            return None
        value: object = getattr(consumer, attribute, None)
        return prefix + value if isinstance(value, str) and value else None

    absent = "no authenticated Consumer" if name is None else f"no Consumer with a field {name!r}"
    return SubjectRule(lookup, f"consumer_{attribute}", absent)


def _application_rule(name: str | None, form: SubjectForm) -> SubjectRule:
    prefix = "app:" if name is None and form == "prefixed-id" else ""
    key = name or "id"

    def lookup(exchange: Exchange, headers: Mapping[str, str], parameters: Mapping[str, str]) -> str | None:
        application: Mapping[str, Any] | None = exchange.application
        if application is None:
            return None
        value = application.get(key)
        return prefix + value if isinstance(value, str) and value else None

    absent = "no application" if name is None else f"no application with a field {name!r}"
    return SubjectRule(lookup, f"application_{key}", absent)
