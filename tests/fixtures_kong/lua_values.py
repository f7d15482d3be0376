"""Values across the border between Python and Lua. The runtime's encoding is Latin-1: a character is a byte."""

from __future__ import annotations

from typing import Any

from lupa.luajit21 import LuaRuntime


def wire(text: str) -> str:
    """Return ``text`` as its UTF-8 bytes, one character for each, as Lua is to see it."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def as_lua(lua: LuaRuntime, value: Any) -> Any:
    """Return ``value`` as Lua has it: mappings and lists as tables, text as bytes, None nowhere."""
    if isinstance(value, str):
        return wire(value)
    if isinstance(value, dict):
        return lua.table_from({wire(name): as_lua(lua, one) for name, one in value.items() if one is not None})
    if isinstance(value, list | tuple):
        return lua.table_from([as_lua(lua, one) for one in value])
    return value


def items_of(table: Any) -> list[Any]:
    """Return the items of a Lua list."""
    return [table[index] for index in range(1, len(table) + 1)]
