"""YAML and JSON documents that remember where each value stands.

A user's mistake is reported as one line: file, line, JSON pointer, what is wrong and what to do. This module
reads a document together with the line of every value, and holds the two types all such reports are made of.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from plugin_emulator.json_places import parse_json

Pointer = tuple[str | int, ...]

#: How many values a document may have beyond those that are written out.
_MOST_BY_ALIAS = 100_000


def pointer_text(pointer: Sequence[str | int]) -> str:
    """Return ``pointer`` as a JSON pointer (RFC 6901): ``("a", 0)`` is ``/a/0``; the root is ``/``."""
    return "/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in pointer)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return the known name nearest to ``word``, or None when none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return near[0] if near else None


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a document.

    ``pointer`` is the place inside the document, ``hint`` what to do about it; ``file`` and ``line`` (from 1) are
    None for a document that came from elsewhere than a file.
    """

    message: str
    pointer: Pointer = ()
    hint: str | None = None
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        place = f"{where}: " if where else ""
        at = f"{pointer_text(self.pointer)}: " if self.pointer else ""
        advice = f" ({self.hint})" if self.hint else ""
        return f"{place}{at}{self.message}{advice}"


class InvalidDocument(ValueError):
    """A document the user gave is not usable. ``problems`` has one entry for each mistake found, at least one."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Document:
    """Parsed data with the line on which each of its values stands.

    ``data`` is plain Python (dict, list, str, int, float, bool, None); ``lines`` maps a pointer to a line from 1.
    """

    data: Any
    lines: dict[Pointer, int]
    file: str | None = None

    def line(self, pointer: Sequence[str | int]) -> int | None:
        """Return the line of the value at ``pointer``, or of its nearest ancestor that is in the document."""
        path = tuple(pointer)
        while path not in self.lines:
            if not path:
                return None
            path = path[:-1]
        return self.lines[path]

    def located(self, problem: Problem, under: Pointer = ()) -> Problem:
        """Return ``problem`` with file and line filled in, its pointer taken to be relative to ``under``."""
        pointer = under + problem.pointer
        return replace(problem, pointer=pointer, file=self.file, line=self.line(pointer))


def read_document(path: Path) -> Document:
    """Read a YAML or JSON file.

    Raises InvalidDocument when it cannot be read, is not one YAML document, or has a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidDocument([Problem(f"is not UTF-8 text (byte {error.start})", file=str(path))]) from None
    except OSError as error:
        raise InvalidDocument([Problem(f"cannot be read: {error.strerror}", file=str(path))]) from None
    return parse_document(text, str(path))


def parse_document(text: str, file: str | None = None) -> Document:
    """Parse YAML or JSON text; ``file`` is the name used in messages. Raises InvalidDocument."""
    documents = _parse(text, file, single=True)
    return documents[0] if documents else Document(None, {(): 1}, file)


def parse_documents(text: str, file: str | None = None) -> list[Document]:
    """Parse the YAML documents of a text, which ``---`` separates, leaving out empty ones. Raises InvalidDocument."""
    return [document for document in _parse(text, file, single=False) if document.data is not None]


def _parse(text: str, file: str | None, single: bool) -> list[Document]:
    if text.lstrip()[:1] in ("{", "["):
        try:
            return [Document(*parse_json(text), file)]
        except ValueError:
            pass  # YAML's flow style, or a mistake that is told with its place below
        except RecursionError:
            raise InvalidDocument([Problem("is nested too deeply", file=file)]) from None
    loader = _Loader(text)
    documents: list[Document] = []
    problems: list[Problem] = []
    try:
        while single or loader.check_node():
            node = loader.get_single_node() if single else loader.get_node()
            if node is None:
                break
            lines: dict[Pointer, int] = {}
            # Each value takes a character at least, unless it is an alias for something large.
            _locate(node, (), lines, problems, file, most=len(text) + _MOST_BY_ALIAS)
            if not problems:
                documents.append(Document(loader.construct_document(node), lines, file))
            if single:
                break
        if problems:
            raise InvalidDocument(problems)
        return documents
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"is not valid YAML: {error.problem or error.context}"
        # The parser notices what is missing at the end of the text only beyond its last line.
        line = min(mark.line, max(len(text.splitlines()) - 1, 0)) + 1 if mark else None
        raise InvalidDocument([Problem(message, file=file, line=line)]) from None
    except yaml.YAMLError as error:
        raise InvalidDocument([Problem(f"is not valid YAML: {error}", file=file)]) from None
    except RecursionError:
        raise InvalidDocument([Problem("is nested too deeply", file=file)]) from None
    finally:
        loader.dispose()


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, whose complaints never quote a value: it may be a secret."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception:  # e.g. a date that is none, 2026-02-31; PyYAML lets all kinds through
            text = "a value is not what it looks like; put it in quotes"
            raise yaml.constructor.ConstructorError(None, None, text, node.start_mark) from None

    def refuse_tag(self, node: yaml.Node) -> Any:
        text = "a value begins with an unknown tag (!); put it in quotes"
        raise yaml.constructor.ConstructorError(None, None, text, node.start_mark)


_Loader.add_constructor(None, _Loader.refuse_tag)


def _locate(
    node: yaml.Node, at: Pointer, lines: dict[Pointer, int], problems: list[Problem], file: str | None, most: int
) -> None:
    lines[at] = node.start_mark.line + 1
    if len(lines) > most:
        message = "its aliases (*) make it too large"
        raise InvalidDocument([Problem(message, hint="write out what is meant", file=file)])
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else str(key_node.start_mark)
            line = key_node.start_mark.line + 1
            if key in seen and key != "<<":
                problems.append(Problem(f"key {key!r} is given twice", (*at, key), "keep one", file, line))
            seen.add(key)
            _locate(value_node, (*at, key), lines, problems, file, most)
            lines[(*at, key)] = line
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _locate(item, (*at, index), lines, problems, file, most)
