"""Reads Kubernetes manifests: KongPlugin and KongClusterPlugin objects, and what attaches them."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plugin_emulator.documents import InvalidDocument, Pointer, Problem, parse_document

from ..config_file import ConfigFile, FoundPlugin
from ..entity import Reference, Value
from ..plugin_kinds import plugin_kind
from .kong_operator import FILLED_IN_ANNOTATION
from .kong_plugin_object import TAGS_ANNOTATION
from .kubernetes_attachments import Attachment, attachments, naming
from .kubernetes_objects import ManifestObject, read_objects

#: Fields of the object -> those of the gateway's plugin entity.
_FIELDS = {"plugin": "name", "instance_name": "instance_name", "protocols": "protocols", "ordering": "ordering"}
_QUOTES = "a patch takes JSON: a string carries its own quotes"


def read(text: str, file: str) -> ConfigFile:
    """Return the plugins of a manifest, one for each thing that an object of the same manifest attaches it to.

    A value that a Secret of the manifest holds is that value; one that another Secret holds is a Reference, named
    after the Secret's key. So is all of ``config`` when it comes from a Secret that is not in the manifest.
    The format is ``kong-operator`` when there is a KongPluginBinding, else ``kic``.

    Raises InvalidDocument with every problem found, among them objects that their CRDs do not allow.
    """
    objects = read_objects(text, file)
    secrets: dict[str, list[ManifestObject]] = {}
    for item in objects:
        if item.kind == "Secret":
            secrets.setdefault(item.name, []).append(item)
    by_plugin = naming(objects)
    plugins: list[FoundPlugin] = []
    problems: list[Problem] = []
    for item in objects:
        if item.kind in ("KongPlugin", "KongClusterPlugin"):
            entity = _Entity(item, secrets, problems).read()
            plugins += _attached(entity, item, attachments(item, by_plugin.get(item.name, ())), file)
    if problems:
        raise InvalidDocument(sorted(problems, key=lambda problem: problem.line or 0))
    bound = any(item.kind == "KongPluginBinding" for item in objects)
    return ConfigFile(file, "kong-operator" if bound else "kic", tuple(plugins))


def _attached(entity: _Entity, item: ManifestObject, found: Sequence[Attachment], file: str) -> list[FoundPlugin]:
    if not found:
        return [FoundPlugin(entity.data, file, entity.lines, attached=False)]
    plugins = []
    for attachment in found:
        lines = dict(entity.lines)
        scope: dict[str, Value] = {}
        for kind, name in attachment.scope.items():
            scope[kind] = {"name": name}
            lines[(kind,)] = lines[(kind, "name")] = attachment.lines[kind]
        plugins.append(FoundPlugin({**entity.data, **scope}, file, lines))
    return plugins


@dataclass(slots=True)
class _Entity:
    """The gateway's plugin entity that an object stands for; ``secrets`` are the manifest's, by name."""

    item: ManifestObject
    secrets: Mapping[str, Sequence[ManifestObject]]
    problems: list[Problem]
    data: dict[str, Value] = field(default_factory=dict)
    lines: dict[Pointer, int] = field(default_factory=dict)

    def read(self) -> _Entity:
        given = self.item.data
        self.lines[()] = self.item.line(())
        for name, ours in _FIELDS.items():
            if given.get(name) is not None:
                self.data[ours] = self._copied(given[name], (name,), (ours,))
        if given.get("disabled") is not None:
            self.data["enabled"] = not given["disabled"]
            self.lines[("enabled",)] = self.item.line(("disabled",))
        if given.get("run_on") is not None:
            self.data["run_on"] = self._copied(given["run_on"], ("run_on",), ("run_on",))
        self._read_tags()
        if given.get("configFrom") is not None:
            self._read_config_from(given["configFrom"]["secretKeyRef"])
        elif given.get("config") is not None or given.get("configPatches"):
            self.data["config"] = self._copied(given.get("config") or {}, ("config",), ("config",))
        self._patch(given.get("configPatches") or ())
        self._fill_in()
        return self

    def _read_tags(self) -> None:
        text = self.item.annotation(TAGS_ANNOTATION)
        if text:
            self.data["tags"] = [tag.strip() for tag in text.split(",")]
            self.lines[("tags",)] = self.item.line(("metadata", "annotations", TAGS_ANNOTATION))

    def _read_config_from(self, source: dict[str, str]) -> None:
        at: Pointer = ("configFrom", "secretKeyRef")
        self.lines[("config",)] = self.item.line(at)
        text = self._secret_text(source, at)
        if text is None:
            self.data["config"] = _reference(f"{source['name']}_{source['key']}")
            return
        try:
            config = parse_document(text).data
        except InvalidDocument:  # its words may quote the Secret
            config = None
        if not isinstance(config, dict):
            message = f"key {source['key']!r} of its Secret holds no configuration"
            self.problems.append(self.item.problem(message, at, "put the config there, as a JSON or YAML object"))
            config = {}
        self.data["config"] = _json_data(config)

    def _patch(self, patches: Sequence[dict[str, Any]]) -> None:
        for index, patch in enumerate(patches):
            source = patch["valueFrom"]["secretKeyRef"]
            at: Pointer = ("configPatches", index)
            text = self._secret_text(source, at)
            if text is None:
                self._add(patch["path"], _reference(source["key"]), at)
                continue
            try:
                self._add(patch["path"], json.loads(text), at)
            except (ValueError, RecursionError):
                message = f"key {source['key']!r} of its Secret is no JSON"
                self.problems.append(self.item.problem(message, at, _QUOTES))

    def _fill_in(self) -> None:
        """Put back the references that our own manifests for the operator name in an annotation."""
        text = self.item.annotation(FILLED_IN_ANNOTATION)
        at: Pointer = ("metadata", "annotations", FILLED_IN_ANNOTATION)
        if not text:
            return
        try:
            variables = json.loads(text)
            references = {path: Reference(name) for path, name in variables.items()}
        except (ValueError, TypeError, AttributeError, RecursionError):
            hint = 'write e.g. {"/api_token": "AUTH_TOKEN"}'
            self.problems.append(self.item.problem("is no JSON object from path to variable", at, hint))
            return
        for path, reference in references.items():
            self._add(path, reference, at)

    def _add(self, path: str, value: Value, at: Pointer) -> None:
        """Add ``value`` to ``config`` as a JSON patch does; ``at`` is the patch's place in the object."""
        parts = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
        owner: Any = self.data.setdefault("config", {})
        place: list[str | int] = ["config"]
        for part in parts[:-1]:
            step = _step(owner, part)
            if step is None or step == len(owner):
                owner = None
                break
            owner, place = owner[step], [*place, step]
        last = _step(owner, parts[-1], new=True) if parts else None
        if last is None:
            hint = "a patch adds one member to an object, or one item to a list, that config has"
            self.problems.append(self.item.problem(f"config has no place {path}", at, hint))
            return
        pointer = (*place, last)
        if isinstance(value, Reference):
            value = Reference(value.name, secret=self._is_secret(pointer[1:]))
        if isinstance(owner, list):
            assert isinstance(last, int)
            self._move_lines(tuple(place), last)
            owner.insert(last, value)
        else:
            owner[last] = value
        self.lines = {known: line for known, line in self.lines.items() if known[: len(pointer)] != pointer}
        self.lines[pointer] = self.item.line(at)

    def _is_secret(self, pointer: Pointer) -> bool:
        kind = plugin_kind(self.data.get("name"))
        return kind is None or pointer in kind.secrets

    def _move_lines(self, place: Pointer, index: int) -> None:
        """Make room in the lines for an item that is put into a list."""
        depth = len(place)

        def moved(pointer: Pointer) -> Pointer:
            if pointer[:depth] != place or len(pointer) == depth:
                return pointer
            item = pointer[depth]
            return (*place, item + 1, *pointer[depth + 1 :]) if isinstance(item, int) and item >= index else pointer

        self.lines = {moved(pointer): line for pointer, line in self.lines.items()}

    def _secret_text(self, source: dict[str, str], at: Pointer) -> str | None:
        """Return what the Secret holds; None when it is not in the manifest."""
        namespace = source.get("namespace") or self.item.namespace
        for secret in self.secrets.get(source["name"], ()):
            if not self.item.may_mean(namespace, source["name"], secret):
                continue
            key = source["key"]
            text, encoded = (_entry(secret, member, key) for member in ("stringData", "data"))
            if text is not None:
                return text
            if encoded is not None:
                try:
                    return base64.b64decode("".join(encoded.split()), validate=True).decode("utf-8")
                except (binascii.Error, ValueError):
                    self.problems.append(secret.problem("is no text in base64", ("data", key), "encode it"))
                    return "{}"
            self.problems.append(self.item.problem(f"its Secret has no key {key!r}", at, "correct one of them"))
            return "{}"
        return None

    def _copied(self, value: Any, at: Pointer, to: Pointer) -> Value:
        """Return ``value``, which stands at ``at`` in the object, and note its lines as those of ``to``."""
        line = self.item.document.lines.get((*self.item.at, *at))
        if line is not None:
            self.lines[to] = line
        if isinstance(value, dict):
            return {_key(name): self._copied(part, (*at, name), (*to, _key(name))) for name, part in value.items()}
        if isinstance(value, list):
            return [self._copied(part, (*at, index), (*to, index)) for index, part in enumerate(value)]
        return _json_data(value)


def _step(owner: Any, part: str, new: bool = False) -> str | int | None:
    """Return the member or item of ``owner`` that a part of a path names; None when there is none."""
    if isinstance(owner, dict):
        return part if new or part in owner else None
    if isinstance(owner, list):
        if part == "-":
            return len(owner)
        if re.fullmatch("0|[1-9][0-9]*", part) and int(part) <= len(owner):
            return int(part)
    return None


def _reference(text: str) -> Reference:
    """Return a Reference to a variable named after ``text``."""
    name = re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_") or "VALUE"
    return Reference(f"_{name}" if name[0].isdigit() else name)


def _entry(secret: ManifestObject, member: str, key: str) -> str | None:
    entries = secret.data.get(member)
    value = entries.get(key) if isinstance(entries, dict) else None
    return value if isinstance(value, str) else None


def _json_data(value: Any) -> Value:
    """Return what YAML made of a value as JSON data: a date is text to the gateway."""
    if isinstance(value, dict):
        return {_key(name): _json_data(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_json_data(part) for part in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return str(value)


def _key(name: Any) -> str:
    return name if isinstance(name, str) else json.dumps(name, default=str).strip('"')
