"""Reads state files: decK's ``kong.yaml`` and the declarative file of Kong without a database, in YAML or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from plugin_emulator.documents import Document, InvalidDocument, Pointer, Problem, did_you_mean, parse_document
from plugin_emulator.schema_check import kind as kind_of_data

from ..config_file import ConfigFile, FoundPlugin
from ..entity import Reference, Value
from ..plugin_kinds import plugin_kind
from .deck_templates import MarkedText, mark_templates
from .state_plugins import SCOPE_PLACEHOLDERS

_SHARED = "_plugin_configs"
#: Members that decK does not know, and Kong without a database does.
_OF_DBLESS = ("_transform", "_ignore")
#: Members, by their places, that say of all plugins what none of them says itself.
_AROUND: dict[Pointer, str] = {
    ("_workspace",): "says which workspace the plugins go to",
    ("_konnect",): "says which control plane the plugins go to",
    ("_info", "select_tags"): "gives tags to every plugin",
}
#: Lists whose items may hold plugins -> what such an item is to its plugins, and the names it goes by.
_OWNERS = {
    "services": ("service", ("name", "id")),
    "routes": ("route", ("name", "id")),
    "consumers": ("consumer", ("username", "id")),
    "consumer_groups": ("consumer_group", ("name", "id")),
}
#: Lists that may stand inside an owner.
_NESTED = {"services": ("routes", "plugins")}
_PLACEHOLDERS = {(kind, text) for kind, text in SCOPE_PLACEHOLDERS.items()}


def read(text: str, file: str) -> ConfigFile:
    """Return every plugin of a state file, at its top or inside a service, route, consumer or consumer group.

    decK's file and the one of Kong without a database are the same but for a few words, so the format is ``deck``
    unless a member says that Kong itself is to read it. ``${{ env "DECK_X" }}`` becomes a Reference, a secret
    where the plugin has one; a placeholder of the vendor's pages (``serviceName|Id``) one as well. A plugin inside
    something without a name has a Reference as its scope's name. A configuration shared by ``_config`` is merged
    in as decK does it: member by member, the plugin's own first.

    Raises InvalidDocument with every problem found.
    """
    marked = mark_templates(text, file)
    try:
        document = _parse(marked.text, file)
    except InvalidDocument as error:
        raise InvalidDocument([marked.located(problem) for problem in error.problems]) from None
    if document.data is None:
        return ConfigFile(file, "deck", ())
    if not isinstance(document.data, dict):
        message = f"expected an object, got {kind_of_data(document.data)}"
        raise InvalidDocument([Problem(message, hint='begin with _format_version: "3.0"', file=file, line=1)])
    plugins = _Reader(document, marked, file).plugins()
    format_name = "dbless" if any(name in document.data for name in _OF_DBLESS) else "deck"
    return ConfigFile(file, format_name, plugins, tuple(_around(document, marked)))


def _around(document: Document, marked: MarkedText) -> Iterator[Problem]:
    for at, what in _AROUND.items():
        value = document.data.get(at[0])
        for part in at[1:]:
            value = value.get(part) if isinstance(value, dict) else None
        if value:
            yield marked.located(document.located(Problem(what, at)))


@dataclass(frozen=True, slots=True)
class _Owner:
    """The entity that plugins stand in."""

    kind: str
    name_key: str
    name: Value
    at: Pointer


@dataclass(slots=True)
class _Reader:
    document: Document
    marked: MarkedText
    file: str
    problems: list[Problem] = field(default_factory=list)

    def plugins(self) -> tuple[FoundPlugin, ...]:
        found = tuple(self._inside(self.document.data, (), (*_OWNERS, "plugins"), None))
        if self.problems:
            raise InvalidDocument(sorted(self.problems, key=lambda problem: problem.line or 0))
        return found

    def _inside(
        self, owner_data: dict[Any, Any], at: Pointer, lists: tuple[str, ...], owner: _Owner | None
    ) -> Iterator[FoundPlugin]:
        """Yield the plugins of those ``lists`` that ``owner_data`` has, in the file's order."""
        for name, items in owner_data.items():
            if name not in lists:
                continue
            for place, item in self._objects(items, (*at, name)):
                if name == "plugins":
                    yield self._plugin(item, place, owner)
                    continue
                kind, names = _OWNERS[name]
                key = next((key for key in names if isinstance(item.get(key), str)), None)
                # Without a name there is no saying which one it is: that is for the reader to fill in.
                given = (
                    self.marked.value(item[key], secret=False) if key else Reference(f"{kind}_name".upper(), False)
                )
                inner = _Owner(kind, key or names[0], given, place)
                yield from self._inside(item, place, _NESTED.get(name, ("plugins",)), inner)

    def _objects(self, items: Any, at: Pointer) -> Iterator[tuple[Pointer, dict[Any, Any]]]:
        if items is None:
            return
        if not isinstance(items, list):
            self._refuse(at, f"expected a list, got {kind_of_data(items)}", 'begin each item with "- "')
            return
        for index, item in enumerate(items):
            if isinstance(item, dict):
                yield (*at, index), item
            else:
                self._refuse((*at, index), f"expected an object, got {kind_of_data(item)}", "write an object")

    def _refuse(self, at: Pointer, message: str, hint: str) -> None:
        problem = self.document.located(Problem(message, at, hint))
        self.problems.append(self.marked.located(Problem(problem.message, at, hint, self.file, problem.line)))

    def _plugin(self, item: dict[Any, Any], at: Pointer, owner: _Owner | None) -> FoundPlugin:
        kind = plugin_kind(item.get("name"))
        secrets = {("config", *place) for place in kind.secrets} if kind else set()
        values = _Values(self.document, self.marked, secrets)
        data: dict[str, Value] = {}
        for name, value in item.items():
            if name != "_config":
                data[_key(name)] = values.read(value, (*at, name), (_key(name),))
        values.lines[()] = self._line(at)
        for name, text in _PLACEHOLDERS:
            if data.get(name) == text:
                data[name] = Reference(f"{name}_name".upper(), secret=False)
        if item.get("_config") is not None:
            self._merge_shared(item["_config"], data, at, values)
        if owner is not None:
            data[owner.kind] = {owner.name_key: owner.name}
            values.lines[(owner.kind,)] = self._line(owner.at)
            values.lines[(owner.kind, owner.name_key)] = self._line((*owner.at, owner.name_key))
        return FoundPlugin(data, self.file, values.lines)

    def _line(self, at: Pointer) -> int:
        return self.marked.original_line(self.document.line(at) or 1)

    def _merge_shared(self, source: Any, data: dict[str, Value], at: Pointer, values: _Values) -> None:
        """Add the members of a shared configuration that the plugin's own does not have."""
        every = self.document.data.get(_SHARED)
        shared = every.get(source) if isinstance(every, dict) and isinstance(source, str) else None
        if not isinstance(shared, dict):
            near = did_you_mean(str(source), map(str, every)) if isinstance(every, dict) else None
            hint = f"did you mean {near!r}?" if near else f"add it to {_SHARED}"
            self._refuse((*at, "_config"), f"there is no shared configuration {str(source)!r}", hint)
            return
        config = data.setdefault("config", {})
        if config is None:
            config = data["config"] = {}
        if isinstance(config, dict):
            for name, value in shared.items():
                if _key(name) not in config:
                    config[_key(name)] = values.read(value, (_SHARED, source, name), ("config", _key(name)))


