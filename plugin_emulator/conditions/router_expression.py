"""Conditions in Kong's router expression language, as gateway 3.14 has them (SPEC CND-4).

A predicate has a field left and a constant right. A field that a request does not have makes its predicate false,
whatever the operator; ``!(…)`` around it is then true. A header or parameter given more than once must satisfy the
predicate with every value, in ``any()`` with one. ``||`` binds more tightly than ``&&``: that is how Kong's parser
has it, and the reverse of most languages.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lark import Lark, Token, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError
from lark.visitors import Transformer_NonRecursive

from plugin_emulator.documents import did_you_mean

from .condition import Condition
from .errors import InvalidCondition
from .facts import Reader, Value
from .router_fields import KNOWN, Field, Type, field_of
from .rust_regex import RustRegex

_GRAMMAR = r"""
?start: conjunction
?conjunction: disjunction ("&&" disjunction)*
?disjunction: term ("||" term)*
?term: predicate
    | "(" conjunction ")"
    | "!" "(" conjunction ")" -> negation
predicate: subject operator constant
subject: NAME -> field
    | NAME "(" subject ")" -> transformed
!operator: "==" | "!=" | "~" | "^=" | "=^" | ">=" | ">" | "<=" | "<" | "in" | "not" "in" | "contains"
constant: STRING -> string
    | RAW_STRING -> raw_string
    | LITERAL -> literal
NAME: /[A-Za-z][A-Za-z0-9_.]*/
STRING: /"(?:[^"\\]|\\(?:.|\n))*"/
RAW_STRING: /r#"(?:[^"]|"(?!#))*"#/
LITERAL: /-?[0-9A-Fa-fx:.\/]+/
%ignore /[ \t\r\n]+/
"""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Constant = str | int | _Address | _Network
_Holds = Callable[[Sequence[Value]], bool]
_Test = Callable[[Any], bool]

_INTEGER = re.compile(r"(-?)(?:0x([0-9A-Fa-f]+)|(0[0-7]+)|([0-9]+))")
_LARGEST = 2**63 - 1
_ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
_TRANSFORMATIONS = ("lower", "any")
_ORDER: dict[str, Callable[[int, int], bool]] = {
    ">": lambda value, constant: value > constant,
    ">=": lambda value, constant: value >= constant,
    "<": lambda value, constant: value < constant,
    "<=": lambda value, constant: value <= constant,
}


def compile_router_expression(text: str) -> Condition:
    """Return a router expression compiled. Raises InvalidCondition."""
    builder = _Builder(text)
    try:
        holds = builder.transform(_parser().parse(text))
    except UnexpectedInput as error:
        raise _syntax_error(text, error) from None
    except VisitError as error:
        if isinstance(error.orig_exc, InvalidCondition):
            raise error.orig_exc from None
        raise
    return Condition(text, "router expression", list(builder.fields.items()), holds)


@functools.cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", propagate_positions=False)


@dataclass(frozen=True, slots=True)
class _Subject:
    field: Field
    place: int
    lower: bool = False
    any: bool = False


@v_args(inline=True)
class _Builder(Transformer_NonRecursive[Token, _Holds]):
    """Turns a parsed expression into a function, and collects its fields."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self.fields: dict[str, Reader] = {}

    def conjunction(self, *parts: _Holds) -> _Holds:
        return lambda values: all(part(values) for part in parts)

    def disjunction(self, *parts: _Holds) -> _Holds:
        return lambda values: any(part(values) for part in parts)

    def negation(self, part: _Holds) -> _Holds:
        return lambda values: not part(values)

    def field(self, name: Token) -> _Subject:
        field = field_of(str(name))
        if field is None:
            near = did_you_mean(str(name), KNOWN)
            hint = f"did you mean {near!r}?" if near else f"known are {', '.join(KNOWN)}"
            raise self._error(name, f"unknown field {str(name)!r}", hint)
        self.fields.setdefault(field.name, field.reader)
        return _Subject(field, name.start_pos or 0)

    def transformed(self, name: Token, subject: _Subject) -> _Subject:
        if name not in _TRANSFORMATIONS:
            raise self._error(name, f"unknown transformation {str(name)!r}", "there are lower() and any()")
        if name == "any":
            return _Subject(subject.field, subject.place, subject.lower, True)
        if subject.field.type not in (Type.STRING, Type.STRINGS):
            raise self._error(name, f"lower() of a field of type {subject.field.type.value}", "remove it")
        return _Subject(subject.field, subject.place, True, subject.any)

    def operator(self, *words: Token) -> tuple[str, int]:
        return " ".join(words), words[0].start_pos or 0

    def string(self, token: Token) -> tuple[str, int]:
        start = token.start_pos or 0
        parts: list[str] = []
        characters = enumerate(token[1:-1], start + 1)
        for offset, character in characters:
            if character == "\\":
                _, escaped = next(characters)
                if escaped not in _ESCAPES:
                    hint = 'a raw string takes backslashes as they are: r#"^/v[0-9]"#'
                    raise InvalidCondition.at(self._text, offset, "unknown escape in a string", hint)
                character = _ESCAPES[escaped]
            parts.append(character)
        return "".join(parts), start

    def raw_string(self, token: Token) -> tuple[str, int]:
        return token[3:-2], token.start_pos or 0

    def literal(self, token: Token) -> tuple[_Constant, int]:
        number = _INTEGER.fullmatch(token)
        try:
            if number is not None:
                return _integer(number), token.start_pos or 0
            if "/" in token:
                return ipaddress.ip_network(str(token)), token.start_pos or 0
            return ipaddress.ip_address(str(token)), token.start_pos or 0
        except ValueError as error:
            if number is not None:
                raise self._error(token, "a number beyond 64 bits") from None
            if "host bits" in str(error):
                hint = "write the network's own address, as in 192.168.1.0/24"
                raise self._error(token, "a CIDR whose host part is not zero", hint) from None
            hint = "strings stand in quotes; numbers are 42 or 0x2a, addresses 10.0.0.1, fd00::1 or 10.0.0.0/8"
            raise self._error(token, "neither a number nor an IP address", hint) from None

    def predicate(self, subject: _Subject, operator: tuple[str, int], constant: tuple[_Constant, int]) -> _Holds:
        test = self._test(subject, *operator, *constant)
        index = list(self.fields).index(subject.field.name)
        if subject.field.type is Type.ADDRESS:
            return _of_address(index, test)
        if subject.lower:
            test = _lowered(test)
        if subject.field.type is Type.STRINGS:
            return _of_values(index, test, any if subject.any else all)
        return _of_value(index, test)

    def _test(self, subject: _Subject, operator: str, at: int, constant: _Constant, constant_at: int) -> _Test:
        """Return what is asked of one value. Raises InvalidCondition when the types do not go together."""
        kind = subject.field.type
        if operator == "~" and isinstance(constant, str) and kind in (Type.STRING, Type.STRINGS):
            try:
                return RustRegex(constant).search
            except ValueError:
                hint = "the syntax is that of Rust's regex"
                raise InvalidCondition.at(self._text, constant_at, "no regular expression", hint) from None
        if isinstance(constant, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
            if kind is Type.ADDRESS and operator in ("in", "not in"):
                inside = operator == "in"
                return lambda value: (value in constant) is inside
        elif operator in ("==", "!=") and _type_of(constant) == kind.value.removesuffix("[]"):
            equal = operator == "=="
            return lambda value: (value == constant) is equal
        elif operator in _ORDER and kind is Type.INT and isinstance(constant, int):
            compare, number = _ORDER[operator], constant
            return lambda value: compare(value, number)
        elif isinstance(constant, str) and kind in (Type.STRING, Type.STRINGS):
            text = constant
            if operator == "^=":
                return lambda value: bool(value.startswith(text))
            if operator == "=^":
                return lambda value: bool(value.endswith(text))
            if operator == "contains":
                return lambda value: text in value
        reason = f"{operator!r} does not go with a field of type {kind.value} and {_in_words(constant)}"
        raise InvalidCondition.at(self._text, at, reason, _OPERATORS[kind])

    def _error(self, token: Token, reason: str, hint: str | None = None) -> InvalidCondition:
        return InvalidCondition.at(self._text, token.start_pos or 0, reason, hint)


_OF_STRINGS = "with a string in quotes go ==, !=, ~, ^=, =^ and contains"
_OPERATORS = {
    Type.STRING: _OF_STRINGS,
    Type.STRINGS: _OF_STRINGS,
    Type.INT: "with a number go ==, !=, >, >=, < and <=",
    Type.ADDRESS: "with an address go == and !=, with a CIDR in and not in",
}


def _integer(found: re.Match[str]) -> int:
    """Return the number that is written. Raises ValueError beyond 64 bits."""
    sign, hexadecimal, octal, decimal = found.groups()
    number = int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal)
    if number > _LARGEST:
        raise ValueError
    return -number if sign else number


