"""Conditions in CEL, as gateways from 3.15 on have them (SPEC CND-2, CND-3).

The engine is the Rust implementation of CEL, the one whose regular expressions and error messages Kong's documents
describe. What Kong adds to CEL is done here: the fields, and ``default()`` around a whole expression.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from .cel_fields import ROOTS, Field, field_of, is_above_fields
from .cel_tokens import Chain, Token, arguments, called, chains, closing, is_mark, tokens
from .condition import Condition
from .errors import ConditionFailed, InvalidCondition
from .facts import Value

#: Evaluates a parsed expression for a context of variables.
_Program = Callable[[dict[str, Any]], Any]

_PLACE = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
#: Complaints of the parser that quote nothing of the text.
_SAFE_TO_REPEAT = re.compile(
    r"invalid argument to has\(\) macro|argument must be a simple name|invalid (int|uint|double) literal"
)
_UNKNOWN_NAME = re.compile(r"Undefined variable or function: '([^']*)'")
_WRONG_TYPE = "no such overload: an operator or function was given a value of another type, such as null"


def compile_cel(text: str) -> Condition:
    """Return a CEL expression compiled. Raises InvalidCondition."""
    words = _parsed(text)
    found = list(chains(words))
    fields = _fields(text, words, found)
    whole, fallback = _default(text, words)
    names = frozenset(word.text for word in words if word.kind == "name")
    rewritten = _has_as_null_check(text, words, found)
    program = _engine(rewritten(whole))
    otherwise = None if fallback is None else _engine(rewritten(fallback))
    places = tuple((field.path[:-1], field.path[-1]) for field in fields)
    roots = tuple({chain.path[0] for chain in found} & ROOTS)

    def evaluate(values: Sequence[Value]) -> bool:
        variables = _variables(roots, places, values)
        try:
            answer = _run(program, variables, names)
        except ConditionFailed:
            if otherwise is None:
                raise
            answer = _run(otherwise, variables, names)
        if isinstance(answer, bool):
            return answer
        raise ConditionFailed("the result is neither true nor false")

    return Condition(text, "CEL", [(field.name, field.reader) for field in fields], evaluate)


def _parsed(text: str) -> list[Token]:
    """Return the words of ``text``, which is well-formed. Raises InvalidCondition."""
    words = tokens(text)
    try:
        _engine(text)
    except ValueError as error:
        raise _syntax_error(text, words, str(error)) from None
    return words


def _syntax_error(text: str, words: list[Token], message: str) -> InvalidCondition:
    place = _PLACE.search(message)
    if place is None:
        return InvalidCondition("is no CEL expression", hint="see https://cel.dev")
    line, column, complaint = int(place[1]), int(place[2]), place[3]
    safe = _SAFE_TO_REPEAT.search(complaint)
    if safe is not None:
        what = safe[0]
    elif "recursion" in complaint.lower() or "nesting" in complaint.lower():
        what = "it is nested too deeply"
    else:
        offset = sum(len(each) + 1 for each in text.split("\n")[: line - 1]) + column - 1
        what = _unexpected(words, offset)
    return InvalidCondition(f"is no CEL expression: {what}", line, column, _hint(text))


def _unexpected(words: list[Token], offset: int) -> str:
    for word in words:
        if word.start <= offset < word.end:
            if word.kind in ("string", "number"):
                return f"unexpected {word.kind}"
            return f"unexpected {word.text!r}"
    return "unexpected end"


def _hint(text: str) -> str | None:
    """Return advice for what is common in the router's language."""
    words = tokens(text)
    for place, word in enumerate(words):
        if word.text == "~":
            return 'CEL has no ~: write http.path.matches("^/v1")'
        if (word.text == "^" and is_mark(words, place + 1, "=")) or word.text == "=":
            return "CEL has neither ^= nor =^: write startsWith() or endsWith()"
    return None


def _fields(text: str, words: list[Token], found: list[Chain]) -> list[Field]:
    """Return the fields of the expression, each once. Raises InvalidCondition for what stands for several."""
    fields: dict[tuple[str, ...], Field] = {}
    for chain in found:
        field = field_of(chain.path)
        if field is not None:
            fields.setdefault(field.path, field)
        elif is_above_fields(chain.path):
            name = ".".join(chain.path)
            hint = "name a field, as in http.headers.x_tenant_id"
            raise InvalidCondition.at(text, words[chain.first].start, f"{name!r} as a whole is not emulated", hint)
    return list(fields.values())


