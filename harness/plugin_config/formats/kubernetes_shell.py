"""Shell commands that go with a manifest, and how they stand in its comments.

The commands take values from the environment. None of them puts one into the arguments of a process: ``printf``
is built into the shell, and ``awk`` looks the value up by the variable's name.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence

from ..entity import Reference, Value

#: What precedes a command in a comment; prose has one blank.
COMMAND_PREFIX = "#   "

#: Shell functions that the commands below use: whether a variable is set, and its value as a JSON string.
FUNCTIONS = r"""given() { eval "test -n \"\${$1:+x}\" && export $1" || { echo "$1 is not set" >&2; return 1; }; }
json_string() { LC_ALL=C awk 'BEGIN {
  for (i = 1; i < 32; i++) e[sprintf("%c", i)] = sprintf("\\u%04x", i)
  e["\""] = "\\\""; e["\\"] = "\\\\"; t = ENVIRON[ARGV[1]]; n = length(t); printf "\""
  for (i = 1; i <= n; i++) { c = substr(t, i, 1); printf "%s", (c in e) ? e[c] : c }
  printf "\"" }' "$1"; }"""


def quoted(text: str) -> str:
    """Return ``text`` as one word of a command."""
    return shlex.quote(text)


def json_pieces(value: Value) -> list[str | Reference]:
    """Return ``value`` as JSON, in ASCII and on one line, cut where a Reference's value is to stand."""
    mark = "reference"
    while mark in json.dumps(_marked(value, "")):
        mark += "-"
    pieces: list[str | Reference] = []
    for index, part in enumerate(re.split(f'"{mark}:([01]):([A-Z0-9_]+)"', json.dumps(_marked(value, mark)))):
        match index % 3:
            case 0 if part:
                pieces.append(part)
            case 1:
                secret = part == "1"
            case 2:
                pieces.append(Reference(part, secret))
    return pieces


def _marked(value: Value, mark: str) -> object:
    if isinstance(value, Reference):
        return f"{mark}:{int(value.secret)}:{value.name}"
    if isinstance(value, dict):
        return {name: _marked(part, mark) for name, part in value.items()}
    if isinstance(value, list):
        return [_marked(part, mark) for part in value]
    return value


def given(pieces: Iterable[str | Reference]) -> str:
    """Return a command that fails, saying which, unless all variables are set. It exports them."""
    names = dict.fromkeys(piece.name for piece in pieces if isinstance(piece, Reference))
    return " && ".join(f"given {name}" for name in names)


def printed(pieces: Sequence[str | Reference]) -> str:
    """Return a command that prints the pieces, each Reference as a JSON string."""
    commands = [
        f"json_string {piece.name}" if isinstance(piece, Reference) else f"printf %s {quoted(piece)}"
        for piece in pieces
    ]
    return commands[0] if len(commands) == 1 else "{ " + "; ".join(commands) + "; }"


def comment(prose: Sequence[str], commands: Sequence[str] = ()) -> str:
    """Return a comment block: lines of prose, then commands, which work when their prefix is taken away."""
    lines = [f"# {line}" for line in prose]
    if commands:
        lines.append("#")
        lines += [f"{COMMAND_PREFIX}{line}" for command in commands for line in command.split("\n")]
        lines.append("#")
    return "\n".join(lines) + "\n"


def names_in_words(names: Sequence[str]) -> str:
    """Return ``A``, ``A and B``, or ``A, B and C``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
