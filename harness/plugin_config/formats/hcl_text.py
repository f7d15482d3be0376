"""JSON data and references as HCL, laid out as ``terraform fmt`` does, that every parser reads alike.

In a quoted HCL string ``${`` and ``%{`` begin a template. Terraform's own escapes for them, ``$${`` and ``%%{``, are
misread by python-hcl2 (it keeps the second character, or fails). Written as ``\\u0024{`` and ``\\u0025{`` they are
plain text to both: Terraform looks for templates before it resolves escapes.

Terraform brings every string to Unicode's normal form C. Text in another form would arrive changed, so it is refused.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from plugin_emulator.documents import Pointer, pointer_text


class Expression(str):
    """HCL written as it is: ``var.auth_token``, ``konnect_gateway_service.orders.id``."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Attribute:
    """``name = value``; ``value`` is JSON data in which an :class:`Expression` may stand anywhere."""

    name: str
    value: object


@dataclass(frozen=True, slots=True)
class Comment:
    """A line of its own behind ``#``; the text is one line of printable ASCII."""

    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """``kind "label" "label" { … }``."""

    kind: str
    labels: tuple[str, ...]
    body: Sequence[Entry]


Entry: TypeAlias = "Attribute | Comment | Block"


class NotInHcl(ValueError):
    """Data that Terraform cannot carry unchanged. ``pointer`` is its place in the value; no value is quoted."""

    def __init__(self, pointer: Pointer, reason: str) -> None:
        self.pointer = pointer
        self.reason = reason
        super().__init__(f"{pointer_text(pointer)}: {reason}")


def hcl_text(entries: Sequence[Entry]) -> str:
    """Return a file of ``entries``, blocks set apart by empty lines; it ends with a line break.

    Raises NotInHcl, its pointer beginning with the names of the attribute and the blocks around it.
    """
    lines: list[str] = []
    for index, entry in enumerate(entries):
        if index and not isinstance(entries[index - 1], Comment):
            lines.append("")
        lines += _body([entry], ())
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """Return ``text`` as a quoted HCL string that means just that text. Raises NotInHcl."""
    return '"' + _ESCAPED.sub(_escape, _checked(text, ())) + '"'


def is_identifier(text: str) -> bool:
    """Return whether ``text`` can name a resource or a variable."""
    return _IDENTIFIER.fullmatch(text) is not None


_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
# `for` begins an expression when it comes first in an object; the others are safe in Terraform, not in every parser.
_NO_BARE_KEY = frozenset(("for", "for_each", "in", "if", "else", "endif", "endfor", "true", "false", "null"))
_LIST_LENGTH = 80  # characters of a list that still goes on one line
_NUMBER_BITS = 512  # the precision of Terraform's numbers

# What is escaped: control characters, `"`, `\`, `$` and `%` before `{`, and what is invisible or turns the direction
# of writing. The ranges are spelled out, since what Python calls printable changes with its version.
_ESCAPED = re.compile(
    r'[\x00-\x1f"\\\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff'
    r"\U000e0000-\U0010ffff]|[$%](?=\{)"
)
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def _body(entries: Iterable[Entry], at: Pointer) -> list[str]:
    lines: list[str] = []
    run: list[Attribute] = []
    for entry in entries:
        if isinstance(entry, Attribute):
            run.append(entry)
            continue
        lines += _attributes(((part.name, part.value) for part in run), at)
        run.clear()
        if isinstance(entry, Comment):
            lines.append(f"# {entry.text}")
        else:
            lines += _block(entry, at)
    return lines + list(_attributes(((part.name, part.value) for part in run), at))


def _block(block: Block, at: Pointer) -> list[str]:
    head = " ".join((block.kind, *(quoted(label) for label in block.labels)))
    inside = _body(block.body, (*at, block.kind, *block.labels))
    return [f"{head} {{", *_indented(inside), "}"] if inside else [f"{head} {{}}"]


def _attributes(pairs: Iterable[tuple[str, object]], at: Pointer) -> Iterator[str]:
    """Yield the lines of ``name = value`` pairs, the signs of neighbours that take one line each below each other."""
    run: list[tuple[str, str]] = []
    for name, value in pairs:
        first, *rest = _value(value, (*at, name))
        if not rest:
            run.append((_key(name, at), first))
            continue
        yield from _aligned(run)
        run.clear()
        yield f"{_key(name, at)} = {first}"
        yield from rest
    yield from _aligned(run)


def _aligned(run: Sequence[tuple[str, str]]) -> Iterator[str]:
    width = max((len(key) for key, _ in run), default=0)
    for key, value in run:
        yield f"{key:<{width}} = {value}"


def _key(name: str, at: Pointer) -> str:
    if is_identifier(name) and name not in _NO_BARE_KEY:
        return name
    # In ASCII, so that the width of a key, which counts for the layout, is its length.
    return '"' + _NOT_ASCII.sub(_escape, _ESCAPED.sub(_escape, _checked(name, at, "a key"))) + '"'


def _value(value: object, at: Pointer) -> list[str]:
    """Return the lines of a value, the first without what stands before it."""
    if isinstance(value, dict):
        return ["{", *_indented(_attributes(value.items(), at)), "}"] if value else ["{}"]
    if isinstance(value, list):
        return _list([_value(part, (*at, index)) for index, part in enumerate(value)])
    return [_scalar(value, at)]


def _list(parts: Sequence[list[str]]) -> list[str]:
    if all(len(part) == 1 and part[0] != "{}" for part in parts):
        line = "[" + ", ".join(part[0] for part in parts) + "]"
        if len(line) <= _LIST_LENGTH:
            return [line]
    return ["[", *_indented(line for part in parts for line in (*part[:-1], f"{part[-1]},")), "]"]


def _scalar(value: object, at: Pointer) -> str:
    if isinstance(value, Expression):
        return str(value)
    if isinstance(value, str):
        return '"' + _ESCAPED.sub(_escape, _checked(value, at)) + '"'
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if value.bit_length() > _NUMBER_BITS:
            raise NotInHcl(at, f"Terraform keeps no number of more than {_NUMBER_BITS} bits")
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotInHcl(at, "the number is not finite")
        return repr(value)
    raise NotInHcl(at, f"a {type(value).__name__} is no JSON data")


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _checked(text: str, at: Pointer, what: str = "the text") -> str:
    if _SURROGATE.search(text):
        raise NotInHcl(at, f"{what} holds half a surrogate pair, which is no character")
    if not unicodedata.is_normalized("NFC", text):
        raise NotInHcl(at, f"{what} is not in Unicode's normal form C, into which Terraform would change it")
    return text


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT_ESCAPES.get(character) or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
