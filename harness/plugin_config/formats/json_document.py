"""JSON text, strictly read, with the place of every value in it.

The YAML parser that reads configuration files takes much that is no JSON, and refuses some that is (tabs, long keys,
characters escaped as two surrogates). So JSON is read by Python's own parser, and its values are located here.
"""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from plugin_emulator.documents import InvalidDocument, Pointer, Problem

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_DEEPEST = 100
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class JsonDocument:
    """Parsed JSON. ``lines`` maps a pointer to the line, from 1, that a value, or the key before it, stands on.

    ``spans`` maps the pointer of each string, number and word to its first offset in the text and the one behind.
    """

    data: Any
    lines: dict[Pointer, int]
    spans: dict[Pointer, tuple[int, int]]


def parse_json(text: str, file: str, line_numbers: Sequence[int] | None = None) -> JsonDocument:
    """Parse JSON. ``line_numbers`` are those of the text's lines in ``file``; None for 1, 2, 3 and so on.

    Raises InvalidDocument for what is no JSON, for a key that is given twice, and for half a surrogate pair. No
    message quotes a value.
    """
    numbers = line_numbers or range(1, text.count("\n") + 2)
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
        return _located(data, text, file, numbers)
    except json.JSONDecodeError as error:
        message = error.msg[:1].lower() + error.msg[1:]
        problem = Problem(f"is not JSON: {message}", file=file, line=numbers[error.lineno - 1])
    except RecursionError:
        problem = Problem("is nested too deeply", file=file)
    except _NotJson as error:
        problem = Problem(f"is not JSON: {error}", file=file)
    except InvalidDocument:
        raise
    except ValueError:
        problem = Problem("is not JSON: a number has too many digits", file=file)
    raise InvalidDocument([problem])


class _NotJson(ValueError):
    """Text that Python takes for JSON though it is none."""


def _refuse_constant(name: str) -> NoReturn:
    raise _NotJson(f"{name} is no number of JSON")


def _located(data: Any, text: str, file: str, numbers: Sequence[int]) -> JsonDocument:
    breaks = [match.start() for match in re.finditer("\n", text)]
    lines: dict[Pointer, int] = {}
    spans: dict[Pointer, tuple[int, int]] = {}
    problems: list[Problem] = []
    keys: set[Pointer] = set()
    for token in _tokens(text):
        if len(token.at) > _DEEPEST:
            raise RecursionError
        line = numbers[bisect.bisect_left(breaks, token.start)]
        if token.is_text and _has_half_a_pair(text[token.start : token.end]):
            reason = "holds half a surrogate pair, which is no character"
            at = token.at[:-1] if token.is_key else token.at
            problems.append(Problem(reason, at, "escape both halves", file, line))
        if token.is_key:
            if token.at in keys:
                problems.append(Problem(f"key {token.at[-1]!r} is given twice", token.at, "keep one", file, line))
            keys.add(token.at)
        elif not token.is_container:
            spans[token.at] = (token.start, token.end)
        lines.setdefault(token.at, line)
    if problems:
        raise InvalidDocument(problems)
    return JsonDocument(data, lines, spans)


def _has_half_a_pair(string: str) -> bool:
    return "\\u" in string and _SURROGATE.search(json.loads(string)) is not None


@dataclass(frozen=True, slots=True)
class _Token:
    """A key, the beginning of an object or a list, or any other value, with the pointer it belongs to."""

    at: Pointer
    start: int
    end: int
    is_key: bool = False
    is_container: bool = False
    is_text: bool = False


@dataclass(slots=True)
class _Level:
    """An object or a list that is not at its end yet."""

    at: Pointer
    is_object: bool
    key: str | None = None
    index: int = 0

    def inside(self) -> Pointer:
        if self.is_object:
            assert self.key is not None
            return (*self.at, self.key)
        return (*self.at, self.index)


def _tokens(text: str) -> Iterator[_Token]:
    """Yield keys and values of ``text``, which is JSON."""
    levels: list[_Level] = []
    for match in _TOKEN.finditer(text):
        piece, start, end = match[0], match.start(), match.end()
        level = levels[-1] if levels else None
        if piece in ("}", "]"):
            levels.pop()
        elif piece == ",":
            assert level is not None
            level.key = None
            level.index += 1
        elif level is not None and level.is_object and level.key is None:
            level.key = json.loads(piece)
            yield _Token(level.inside(), start, end, is_key=True, is_text=True)
        elif piece != ":":
            at = () if level is None else level.inside()
            yield _Token(at, start, end, is_container=piece in ("{", "["), is_text=piece.startswith('"'))
            if piece in ("{", "["):
                levels.append(_Level(at, piece == "{"))
