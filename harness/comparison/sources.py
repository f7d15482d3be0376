"""Where the compared configurations come from: files of any format, or one intent for all plugins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.plugin_config.config_file import FoundPlugin
from harness.plugin_config.entity import PluginEntity
from harness.plugin_config.intent_document import INTENT_SCHEMA, entity_of_intent
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

    Its ``plugin`` does not matter. Raises InvalidDocument, also for what no plugin has a meaning for: that is a
    mistake, and what is billed without it would be another bill than the one asked for.
    """
    document = read_document(path)
    problems = INTENT_SCHEMA.check(document.data)
    if problems:
        raise InvalidDocument([document.located(problem) for problem in problems])
    found: list[Found] = []
    left_out: list[tuple[PluginKind, list[Problem]]] = []
    for kind in PLUGIN_KINDS:
        entity, parts = _meant(document, kind)
        found.append((FoundPlugin(entity_data(entity), str(path), {}), kind))
        left_out.append((kind, parts))
    _refuse_meant_by_none([parts for _, parts in left_out])
    return found, [
        f"{kind.name}: {_place(problem)}: {problem.message}" for kind, parts in left_out for problem in parts
    ]


def _refuse_meant_by_none(left_out: list[list[Problem]]) -> None:
    """Raise InvalidDocument when every plugin has left out the same part."""
    for problem in left_out[0]:
        if all(any(problem.pointer == other.pointer for other in parts) for parts in left_out):
            raise InvalidDocument([problem])


def _meant(document: Document, kind: PluginKind) -> tuple[PluginEntity, list[Problem]]:
    """Return the entity that a well-formed intent means for ``kind``, and why parts of it were left out."""
    data = {**document.data, "plugin": kind.name}
    data.pop("plugin_name", None)
    left_out: list[Problem] = []
    while True:
        try:
            return entity_of_intent(Document(data, document.lines, document.file))[0], left_out
        except InvalidDocument as error:
            (problem, *others) = error.problems
            word = problem.pointer[0] if problem.pointer else None
            if others or word not in _OPTIONAL:
                raise
            if word not in data:  # missed only because it was left out: what was wrong with it says more
                raise InvalidDocument([part for part in left_out if part.pointer[0] == word] or [problem]) from None
            data = _without(data, problem)
            left_out.append(problem)


def _place(problem: Problem) -> str:
    return ".".join(map(str, problem.pointer))


def _without(data: dict[str, object], problem: Problem) -> dict[str, object]:
    """Return an intent without what ``problem`` is about: a word, or one of its attributes."""
    word, *inside = problem.pointer
    value = data[str(word)]
    rest = {name: part for name, part in data.items() if name != word}
    if inside and isinstance(value, dict):
        rest[str(word)] = {name: part for name, part in value.items() if name != inside[0]}
    return rest
