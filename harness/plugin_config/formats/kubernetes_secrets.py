"""What does not stand in a KongPlugin but in a Secret: which values, in which Secret, and how they get there."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from plugin_emulator.documents import Pointer, pointer_text

from ..entity import PluginEntity, Reference, Value
from ..plugin_kinds import plugin_kind
from ..secrets import literal_secrets
from .format import Names
from .kong_plugin_object import SECRET_LABEL
from .kubernetes_names import name_from
from .kubernetes_shell import given, json_pieces, printed, quoted


@dataclass(frozen=True, slots=True)
class TakenOut:
    """A value that is kept out of ``config``, with its place there. A literal is one the user asked to be written."""

    pointer: Pointer
    value: Value


@dataclass(frozen=True, slots=True)
class Settings:
    """How a KongPlugin comes by its configuration.

    ``fields`` are the object's: ``config`` and ``configPatches``, or ``configFrom``. ``secrets`` are Secrets whose
    values are known, to stand in the manifest; ``commands`` make those whose values are not, one item a command.
    ``references`` are all that the commands fill in.
    """

    fields: dict[str, Any]
    secrets: tuple[dict[str, Any], ...] = ()
    commands: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class SecretMaker:
    """Takes the secrets of entities out of their objects. ``name_space`` is where the Secrets go."""

    name_space: str
    names: Names

    def patches(self, entity: PluginEntity, object_name: str, cluster_wide: bool) -> Settings:
        """Return settings in which each value that is filled in, or secret, comes by ``configPatches``.

        A patch takes the Secret's value as JSON: a string carries its own quotes.
        """
        config, taken_out = take_out(entity.config, _literal_places(entity))
        if not taken_out:
            return Settings({"config": config})
        patches: list[dict[str, Any]] = []
        secrets: list[dict[str, Any]] = []
        commands: list[str] = []
        known: dict[str, tuple[str, str]] = {}  # variable -> Secret and key
        for item in taken_out:
            value = item.value
            if isinstance(value, Reference):
                if value.name not in known:
                    name = self.names.unique(f"{object_name}-{name_from(value.name)}")
                    known[value.name] = (name, value.name.lower())
                    commands.append(self._command(*known[value.name], value))
                source = known[value.name]
            else:
                place = pointer_text(item.pointer)[1:]
                source = (self.names.unique(f"{object_name}-{name_from(place)}"), _key_from(place))
                secrets.append(self._secret(*source, json.dumps(value)))
            path = pointer_text(item.pointer)
            patches.append({"path": path, "valueFrom": {"secretKeyRef": self._source(*source, cluster_wide)}})
        found = _distinct(taken_out)
        return Settings({"config": config, "configPatches": patches}, tuple(secrets), tuple(commands), found)

    def whole(self, entity: PluginEntity, object_name: str, cluster_wide: bool) -> Settings:
        """Return settings of which all comes by ``configFrom``, if anything of it is filled in or secret."""
        config, taken_out = take_out(entity.config, _literal_places(entity))
        if not taken_out:
            return Settings({"config": config})
        name, key = self.names.unique(f"{object_name}-config"), "config"
        fields = {"configFrom": {"secretKeyRef": self._source(name, key, cluster_wide)}}
        found = _distinct(taken_out)
        if not found:
            return Settings(fields, (self._secret(name, key, json.dumps(entity.config)),))
        return Settings(fields, (), (self._command(name, key, entity.config),), found)

    def _source(self, name: str, key: str, cluster_wide: bool) -> dict[str, str]:
        place = {"namespace": self.name_space} if cluster_wide else {}
        return {**place, "name": name, "key": key}

    def _secret(self, name: str, key: str, text: str) -> dict[str, Any]:
        metadata = {"name": name, "namespace": self.name_space, "labels": {SECRET_LABEL: "true"}}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {key: text}}

    def _command(self, name: str, key: str, value: Value) -> str:
        create = f"kubectl create secret generic {quoted(name)} -n {quoted(self.name_space)}"
        source = f"--from-file={quoted(key)}=/dev/stdin --dry-run=client -o yaml"
        pieces = json_pieces(value)
        return "\n".join(
            [
                f"{given(pieces)} && {printed(pieces)} |",
                f"  {create} {source} |",
                f"  kubectl label --local -f - {SECRET_LABEL}=true -o yaml |",
                "  kubectl apply -f -",
            ]
        )


def take_out(config: dict[str, Value], literals: Collection[Pointer] = ()) -> tuple[dict[str, Value], list[TakenOut]]:
    """Return ``config`` without its References and the ``literals``, and those with their places, in order.

    Adding them again one after the other, as JSON patches do, gives ``config`` back: also in lists, from which
    later ones move up.
    """
    taken_out: list[TakenOut] = []
    rest = _rest(config, (), literals, taken_out)
    assert isinstance(rest, dict)
    return rest, taken_out


def _rest(value: Value, at: Pointer, literals: Collection[Pointer], taken_out: list[TakenOut]) -> Value:
    def kept(parts: Iterator[tuple[str | int, Value]]) -> Iterator[tuple[str | int, Value]]:
        for name, part in parts:
            place = (*at, name)
            if isinstance(part, Reference) or place in literals:
                taken_out.append(TakenOut(place, part))
            else:
                yield name, _rest(part, place, literals, taken_out)

    if isinstance(value, dict):
        return {str(name): part for name, part in kept(iter(value.items()))}
    if isinstance(value, list):
        return [part for _, part in kept(iter(enumerate(value)))]
    return value


def _literal_places(entity: PluginEntity) -> set[Pointer]:
    kind = plugin_kind(entity.name)
    return set() if kind is None else {problem.pointer[1:] for problem in literal_secrets(entity, kind)}


def _distinct(taken_out: Sequence[TakenOut]) -> tuple[Reference, ...]:
    return tuple(dict.fromkeys(item.value for item in taken_out if isinstance(item.value, Reference)))


def _key_from(place: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", place.replace("/", "."))[:200]
