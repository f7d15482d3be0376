"""JSON text with the line of every value.

YAML is nearly a superset of JSON, but only nearly: PyYAML takes ``1e3`` for text and refuses surrogate pairs, keys
of more than 1,024 characters and a line break before a colon. Kong reads JSON as JSON first.
"""

from __future__ import annotations

import json
import re
from typing import Any

_Pointer = tuple[str | int, ...]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+|\n')


def parse_json(text: str) -> tuple[Any, dict[_Pointer, int]]:
    """Return the value of a JSON text, and the line (from 1) of each value in it; of a member it is its key's.

    Raises ValueError when it is not JSON, has a key twice in an object, or half of a surrogate pair; RecursionError
    when it is nested too deeply.
    """
    value = json.loads(text, object_pairs_hook=_members, parse_constant=_refuse)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    return value, _lines(text)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key is given twice")
    return members


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _lines(text: str) -> dict[_Pointer, int]:
    """Walk over the words of a text that is known to be JSON."""
    lines: dict[_Pointer, int] = {}
    at: _Pointer = ()  # where the next value stands
    line, key_line = 1, 0  # 0: the next value is no member
    in_object: list[bool] = []
    awaits_key = False
    for match in _TOKEN.finditer(text):
        word = match[0]
        if word == "\n":
            line += 1
        elif awaits_key and word[0] == '"':
            at, key_line, awaits_key = (*at[:-1], json.loads(word)), line, False
        elif word in "{[":
            lines[at] = key_line or line
            at, key_line = (*at, 0), 0
            in_object.append(word == "{")
            awaits_key = in_object[-1]
        elif word in "}]":
            in_object.pop()
            at, key_line, awaits_key = at[:-1], 0, False
        elif word == ",":
            awaits_key = in_object[-1]
            if not awaits_key:
                at = (*at[:-1], int(at[-1]) + 1)
        elif word != ":":
            lines[at] = key_line or line
            key_line = 0
    return lines
