"""Advice on a condition that is accepted, or is written in the other version's language (SPEC CND-6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from plugin_emulator.documents import did_you_mean

from .cel import KNOWN_FUNCTIONS
from .cel_fields import ROOTS, field_of, is_above_fields, is_shared
from .cel_tokens import Chain, Token, called, chains, is_mark, tokens
from .condition import Condition, compile_condition, is_cel
from .errors import ConditionFailed, InvalidCondition
from .facts import EntityFacts, Facts

#: A request of a client that nobody has authenticated, with nothing in it that it need not have.
_ORDINARY = Facts(
    host="example.com",
    headers=[("Host", "example.com")],
    src_ip="192.0.2.1",
    src_port=50000,
    dst_ip="192.0.2.2",
    dst_port=8000,
    route=EntityFacts("00000000-0000-4000-8000-000000000000", "route"),
    service=EntityFacts("00000000-0000-4000-8000-000000000001", "service"),
)
#: How each language writes what the other has.
_IN_CEL = (
    ("^=", "FIELD.startsWith(…) for ^="),
    ("=^", "FIELD.endsWith(…) for =^"),
    ("~", "FIELD.matches(…) for ~"),
    ("contains", "FIELD.contains(…) for contains"),
    ("segments", "http.path_segments[0] for http.path.segments.0"),
    ("lower", "FIELD.matches('(?i)…') for lower()"),
)
_IN_ROUTER = (
    ("startsWith", "FIELD ^= … for startsWith()"),
    ("endsWith", "FIELD =^ … for endsWith()"),
    ("matches", 'FIELD ~ r#"…"# for matches()'),
    ("contains", "FIELD contains … for contains()"),
    ("null", "no check for null: an absent field makes its predicate false"),
    ("has", "no has(): an absent field makes its predicate false"),
    ("default", "no default(): nothing fails at run time"),
    ("path_segments", "http.path.segments.0 for http.path_segments[0]"),
)
_CASED = {"starts_with": "startsWith", "ends_with": "endsWith", "startswith": "startsWith", "endswith": "endsWith"}
_RAW_STRING = re.compile(r'r#"(?:[^"]|"(?!#))*"#')


@dataclass(frozen=True, slots=True)
class Advice:
    """One piece of advice: ``id`` names what it is about, ``fix`` says what to do. Neither quotes a string."""

    id: str
    message: str
    fix: str


def advice(text: str, gateway: str) -> list[Advice]:
    """Return what is doubtful in a condition for a gateway version such as ``"3.16"``.

    A text that is a condition in no language gives none: it is refused where the configuration is checked.
    """
    try:
        condition = compile_condition(text, gateway)
    except InvalidCondition:
        return _of_other_language(text, gateway)
    return list(dict.fromkeys(_on_cel(condition) if is_cel(gateway) else _on_router(condition)))


def names_header(text: str, gateway: str, header: str) -> bool:
    """Return whether a condition looks at a request header, whose name may have dashes and capitals.

    A condition that looks at the header which names the subject keeps unidentified traffic out. A text that is no
    condition looks at nothing.
    """
    try:
        fields = compile_condition(text, gateway).fields
    except InvalidCondition:
        return False
    name = header.lower().replace("-", "_")
    return f"http.headers.{name}" in fields or f"http.headers_list.{name}" in fields


def _of_other_language(text: str, gateway: str) -> list[Advice]:
    cel = is_cel(gateway)
    try:
        compile_condition(text, "3.14" if cel else "3.15")
    except InvalidCondition:
        return []
    words = _RAW_STRING.sub('""', text)
    written = [how for what, how in (_IN_CEL if cel else _IN_ROUTER) if what in words]
    ours, theirs = ("CEL", "a router expression") if cel else ("router expressions", "CEL")
    fix = f"write {'; '.join(written)}" if written else f"write it in {ours}"
    return [Advice("condition-language", f"is {theirs}: conditions of gateway {gateway} are {ours}", fix)]


# ------------------------------------------------------------------------------------------------- CEL


def _on_cel(condition: Condition) -> Iterator[Advice]:
    words = tokens(condition.text)
    found = list(chains(words))
    unknown = list(_unknown_names(words, found))
    yield from unknown
    yield from _has_of_fields(words, found)
    if any(piece.id in ("condition-unknown-name", "condition-header-name") for piece in unknown):
        return
    try:
        condition.holds(_ORDINARY)
    except ConditionFailed as failure:
        yield Advice(
            "condition-fails",
            f"fails for a request without what it asks for ({failure}): the client gets a 500",
            "ask FIELD != null first, or put default(…, false) around the whole condition",
        )


def _unknown_names(words: list[Token], found: list[Chain]) -> Iterator[Advice]:
    parts_of_headers: set[int] = set()
    for chain in found:
        if chain.first in parts_of_headers:
            continue
        path = chain.path
        if path[:2] in (("http", "headers"), ("http", "headers_list")) and len(path) > 2:
            dashed = list(_dashed(words, chain.last))
            parts_of_headers.update(dashed)
            name = "-".join([path[2], *(words[place].text for place in dashed)])
            normal = name.lower().replace("-", "_")
            if name != normal:
                yield Advice(
                    "condition-header-name",
                    f"the header name {name!r} never matches: names are in lower case, with underscores for dashes",
                    f"write http.{path[1]}.{normal}",
                )
        elif path[0] not in ROOTS:
            near = did_you_mean(path[0], ROOTS)
            hint = f"did you mean {near!r}?" if near else f"fields begin with {', '.join(sorted(ROOTS))}"
            yield Advice("condition-unknown-name", f"there is no {path[0]!r}: the client gets a 500", hint)
        elif not _is_documented(path):
            name = ".".join(path)
            hint = (
                "http.path_segments[0], size(http.path_segments)" if "segments" in path else "see the list of fields"
            )
            yield Advice("condition-unknown-name", f"there is no field {name!r}: the client gets a 500", hint)
    for place in called(words):
        name = words[place].text
        if name not in KNOWN_FUNCTIONS:
            near = _CASED.get(name) or did_you_mean(name, KNOWN_FUNCTIONS)
            hint = f"write {near}()" if near else "use the functions of CEL"
            yield Advice("condition-unknown-name", f"there is no function {name!r}: the client gets a 500", hint)


def _is_documented(path: tuple[str, ...]) -> bool:
    if is_shared(path) or is_above_fields(path):
        return True
    field = field_of(path)
    return field is not None and (field.path == path or field.path == ("principal", "metadata"))


def _dashed(words: list[Token], last: int) -> Iterator[int]:
    """Yield the places of names that follow with a dash and no blank, as in ``x-tenant-id``."""
    while is_mark(words, last + 1, "-") and last + 2 < len(words) and words[last + 2].kind == "name":
        if words[last].end != words[last + 1].start or words[last + 1].end != words[last + 2].start:
            return
        last += 2
        yield last


def _has_of_fields(words: list[Token], found: list[Chain]) -> Iterator[Advice]:
    for chain in found:
        opening = chain.first - 1
        field = field_of(chain.path)
        if field is None or field.path != chain.path or not is_mark(words, opening, "(") or opening < 1:
            continue
        if words[opening - 1].text == "has":
            yield Advice(
                "condition-has-of-field",
                f"has() of {field.name!r}: Kong documents has() for keys of maps, and null for an absent field",
                f"write {field.name} != null",
            )


# ---------------------------------------------------------------------------------- router expressions


def _on_router(condition: Condition) -> Iterator[Advice]:
    for name in condition.fields:
        if name.startswith("http.headers.") and name != name.lower():
            yield Advice(
                "condition-header-name",
                f"{name!r} never matches: names of headers are in lower case, with underscores for dashes",
                f"write {name.lower()}",
            )
    if _mixes_and_with_or(condition.text):
        yield Advice(
            "condition-and-with-or",
            "&& and || side by side: in router expressions || binds more tightly, in CEL and elsewhere && does",
            "put brackets around what belongs together",
        )


def _mixes_and_with_or(text: str) -> bool:
    levels: list[set[str]] = [set()]
    for word in tokens(_RAW_STRING.sub('""', text)):
        if word.kind != "mark":
            continue
        if word.text == "(":
            levels.append(set())
        elif word.text == ")":
            levels.pop()
        elif word.text in ("&&", "||"):
            levels[-1].add(word.text)
            if len(levels[-1]) == 2:
                return True
    return False
