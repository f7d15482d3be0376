"""The objects of a Kubernetes manifest, each with where it stands in its file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugin_emulator.documents import Document, InvalidDocument, Pointer, Problem, parse_documents
from plugin_emulator.schema_check import Schema
from plugin_emulator.schema_check import kind as kind_of_data

_SCHEMAS = {
    kind: Schema.read(Path(__file__).parent.parent / "schemas" / "kubernetes" / name)
    for kind, name in {
        "KongPlugin": "kong-plugin.json",
        "KongClusterPlugin": "kong-cluster-plugin.json",
        "KongPluginBinding": "kong-plugin-binding.json",
    }.items()
}
_NO_OBJECT = "write an object with apiVersion, kind and metadata"


@dataclass(frozen=True, slots=True)
class ManifestObject:
    """One object, ``data``, at the place ``at`` in ``document``."""

    data: dict[str, Any]
    document: Document
    at: Pointer

    @property
    def kind(self) -> str:
        """The object's kind; empty when it has none."""
        return _text(self.data.get("kind"))

    @property
    def name(self) -> str:
        """The object's name; empty when it has none."""
        return _text(self._metadata("name"))

    @property
    def namespace(self) -> str:
        """The object's namespace; empty when it is left to kubectl."""
        return _text(self._metadata("namespace"))

    def annotation(self, name: str) -> str:
        """Return an annotation's value; empty when there is none."""
        return self._entry("annotations", name)

    def label(self, name: str) -> str:
        """Return a label's value; empty when there is none."""
        return self._entry("labels", name)

    def line(self, pointer: Pointer) -> int:
        """Return the line of the value at ``pointer`` in the object, or of its nearest ancestor."""
        return self.document.line((*self.at, *pointer)) or 1

    def problem(self, message: str, pointer: Pointer, hint: str | None = None) -> Problem:
        """Return a problem of the value at ``pointer`` in the object, with its file and line."""
        return Problem(message, pointer, hint, self.document.file, self.line(pointer))

    def may_mean(self, namespace: str, name: str, named: ManifestObject) -> bool:
        """Return whether ``name`` in ``namespace``, as this object has it, is ``named``.

        A namespace that is left to kubectl may be any.
        """
        return named.name == name and ("" in (namespace, named.namespace) or namespace == named.namespace)

    def _metadata(self, name: str) -> Any:
        metadata = self.data.get("metadata")
        return metadata.get(name) if isinstance(metadata, dict) else None

    def _entry(self, member: str, name: str) -> str:
        entries = self._metadata(member)
        return _text(entries.get(name)) if isinstance(entries, dict) else ""


def read_objects(text: str, file: str) -> list[ManifestObject]:
    """Return the objects of a manifest, in YAML or JSON, those in a ``kind: List`` included.

    Raises InvalidDocument when it cannot be parsed, holds something other than objects, or has a KongPlugin,
    KongClusterPlugin or KongPluginBinding that its CRD does not allow.
    """
    found: list[ManifestObject] = []
    problems: list[Problem] = []
    for document in _documents(text, file):
        for item in _objects(document.data, document, (), problems):
            found.append(item)
            problems += _misshapen(item)
    if problems:
        raise InvalidDocument(sorted(problems, key=lambda problem: problem.line or 0))
    return found


def _documents(text: str, file: str) -> list[Document]:
    if not text.lstrip("\ufeff \t\r\n").startswith("{"):
        return parse_documents(text, file)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return parse_documents(text, file)
    try:
        lines: Mapping[Pointer, int] = parse_documents(text, file)[0].lines
    except InvalidDocument as error:
        if not all("not valid YAML" in problem.message for problem in error.problems):
            raise
        lines = {(): 1}  # JSON that is no YAML: tabs as indentation
    return [Document(data, dict(lines), file)]


def _objects(data: Any, document: Document, at: Pointer, problems: list[Problem]) -> Iterator[ManifestObject]:
    if not isinstance(data, dict):
        message = f"expected a Kubernetes object, got {kind_of_data(data)}"
        problems.append(document.located(Problem(message, at, _NO_OBJECT)))
        return
    item = ManifestObject(data, document, at)
    if not item.kind:
        problems.append(item.problem("is no Kubernetes object: it has no kind", ("kind",), _NO_OBJECT))
    elif item.kind.endswith("List") and isinstance(data.get("items"), list):
        for index, part in enumerate(data["items"]):
            yield from _objects(part, document, (*at, "items", index), problems)
    else:
        yield item


def _misshapen(item: ManifestObject) -> Iterator[Problem]:
    schema = _SCHEMAS.get(item.kind)
    for problem in schema.check(item.data) if schema else ():
        message = problem.message
        if "configFrom" in item.data and problem.pointer in (("config",), ("configPatches",)):
            message = "cannot stand beside configFrom"
        yield item.problem(message, problem.pointer, problem.hint)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
