"""JSON data and expressions as Python source, laid out as ``ruff format`` and Black do."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence

from plugin_emulator.documents import Pointer, pointer_text


class Code(str):
    """An expression written as it is: ``config.require("subjectHeader")``."""

    __slots__ = ()


class NotInPython(ValueError):
    """Data that no program in Python can hand on. ``pointer`` is its place in the value; no value is quoted."""

    def __init__(self, pointer: Pointer, reason: str) -> None:
        self.pointer = pointer
        self.reason = reason
        super().__init__(f"{pointer_text(pointer)}: {reason}")


def call(function: str, positional: Sequence[object], named: Sequence[tuple[str, object]]) -> list[str]:
    """Return the lines of a call, one argument each. Raises NotInPython, its pointer beginning with the argument."""
    lines = [f"{function}("]
    for value in positional:
        lines += _ended(_value(value, ()))
    for name, value in named:
        first, *rest = _value(value, (name,))
        lines += _ended([f"{name}={first}", *rest])
    return [*lines, ")"]


def string(text: str) -> str:
    """Return ``text`` as a string literal. Raises NotInPython."""
    return _string(text, ())


# What is escaped: control characters, `\`, and what is invisible or turns the direction of writing. The ranges are
# spelled out, since what Python calls printable changes with its version.
_ESCAPED = re.compile(
    r"[\x00-\x1f\\\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff\ufff0-\uffff"
    r"\U000e0000-\U0010ffff]"
)
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def _value(value: object, at: Pointer) -> list[str]:
    if isinstance(value, dict):
        return ["{", *_items(value.items(), at), "}"] if value else ["{}"]
    if isinstance(value, list):
        parts = (line for index, part in enumerate(value) for line in _ended(_value(part, (*at, index))))
        return ["[", *parts, "]"] if value else ["[]"]
    return [_scalar(value, at)]


def _items(pairs: Iterable[tuple[str, object]], at: Pointer) -> Iterator[str]:
    for name, value in pairs:
        first, *rest = _value(value, (*at, name))
        yield from _ended([f"{_string(name, at)}: {first}", *rest])


def _ended(lines: Sequence[str]) -> list[str]:
    """Return the lines of one part, indented, with the comma behind it."""
    return [f"    {line}" for line in (*lines[:-1], f"{lines[-1]},")]


def _scalar(value: object, at: Pointer) -> str:
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, str):
        return _string(value, at)
    if isinstance(value, float) and not math.isfinite(value):
        raise NotInPython(at, "the number is not finite")
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    raise NotInPython(at, f"a {type(value).__name__} is no JSON data")


def _string(text: str, at: Pointer) -> str:
    if _SURROGATE.search(text):
        raise NotInPython(at, "the text holds half a surrogate pair, which is no character")
    quote = "'" if text.count('"') > text.count("'") else '"'  # whichever needs fewer escapes
    return quote + _ESCAPED.sub(_escape, text).replace(quote, f"\\{quote}") + quote


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
