"""Checks a configuration by a plugin's schema table as Kong does: types, attributes, defaults, validators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lua_values import as_lua, items_of
from lupa.luajit21 import LuaRuntime, lua_type

#: Attributes of a field that Kong's schema of schemas knows, of those a plugin of ours may want.
_KNOWN = {
    "type", "required", "default", "one_of", "between", "len_min", "elements", "fields", "referenceable", "encrypted",
    "custom_validator", "description", "eq", "reference",
}  # fmt: skip
_REFERENCE = ("{vault://", "}")


class KongSchema:
    """The schema table of one plugin."""

    def __init__(self, lua: LuaRuntime, module: str) -> None:
        self._lua = lua
        table = lua.require(module)
        table = table[0] if isinstance(table, tuple) else table
        self.name: str = table["name"]
        self.fields = dict(_fields(table))
        self.config = self.fields["config"]

    def filled(self, config: Any) -> dict[str, Any]:
        """Return ``config`` with the defaults filled in. Raises ValueError with what Kong would refuse."""
        full = _with_defaults(self.config, config)
        problems = list(self._problems(self.config, full, "config"))
        if problems:
            raise ValueError("; ".join(problems))
        assert isinstance(full, dict)
        return full

    def accepts(self, config: Any) -> bool:
        """Return whether Kong would take ``config``."""
        try:
            self.filled(config)
        except ValueError:
            return False
        return True

    def _problems(self, field: Any, value: Any, at: str) -> Iterator[str]:
        kind = field["type"]
        if value is None:
            if field["required"]:
                yield f"{at}: required field missing"
            return
        if not _is(kind, value):
            yield f"{at}: expected {kind}"
            return
        if kind == "record":
            known = dict(_fields(field))
            for name in value:
                if name not in known:
                    yield f"{at}.{name}: unknown field"
            for name, inner in known.items():
                yield from self._problems(inner, value.get(name), f"{at}.{name}")
        if kind == "array":
            for index, element in enumerate(value):
                if element is None:
                    yield f"{at}[{index}]: expected {field['elements']['type']}"
                yield from self._problems(field["elements"], element, f"{at}[{index}]")
        if kind == "string":
            if field["referenceable"] and value.startswith(_REFERENCE[0]) and value.endswith(_REFERENCE[1]):
                return
            if not value:
                yield f"{at}: length must be at least 1"
                return
        if field["one_of"] is not None and value not in items_of(field["one_of"]):
            yield f"{at}: expected one of {items_of(field['one_of'])}"
        if field["between"] is not None:
            low, high = items_of(field["between"])
            if not low <= value <= high:
                yield f"{at}: value should be between {low} and {high}"
        if field["custom_validator"] is not None:
            answer = field["custom_validator"](as_lua(self._lua, value))
            ok, why = answer if isinstance(answer, tuple) else (answer, None)
            if not ok:
                assert why, "Kong wants a message"
                yield f"{at}: {why}"


def _fields(record: Any) -> Iterator[tuple[str, Any]]:
    for entry in items_of(record["fields"]):
        ((name, field),) = entry.items()
        unknown = set(field.keys()) - _KNOWN
        assert not unknown, f"{name}: Kong knows no attribute {unknown}"
        assert 10 <= len(field["description"] or "of no field") <= 500, f"{name}: Kong wants 10 to 500 characters"
        yield name, field


def _with_defaults(field: Any, value: Any) -> Any:
    if field["type"] == "record":
        if value is None and field["required"]:
            value = {}
        if isinstance(value, dict):
            filled = {name: _with_defaults(inner, value.get(name)) for name, inner in _fields(field)}
            return {**value, **filled}
        return value
    if field["type"] == "array" and isinstance(value, list):
        return [_with_defaults(field["elements"], element) for element in value]
    default = field["default"]
    return default if value is None and lua_type(default) is None else value


def _is(kind: str, value: Any) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("number", "integer"):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (kind == "number" or (abs(value) != float("inf") and float(value).is_integer()))
    return isinstance(value, {"string": str, "record": dict, "array": list}[kind])
