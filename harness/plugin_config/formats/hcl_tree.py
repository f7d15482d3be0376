"""Terraform's own language, read into plain data: the blocks of a file, with the line of every value.

Nothing is evaluated. A value that is ``var.x`` and no more is a :class:`~..entity.Reference`; any other expression
that is not plain data is kept as it is written, as :class:`~..entity.MixedText`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

import hcl2
from lark import Token, Tree
from lark.exceptions import LarkError, UnexpectedInput

from plugin_emulator.documents import InvalidDocument, Pointer, Problem

from ..entity import MixedText, Reference, Value


@dataclass(frozen=True, slots=True)
class TerraformBlock:
    """A block at the top of a file: ``resource "type" "name" { … }`` has kind ``resource`` and two labels.

    ``data`` holds its attributes, and the blocks in it: one of a kind as a dict, several as a list of dicts.
    ``lines`` maps pointers into ``data`` to lines from 1; the block itself is at ``()``.
    """

    kind: str
    labels: tuple[str, ...]
    data: dict[str, Value]
    lines: dict[Pointer, int] = field(repr=False)


def parse_hcl(text: str, file: str, kinds: frozenset[str]) -> list[TerraformBlock]:
    """Return the blocks of a file that are of one of ``kinds``.

    Raises InvalidDocument, which quotes nothing of the text, when it is not HCL.
    """
    marks = _Marks.absent_from(text)
    source = marks.put(text)
    try:
        return list(_Reader(source, marks).blocks(hcl2.parses_to_tree(source), kinds))
    except UnexpectedInput as error:
        raise InvalidDocument([_syntax_problem(error, text, file)]) from None
    except LarkError:
        raise InvalidDocument([Problem("cannot be read as HCL", hint=_HINT, file=file)]) from None
    except RecursionError:
        raise InvalidDocument([Problem("is nested too deeply", file=file)]) from None


def template_value(text: str) -> Value:
    """Return what a string of Terraform's JSON form means: there it is a template, without a string's escapes."""
    marks = _Marks.absent_from(text)
    source = marks.put(text)
    whole = _WHOLE_TEMPLATE.fullmatch(source)
    if whole:
        return _expression(marks.taken_back(whole[1]))
    return MixedText(text) if _TEMPLATE.search(source) else _normal(marks.resolved(source))


@dataclass(frozen=True, slots=True)
class _Marks:
    """Stand-ins for Terraform's escapes ``$${`` and ``%%{``, of which python-hcl2 makes what they are not.

    They are characters that Unicode sets apart for a program's own use, two that the text does not hold.
    """

    dollar: str
    percent: str

    @classmethod
    def absent_from(cls, text: str) -> _Marks:
        absent = (chr(code) for code in range(0xFDD0, 0x110000) if chr(code) not in text)
        return cls(next(absent), next(absent))

    def put(self, text: str) -> str:
        return text.replace("$${", f"{self.dollar}{{").replace("%%{", f"{self.percent}{{")

    def taken_back(self, text: str) -> str:
        """Return ``text`` as it was written."""
        return text.replace(self.dollar, "$$").replace(self.percent, "%%")

    def resolved(self, text: str) -> str:
        """Return ``text`` with what the escapes stand for."""
        return text.replace(self.dollar, "$").replace(self.percent, "%")


def _expression(text: str) -> Value:
    variable = _VARIABLE.fullmatch(text.strip())
    if variable:
        return Reference(variable[1].upper().replace("-", "_"), secret=False)
    return MixedText(text.strip())


_HINT = "`terraform validate` says what is wrong"
_VARIABLE = re.compile(r"var\.([A-Za-z_][A-Za-z0-9_-]*)")
_TEMPLATE = re.compile(r"[$%]\{")
_WHOLE_TEMPLATE = re.compile(r"\$\{([^{}\"]*)\}")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL)
_SHORT_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
# Functions that only say how Terraform is to treat a value, which they return as it is.
_TRANSPARENT = frozenset(("sensitive", "nonsensitive", "tolist", "toset", "tomap"))


def _syntax_problem(error: UnexpectedInput, text: str, file: str) -> Problem:
    last = max(len(text.splitlines()), 1)
    line = error.line if isinstance(error.line, int) and 0 < error.line <= last else last
    return Problem("cannot be read as HCL", hint=_HINT, file=file, line=line)


def _normal(text: str) -> str:
    """Return ``text`` in the normal form in which Terraform holds it."""
    return unicodedata.normalize("NFC", text)


def _unescaped(match: re.Match[str]) -> str:
    short, long, other = match.groups()
    if other is None:
        code = int(short or long, 16)
        return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else match[0]
    return _SHORT_ESCAPES.get(other, match[0])


class _Reader:
    """Turns the parser's tree of one file into data."""

    def __init__(self, source: str, marks: _Marks) -> None:
        self._source = source
        self._marks = marks

    def blocks(self, tree: Tree[Token], kinds: frozenset[str]) -> Iterator[TerraformBlock]:
        for node in _trees(tree.children[0], "block"):
            kind, *labels = self._head(node)
            if kind in kinds:
                lines: dict[Pointer, int] = {}
                data = self._body(node, (), lines)
                yield TerraformBlock(kind, tuple(labels), data, lines)

    def _head(self, block: Tree[Token]) -> list[str]:
        return [
            str(self._string(part)) if part.data == "string" else str(part.children[0])
            for part in block.children
            if isinstance(part, Tree) and part.data not in ("body", "new_line_or_comment")
        ]

    def _body(self, block: Tree[Token], at: Pointer, lines: dict[Pointer, int]) -> dict[str, Value]:
        lines[at] = block.meta.line
        data: dict[str, Value] = {}
        (body,) = _trees(block, "body")
        for node in _trees(body, "attribute"):
            name = str(node.children[0].children[0])  # type: ignore[union-attr]
            data[name] = self._value(node.children[-1], (*at, name), lines)
            lines[(*at, name)] = node.meta.line
        inner: dict[str, list[Tree[Token]]] = {}
        for node in _trees(body, "block"):
            inner.setdefault(self._head(node)[0], []).append(node)
        for name, nodes in inner.items():
            if len(nodes) == 1:
                data[name] = self._body(nodes[0], (*at, name), lines)
                continue
            lines[(*at, name)] = nodes[0].meta.line
            data[name] = [self._body(node, (*at, name, index), lines) for index, node in enumerate(nodes)]
        return data

    def _value(self, node: Tree[Token] | Token, at: Pointer, lines: dict[Pointer, int]) -> Value:
        """Return the value of an expression that stands at ``at``, adding the lines of its parts."""
        if isinstance(node, Token):
            return self._written(node)
        parts = _significant(node)
        match node.data:
            case "expr_term" if len(parts) == 1:
                return self._value(parts[0], at, lines)
            case "expr_term" if len(parts) == 3:  # in parentheses
                return self._value(parts[1], at, lines)
            case "string":
                return self._string(node)
            case "int_lit" | "float_lit":
                return _number(str(parts[0]))
            case "literal_value":
                return {"true": True, "false": False, "null": None}[str(parts[0])]
            case "unary_op":
                operand = self._value(parts[1], at, lines)
                if str(parts[0]) == "-" and type(operand) in (int, float):
                    return -operand  # type: ignore[operator]
                return self._written(node)
            case "tuple":
                return self._list(node, at, lines)
            case "object":
                return self._object(node, at, lines)
            case "function_call":
                return self._call(node, at, lines)
            case "heredoc_template" | "heredoc_template_trim":
                return self._heredoc(str(parts[0]))
        return self._written(node)

    def _written(self, node: Tree[Token] | Token) -> Value:
        if isinstance(node, Token):
            return _expression(self._marks.taken_back(str(node)))
        last = _significant(node)[-1]  # an operation ends with the line break behind it
        end = last.end_pos if isinstance(last, Token) else last.meta.end_pos
        return _expression(self._marks.taken_back(self._source[node.meta.start_pos : end]))

    def _string(self, node: Tree[Token]) -> Value:
        parts = [part.children[0] for part in _trees(node, "string_part")]
        if all(isinstance(part, Token) for part in parts):
            text = self._marks.resolved("".join(str(part) for part in parts))
            return _normal(_ESCAPE.sub(_unescaped, text))
        if len(parts) == 1 and isinstance(parts[0], Tree) and parts[0].data == "interpolation":
            return self._value(parts[0].children[1], (), {})
        return MixedText(self._marks.taken_back(self._source[node.meta.start_pos + 1 : node.meta.end_pos - 1]))

    def _list(self, node: Tree[Token], at: Pointer, lines: dict[Pointer, int]) -> Value:
        items = [part for part in _significant(node) if isinstance(part, Tree)]
        for index, part in enumerate(items):
            lines[(*at, index)] = part.meta.line
        return [self._value(part, (*at, index), lines) for index, part in enumerate(items)]

    def _object(self, node: Tree[Token], at: Pointer, lines: dict[Pointer, int]) -> Value:
        data: dict[str, Value] = {}
        for element in _trees(node, "object_elem"):
            key = self._key(element.children[0])
            if key is None:
                return self._written(node)
            data[key] = self._value(element.children[-1], (*at, key), lines)
            lines[(*at, key)] = element.meta.line
        return data

    def _key(self, node: Tree[Token] | Token) -> str | None:
        """Return the key of an object's element; None when it is computed."""
        while isinstance(node, Tree) and len(node.children) == 1:
            if node.data == "string":
                break
            node = node.children[0]
        if isinstance(node, Token):
            return str(node)
        if node.data != "string":
            return None
        text = self._string(node)
        return text if isinstance(text, str) else None

    def _call(self, node: Tree[Token], at: Pointer, lines: dict[Pointer, int]) -> Value:
        name = str(node.children[0].children[0])  # type: ignore[union-attr]
        arguments = [part for given in _trees(node, "arguments") for part in _significant(given)]
        # A custom plugin's whole config may be given as JSON text.
        if len(arguments) == 1 and (name in _TRANSPARENT or (name == "jsonencode" and at == ("config",))):
            return self._value(arguments[0], at, lines)
        return self._written(node)

    def _heredoc(self, token: str) -> Value:
        head, _, rest = token.partition("\n")
        rest = rest.rstrip()  # up to the closing marker
        body = rest[: rest.rfind("\n") + 1]
        if _TEMPLATE.search(body):
            return MixedText(self._marks.taken_back(body))
        if head.startswith("<<-"):
            lines = body.splitlines(keepends=True)
            margin = min((len(line) - len(line.lstrip(" \t")) for line in lines if line.strip()), default=0)
            body = "".join(line[margin:] if line.strip() else line.lstrip(" \t") for line in lines)
        return _normal(self._marks.resolved(body))


def _number(text: str) -> Value:
    try:
        return int(text)
    except ValueError:
        number = float(text)
        return number if math.isfinite(number) else MixedText(text)


def _trees(node: Tree[Token] | Token, rule: str) -> Iterator[Tree[Token]]:
    """Yield the children of ``node`` that are of that rule of the grammar."""
    return (part for part in getattr(node, "children", ()) if isinstance(part, Tree) and part.data == rule)


def _significant(node: Tree[Token]) -> list[Tree[Token] | Token]:
    return [part for part in node.children if not (isinstance(part, Tree) and part.data == "new_line_or_comment")]
