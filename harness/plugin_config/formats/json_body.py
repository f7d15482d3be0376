"""Bodies of the Admin API and the Konnect API: what is posted to create a plugin, and what they answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from plugin_emulator.documents import InvalidDocument, Pointer, Problem

from ..config_file import ConfigFile, FoundPlugin
from ..entity import SCOPE_KINDS, Reference
from .json_document import JsonDocument, parse_json

_VARIABLE = re.compile(r"\$([A-Z_][A-Z0-9_]*)")


def read(text: str, file: str) -> ConfigFile:
    """Read one plugin, a list of plugins, or the ``{"data": […]}`` that an API answers with.

    What is null is not given. Text in ``config`` or for a scope that is nothing but ``$NAME`` is a Reference. Raises
    InvalidDocument.
    """
    document = parse_json(text, file)
    found = _plugins(document, file)
    lines: dict[Pointer, dict[Pointer, int]] = {at: {} for at in found}
    depth = len(next(iter(found), ()))
    for place, line in document.lines.items():
        if place[:depth] in lines:
            lines[place[:depth]][place[depth:]] = line
    plugins = [found_plugin(_with_references(plugin, ()), lines[at], file) for at, plugin in found.items()]
    return ConfigFile(file, "admin-api", tuple(plugins))


def found_plugin(data: dict[str, Any], lines: Mapping[Pointer, int], file: str) -> FoundPlugin:
    """Return the plugin that a body, its JSON parsed to ``data``, is about. What is null in it is not given."""
    return FoundPlugin(_without_nulls(data), file, lines)


def is_reference_place(at: Pointer) -> bool:
    """Return whether a value at ``at`` in a plugin entity may be known later: one in ``config`` or for a scope."""
    return at[:1] == ("config",) or at[:1] in [(kind,) for kind in SCOPE_KINDS]


def _plugins(document: JsonDocument, file: str) -> dict[Pointer, dict[str, Any]]:
    """Return the plugins by their places in the document, which are all equally deep."""
    data = document.data
    at: Pointer = ()
    if isinstance(data, dict):
        if "name" in data or "config" in data:
            return {(): data}
        if isinstance(data.get("data"), list):
            data, at = data["data"], ("data",)
    if not isinstance(data, list):
        hint = 'give an object with name and config, a list of such, or {"data": […]}'
        raise InvalidDocument([Problem("is no plugin, and no list of plugins", hint=hint, file=file, line=1)])
    hint = "write an object with name and config"
    problems = [
        Problem("is no plugin", (*at, index), hint, file, document.lines[*at, index])
        for index, plugin in enumerate(data)
        if not isinstance(plugin, dict)
    ]
    if problems:
        raise InvalidDocument(problems)
    return {(*at, index): plugin for index, plugin in enumerate(data)}


def _with_references(value: Any, at: Pointer) -> Any:
    if isinstance(value, dict):
        return {name: _with_references(part, (*at, name)) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_references(part, (*at, index)) for index, part in enumerate(value)]
    if isinstance(value, str) and is_reference_place(at) and (variable := _VARIABLE.fullmatch(value)):
        return Reference(variable[1])
    return value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(part) for name, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_without_nulls(part) for part in value]
    return value
