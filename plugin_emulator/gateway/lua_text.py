"""Values as Kong prints them in its error messages: Lua tables, on one line or, nested in a violation, on several."""

from __future__ import annotations

import re
from typing import Any

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def lua_text(value: Any) -> str:
    """Return ``value`` (dict, list, str, number, bool, None) on one line: ``{services={{port="…"}}}``.

    A dict with integer keys is a list with gaps, counted from 0 here and from 1 there.
    """
    if isinstance(value, dict | list):
        return "{" + ",".join(f"{_key(key, '=')}{lua_text(part)}" for key, part in _members(value)) + "}"
    return _scalar(value)


def lua_block(value: Any, depth: int = 1) -> str:
    """Return ``value`` on several lines, two blanks for each level."""
    if not isinstance(value, dict | list) or not value:
        return "{}" if isinstance(value, dict | list) else _scalar(value)
    indent = "  " * depth
    lines = [f"{indent}{_key(key, ' = ')}{lua_block(part, depth + 1)}" for key, part in _members(value)]
    return "{\n" + ",\n".join(lines) + "\n" + "  " * (depth - 1) + "}"


def _members(value: dict[Any, Any] | list[Any]) -> list[tuple[str | int | None, Any]]:
    """Return (key, value) in order; the key is None for a list's next member."""
    if isinstance(value, list):
        value = {index: part for index, part in enumerate(value) if part is not None}
    members: list[tuple[str | int | None, Any]] = []
    position = 0
    for key in sorted(value, key=lambda key: (isinstance(key, str), key)):
        if key == position:
            members.append((None, value[key]))
            position += 1
        else:
            members.append((key + 1 if isinstance(key, int) else key, value[key]))
    return members


def _key(key: str | int | None, sign: str) -> str:
    if key is None:
        return ""
    if isinstance(key, int):
        return f"[{key}]{sign}"
    return f"{key}{sign}" if _IDENTIFIER.fullmatch(key) else f'["{key}"]{sign}'


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\\n") + '"'
    return str(value)