def _type_of(constant: _Constant) -> str:
    if isinstance(constant, str):
        return "String"
    return "Int" if isinstance(constant, int) else "IpAddr"


def _in_words(constant: _Constant) -> str:
    if isinstance(constant, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
        return "a CIDR"
    return {"String": "a string", "Int": "a number", "IpAddr": "an address"}[_type_of(constant)]


def _of_value(index: int, test: _Test) -> _Holds:
    def holds(values: Sequence[Value]) -> bool:
        value = values[index]
        return value is not None and test(value)

    return holds


def _of_values(index: int, test: _Test, quantity: Callable[[Any], bool]) -> _Holds:
    def holds(values: Sequence[Value]) -> bool:
        several = values[index]
        return isinstance(several, tuple) and quantity(test(value) for value in several)

    return holds


def _of_address(index: int, test: _Test) -> _Holds:
    def holds(values: Sequence[Value]) -> bool:
        try:
            return test(ipaddress.ip_address(str(values[index])))
        except ValueError:  # none: a client without an IP address
            return False

    return holds


def _lowered(test: _Test) -> _Test:
    return lambda value: test(value.lower())


def _syntax_error(text: str, error: UnexpectedInput) -> InvalidCondition:
    offset = error.pos_in_stream
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        offset = len(text)
        what = "unexpected end"
    elif isinstance(error, UnexpectedCharacters) and text[offset or 0] == '"':
        what = "a string without its end, or out of place"
    elif isinstance(error, UnexpectedToken) and error.token.type in ("STRING", "RAW_STRING"):
        what = "unexpected string"
    elif isinstance(error, UnexpectedToken):
        what = f"unexpected {str(error.token)!r}"
    else:
        what = f"unexpected {text[offset or 0]!r}"
    return InvalidCondition.at(text, offset or 0, f"is no router expression: {what}", _hint(text, offset or 0))


def _hint(text: str, offset: int) -> str | None:
    """Return advice for what is common in CEL and elsewhere."""
    before = text[:offset].rstrip()
    if text[offset : offset + 1] == "!" or before.endswith("!"):
        return 'not is written around brackets: !(http.method == "GET")'
    if text[offset : offset + 1] == "-" and re.search(r"http\.headers\.\w*$", before):
        return "dashes of a header's name are written as underscores: http.headers.x_tenant_id"
    if text[offset : offset + 1] == "'":
        return "strings stand in double quotes"
    return "a predicate is FIELD OPERATOR CONSTANT; CEL is the language of gateway 3.15 and later"