@dataclass(slots=True)
class _Values:
    """Takes values over from the document, with their lines: templates as references, all else as JSON data."""

    document: Document
    marked: MarkedText
    secrets: set[tuple[str | int, ...]]
    lines: dict[Pointer, int] = field(default_factory=dict)

    def read(self, value: Any, at: Pointer, to: Pointer) -> Value:
        """Return the value at ``at`` in the document; its place in the plugin's data is ``to``."""
        line = self.document.lines.get(at)
        if line is not None:
            self.lines[to] = self.marked.original_line(line) if self.marked.lines_differ else line
        if isinstance(value, str):
            return self.marked.value(value, secret=to in self.secrets)
        if isinstance(value, dict):
            return {_key(name): self.read(part, (*at, name), (*to, _key(name))) for name, part in value.items()}
        if isinstance(value, list):
            return [self.read(part, (*at, index), (*to, index)) for index, part in enumerate(value)]
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return str(value)  # a date, which is text to the gateway


def _key(name: Any) -> str:
    return name if isinstance(name, str) else json.dumps(name, default=str).strip('"')


# --------------------------------------------------------------------- JSON, by way of YAML

_JSON_ESCAPE = re.compile(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|.)", re.DOTALL)
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)


def _parse(text: str, file: str) -> Document:
    """Parse YAML or JSON. JSON's data is what a JSON parser makes of it; YAML, which it nearly is, has the lines."""
    if not text.lstrip("\ufeff \t\r\n").startswith("{"):
        return parse_document(text, file)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return parse_document(text, file)
    return Document(data, parse_document(_json_as_yaml(text), file).lines, file)


def _json_as_yaml(text: str) -> str:
    """Return JSON without what YAML takes amiss: tabs as indentation, halves of a pair, unusual characters raw."""
    text = _INDENT.sub(lambda match: " " * len(match[0]), text)
    text = _JSON_ESCAPE.sub(_whole_character, text)
    return _NOT_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _whole_character(match: re.Match[str]) -> str:
    escape = match[0]
    if len(escape) < 12:
        return escape
    character: str = json.loads('"' + escape + '"')
    return f"\\U{ord(character):08x}"
