"""The words of a CEL expression: enough to find the fields and calls in one that the engine has parsed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r'''(?P<blank>\s+|//[^\n]*)
    |(?P<string>(?:[bB]?[rR]|[rR][bB])(?:"""(?s:.*?)"""|\'\'\'(?s:.*?)\'\'\'|"[^"\n]*"|'[^'\n]*')
       |[bB]?(?:"""(?s:(?:\\.|.)*?)"""|\'\'\'(?s:(?:\\.|.)*?)\'\'\'|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>&&|\|\||[=!<>]=|.)''',
    re.VERBOSE | re.DOTALL,
)
_PLAIN_STRING = re.compile(r'"([^"\\]*)"|\'([^\'\\]*)\'')
_MACROS = frozenset(("all", "exists", "exists_one", "map", "filter"))


@dataclass(frozen=True, slots=True)
class Token:
    """A word: ``kind`` is string, number, name or mark; ``start`` and ``end`` are offsets in the text."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def plain(self) -> str | None:
        """What a string without escapes says; None for any other word."""
        found = _PLAIN_STRING.fullmatch(self.text) if self.kind == "string" else None
        return None if found is None else found[1] if found[1] is not None else found[2]


@dataclass(frozen=True, slots=True)
class Chain:
    """A name with what is selected from it, as in ``http.headers.x`` or ``http.headers["x"]``.

    ``first`` and ``last`` are the places of its tokens. ``method`` is the name of a function called on it.
    """

    path: tuple[str, ...]
    first: int
    last: int
    method: str | None = None


def tokens(text: str) -> list[Token]:
    """Return the words of an expression, without blanks and comments."""
    return [
        Token(match.lastgroup or "", match[0], match.start(), match.end())
        for match in _TOKEN.finditer(text)
        if match.lastgroup != "blank"
    ]


def is_mark(words: list[Token], place: int, mark: str) -> bool:
    """Return whether the word at ``place`` is this mark; there may be no word."""
    return 0 <= place < len(words) and words[place].kind == "mark" and words[place].text == mark


def called(words: list[Token]) -> Iterator[int]:
    """Yield the places of the names of functions: those of methods too."""
    for place, word in enumerate(words):
        if word.kind == "name" and is_mark(words, place + 1, "("):
            yield place


def bound_names(words: list[Token]) -> frozenset[str]:
    """Return the names that ``all``, ``exists``, ``map`` and the like give to a list's elements."""
    return frozenset(
        words[place + 2].text
        for place in called(words)
        if words[place].text in _MACROS
        and is_mark(words, place - 1, ".")
        and is_mark(words, place + 3, ",")
        and words[place + 2].kind == "name"
    )


def chains(words: list[Token]) -> Iterator[Chain]:
    """Yield each name that stands for a value, with what is selected from it."""
    bound = bound_names(words)
    for place, word in enumerate(words):
        if word.kind != "name" or word.text in ("true", "false", "null", "in") or word.text in bound:
            continue
        if is_mark(words, place - 1, ".") or is_mark(words, place + 1, "("):
            continue
        yield _chain(words, place)


def _chain(words: list[Token], first: int) -> Chain:
    path = [words[first].text]
    last = first
    while True:
        if is_mark(words, last + 1, ".") and last + 2 < len(words) and words[last + 2].kind == "name":
            if is_mark(words, last + 3, "("):
                return Chain(tuple(path), first, last, words[last + 2].text)
            path.append(words[last + 2].text)
            last += 2
        elif is_mark(words, last + 1, "[") and is_mark(words, last + 3, "]") and words[last + 2].plain is not None:
            path.append(words[last + 2].plain or "")
            last += 3
        else:
            return Chain(tuple(path), first, last)


def closing(words: list[Token], opening: int) -> int | None:
    """Return the place of the bracket that closes the one at ``opening``, or None."""
    depth = 0
    for place in range(opening, len(words)):
        if words[place].kind == "mark":
            if words[place].text in "([{":
                depth += 1
            elif words[place].text in ")]}":
                depth -= 1
                if not depth:
                    return place
    return None


def arguments(words: list[Token], opening: int, end: int) -> list[tuple[int, int]]:
    """Return the places, from and up to, of the arguments between two brackets."""
    found: list[tuple[int, int]] = []
    depth = 0
    begin = opening + 1
    for place in range(opening + 1, end):
        if words[place].kind != "mark":
            continue
        if words[place].text in "([{":
            depth += 1
        elif words[place].text in ")]}":
            depth -= 1
        elif words[place].text == "," and not depth:
            found.append((begin, place))
            begin = place + 1
    if begin < end:
        found.append((begin, end))
    return found
