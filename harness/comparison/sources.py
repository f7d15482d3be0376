"""Where the compared configurations come from: files of any format, or one intent for all plugins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.plugin_config.config_file import FoundPlugin
from harness.plugin_config.entity import PluginEntity
from harness.plugin_config.intent_document import entity_of_intent
from harness.plugin_config.plugin_kind import PluginKind
from harness.plugin_config.plugin_kinds import PLUGIN_KINDS, plugin_kind
from harness.plugin_config.reading import read_config_file
from harness.plugin_config.validation import entity_data
from plugin_emulator.documents import Document, InvalidDocument, Problem, read_document

#: Words of an intent that not every plugin has a meaning for.
_OPTIONAL = frozenset(("ingest", "status", "meters", "meter_name", "attributes"))

Found = tuple[FoundPlugin, PluginKind]


def plugins_of_files(paths: Iterable[Path]) -> list[Found]:
    """Return the metering plugin of each kind in the files, in the order of PLUGIN_KINDS.

    Raises InvalidDocument when a file cannot be read, a kind is missing, or one is there more than once.
    """
    names = ", ".join(str(path) for path in paths)
    every = [plugin for path in paths for plugin in read_config_file(path).plugins]
    found: list[Found] = []
    problems: list[Problem] = []
    for kind in PLUGIN_KINDS:
        own = [plugin for plugin in every if plugin_kind(plugin.name) is kind]
        if not own:
            problems.append(Problem(f"no plugin named {kind.name}", hint="give a file for each plugin", file=names))
        for again in own[1:]:
            hint = "give files with exactly one of each plugin"
            problems.append(again.located(Problem(f"another plugin named {again.name}", hint=hint)))
        found += [(plugin, kind) for plugin in own]
    if problems:
        raise InvalidDocument(problems)
    return found


def plugins_of_intent(path: Path) -> tuple[list[Found], list[str]]:
    """Return what an intent means for each kind of metering plugin, and what it cannot mean for one, in words.

    Its ``plugin`` does not matter. Raises InvalidDocument.
    """
    document = read_document(path)
    found: list[Found] = []
    notes: list[str] = []
    for kind in PLUGIN_KINDS:
        entity, left_out = _meant(document, kind)
        found.append((FoundPlugin(entity_data(entity), str(path), {}), kind))
        notes += [f"{kind.name}: {problem.message}" for problem in left_out]
    return found, notes


def _meant(document: Document, kind: PluginKind) -> tuple[PluginEntity, list[Problem]]:
    """Return the entity that the intent means for ``kind``, and the reasons why parts of it were left out."""
    if not isinstance(document.data, dict):
        return entity_of_intent(document)[0], []
    data = {**document.data, "plugin": kind.name}
    data.pop("plugin_name", None)
    left_out: list[Problem] = []
    while True:
        try:
            return entity_of_intent(Document(data, document.lines, document.file))[0], left_out
        except InvalidDocument as error:
            (problem, *others) = error.problems
            word = problem.pointer[0] if problem.pointer else None
            if others or word not in _OPTIONAL or word not in data:
                raise
            data = _without(data, problem)
            left_out.append(problem)


def _without(data: dict[str, object], problem: Problem) -> dict[str, object]:
    """Return an intent without what ``problem`` is about: a word, or one of its attributes."""
    word, *inside = problem.pointer
    value = data[str(word)]
    rest = {name: part for name, part in data.items() if name != word}
    if inside and isinstance(value, dict):
        rest[str(word)] = {name: part for name, part in value.items() if name != inside[0]}
    return rest