def _default(text: str, words: list[Token]) -> tuple[tuple[int, int], tuple[int, int] | None]:
    """Return where the expression stands, and the fallback when ``default()`` is around it.

    Raises InvalidCondition for a ``default()`` inside an expression: Kong has it only around the whole.
    """
    whole = (0, len(text))
    fallback = None
    for place in called(words):
        if words[place].text != "default" or is_mark(words, place - 1, "."):
            continue
        end = closing(words, place + 1)
        if place or end != len(words) - 1:
            reason = "default() inside an expression"
            hint = "put it around the whole expression: default(EXPRESSION, false)"
            raise InvalidCondition.at(text, words[place].start, reason, hint)
        given = arguments(words, place + 1, end)
        if len(given) != 2:
            reason = f"default() with {len(given)} argument{'' if len(given) == 1 else 's'}"
            raise InvalidCondition.at(text, words[place].start, reason, "write default(EXPRESSION, false)")
        whole, fallback = ((words[first].start, words[last - 1].end) for first, last in given)
    return whole, fallback


def _has_as_null_check(text: str, words: list[Token], found: list[Chain]) -> Callable[[tuple[int, int]], str]:
    """Return what cuts a part out of the text with ``has(FIELD)`` turned into ``(FIELD != null)``.

    A field is there for every request, null where the request has none of it; ``has()`` of it asks for a value. In a
    map, such as kong.ctx.shared, it asks for a key.
    """
    changes: list[tuple[int, int, str]] = []
    for chain in found:
        before = chain.first - 2
        if not (before >= 0 and words[before].text == "has" and is_mark(words, before + 1, "(")):
            continue
        field = field_of(chain.path)
        if field is not None and field.path == chain.path and is_mark(words, chain.last + 1, ")"):
            close = words[chain.last + 1]
            changes.append((words[before].start, words[before].end, ""))
            changes.append((close.start, close.end, " != null)"))

    def cut(part: tuple[int, int]) -> str:
        start, end = part
        piece = text[start:end]
        for first, last, instead in sorted(changes, reverse=True):
            if start <= first and last <= end:
                piece = piece[: first - start] + instead + piece[last - start :]
        return piece

    return cut


def _variables(
    roots: Sequence[str], places: Sequence[tuple[tuple[str, ...], str]], values: Sequence[Value]
) -> dict[str, Any]:
    variables: dict[str, Any] = {root: {} for root in roots}
    variables["kong"] = {"ctx": {"shared": {}}}
    for (above, last), value in zip(places, values, strict=True):
        node = variables
        for name in above:
            node = node.setdefault(name, {})
        node[last] = value
    return variables


def _run(program: _Program, variables: dict[str, Any], names: frozenset[str]) -> Any:
    try:
        return program(variables)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the engine is no Exception
        raise ConditionFailed(_failure(error, names)) from None


def _failure(error: BaseException, names: frozenset[str]) -> str:
    """Return what went wrong in words that come from the expression or from here, never from the request."""
    if isinstance(error, KeyError):
        key = str(error.args[0]) if error.args else ""
        return f"no such key: {key}" if key in names else "no such key"
    if isinstance(error, IndexError):
        return "index out of bounds"
    if isinstance(error, ZeroDivisionError):
        return "division by zero"
    if isinstance(error, OverflowError):
        return "a number is out of range"
    if isinstance(error, TypeError):
        return _WRONG_TYPE
    message = str(error)
    if "not a valid regex" in message:
        return "the argument of matches() is no regular expression"
    unknown = _UNKNOWN_NAME.search(message)
    if unknown is not None and unknown[1] in names:
        name = unknown[1]
        # The engine says so too of a function it has when the value is of a type that it does not take.
        return _WRONG_TYPE if name in KNOWN_FUNCTIONS else f"undeclared reference to {name!r}"
    return "it cannot be evaluated"


#: Functions and methods there are, ``default`` and the macros included.
KNOWN_FUNCTIONS = frozenset(
    (
        *("contains", "startsWith", "endsWith", "matches", "size", "has", "default"),
        *("all", "exists", "exists_one", "map", "filter"),
        *("int", "uint", "double", "string", "bytes", "bool", "timestamp", "duration", "type", "dyn"),
        *("getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek"),
        *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
    )
)


def _engine(text: str) -> _Program:
    """Return ``text`` parsed by the engine. Raises ValueError with the place of the mistake."""
    compile_text = _compiler()
    try:
        program: _Program = compile_text(text).execute
    except (KeyboardInterrupt, SystemExit, ValueError):
        raise
    except BaseException:  # a panic of the engine is no Exception
        raise ValueError("cannot be read") from None
    return program


@functools.cache
def _compiler() -> Callable[[str], Any]:
    import cel

    function: Callable[[str], Any] = cel.compile
    return function
