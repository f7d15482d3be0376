"""Lint rules on the subject: who is billed, and whether anyone can be."""

from __future__ import annotations

from collections.abc import Iterator

from ..lint.authentication import authenticating
from ..lint.finding import Severity
from ..lint.rule import LintedPlugin, Remark, Unknown, rule

#: Fields of a Consumer that hold a text.
_CONSUMER_FIELDS = ("username", "custom_id", "id")
_DEFAULT_SOURCE = "consumer"
_SOURCE = ("subject", "look_up_value_in")


@rule(
    "subject-field-missing",
    Severity.ERROR,
    "The gateway takes a header or query subject without a field, finds no subject in any request, and drops every"
    " event.",
    "CFG-5",
    "DRP-1",
)
def field_missing(linted: LintedPlugin) -> Iterator[Remark]:
    """``look_up_value_in: header`` or ``query`` without ``field``."""
    source = linted.text_or(_DEFAULT_SOURCE, *_SOURCE)
    if source in ("header", "query") and _is_absent(linted, "subject", "field"):
        what = "header" if source == "header" else "query parameter"
        message = f"subject.field names no {what}: every event is dropped"
        yield Remark(message, "add field, e.g. x-tenant-id" if source == "header" else "add field", _at(*_SOURCE))


@rule(
    "subject-field-without-effect",
    Severity.ERROR,
    "With subject consumer or application, field is the name of a field of theirs; one that they do not have finds"
    " no subject, and events are dropped.",
    "CFG-5",
    "SUB-5",
)
def field_without_effect(linted: LintedPlugin) -> Iterator[Remark]:
    """A ``field`` that looks like a header's, or that no Consumer has, while no header or parameter is read."""
    source = linted.text_or(_DEFAULT_SOURCE, *_SOURCE)
    field = linted.text("subject", "field")
    if not field or source not in ("consumer", "application"):
        return
    at = _at("subject", "field")
    if source == "consumer" and field not in _CONSUMER_FIELDS:
        given = "" if linted.text(*_SOURCE) else ", and look_up_value_in is consumer unless given"
        fix = f"for a header write look_up_value_in: header; a Consumer has {', '.join(_CONSUMER_FIELDS)}"
        yield Remark(f"a Consumer has no such field{given}", fix, at)
    elif source == "application" and "-" in field:
        message = "looks like the name of a header, and is looked up in the application"
        yield Remark(message, "for a header write look_up_value_in: header", at, Severity.WARNING)


@rule(
    "consumer-without-authentication",
    Severity.WARNING,
    "Only an authentication plugin makes a Consumer known; without one a Consumer's requests are not metered.",
    "SUB-1",
    "DRP-1",
    "FLT-7",
)
def without_authentication(linted: LintedPlugin) -> Iterator[Remark]:
    """Subject or scope is a Consumer, and no authentication plugin of the state file can run for these requests.

    Asked of state files only: other files seldom hold all of a gateway's plugins.
    """
    if not linted.surroundings.is_state or linted.config is None or not linted.runs:
        return
    by_subject = linted.text_or(_DEFAULT_SOURCE, *_SOURCE) == "consumer"
    if not by_subject and "consumer" not in linted.scope:
        return
    if authenticating(linted):
        return
    what, at = (
        ("the subject is the Consumer: every event is dropped", _at(*_SOURCE))
        if by_subject
        else ("the scope is a Consumer: the plugin never runs", ("consumer",))
    )
    message = f"no authentication plugin of this file runs for these requests, and {what}"
    yield Remark(message, "add one, e.g. key-auth on the same service, or take the subject from a header", at)


def _is_absent(linted: LintedPlugin, *path: str) -> bool:
    try:
        return linted.value(*path) in (None, "")
    except Unknown:
        return False


def _at(*path: str) -> tuple[str, ...]:
    return ("config", *path)


RULES = (field_missing, field_without_effect, without_authentication)
