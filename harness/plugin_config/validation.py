"""Would the gateway take it? Plugins in configuration files, checked as that gateway version would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plugin_emulator.documents import Pointer, Problem
from plugin_emulator.plugin_entity import ENTITY_SCHEMA

from .config_file import ConfigFile, FoundPlugin
from .entity import SCOPE_KINDS, MixedText, PluginEntity, Reference, Value
from .plugin_kind import PluginKind
from .plugin_kinds import plugin_kind

#: Fields of the real gateway's plugin entity that the emulator refuses but the gateway takes.
_TAKEN_BY_KONG = frozenset(ENTITY_SCHEMA.definition["x-not-emulated"]) - {"consumer_group"}
_STAND_IN = "{vault://env/unknown-until-applied}"


@dataclass(frozen=True, slots=True)
class Validated:
    """A metering plugin of a file, with what the gateway would refuse in it, located."""

    plugin: FoundPlugin
    kind: PluginKind
    problems: tuple[Problem, ...]


def validate(file: ConfigFile, gateway: str) -> list[Validated]:
    """Check every metering plugin of ``file`` as a gateway of that version would, in the file's order.

    A value that is filled in later (a Reference) is taken to be right. Raises ValueError for an unknown version.
    """
    found: list[Validated] = []
    for plugin in file.plugins:
        kind = plugin_kind(plugin.name)
        if kind is not None:
            found.append(Validated(plugin, kind, tuple(_problems(plugin, kind, gateway))))
    return found


def _problems(plugin: FoundPlugin, kind: PluginKind, gateway: str) -> list[Problem]:
    unknown: list[Pointer] = []
    data = _with_stand_ins(plugin.data, (), unknown)
    return [
        plugin.located(problem)
        for problem in kind.validate(data, gateway)
        if not any(problem.pointer[: len(place)] == place for place in unknown)
        and not (len(problem.pointer) == 1 and problem.pointer[0] in _TAKEN_BY_KONG)
    ]


def _with_stand_ins(value: Value, at: Pointer, unknown: list[Pointer]) -> Any:
    """Return ``value`` with text in place of references, whose places are added to ``unknown``."""
    if isinstance(value, (Reference, MixedText)):
        unknown.append(at)
        return {} if at == ("config",) else _STAND_IN
    if isinstance(value, dict):
        return {name: _with_stand_ins(part, (*at, name), unknown) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_stand_ins(part, (*at, index), unknown) for index, part in enumerate(value)]
    return value


def entity_problems(entity: PluginEntity, kind: PluginKind, gateway: str) -> list[Problem]:
    """Return what a gateway of that version would refuse in ``entity``; pointers are relative to it."""
    return [
        Problem(problem.message, problem.pointer, problem.hint)
        for problem in _problems(FoundPlugin(entity_data(entity), "", {}), kind, gateway)
    ]


def entity_data(entity: PluginEntity) -> dict[str, Value]:
    """Return ``entity`` in the shape of the gateway's plugin entity; what of its scope is left open is left out."""
    data: dict[str, Value] = {
        "name": entity.name,
        "config": entity.config,
        "enabled": entity.enabled,
        "tags": list(entity.tags),
        "protocols": list(entity.protocols),
        **{kind: name for kind, name in entity.scope.items() if name is not None},
    }
    for name in ("instance_name", "condition", "ordering", "id"):
        value = getattr(entity, name)
        if value is not None:
            data[name] = value
    return data


def entity_of(plugin: FoundPlugin) -> PluginEntity:
    """Return the entity a found plugin stands for. It must be one that :func:`validate` finds nothing wrong in.

    Raises ValueError, whose text names the field, for what an entity cannot hold: a field of the gateway's that is
    not generated, or a value that is put together from text and references.
    """
    data: dict[str, Value] = {name: value for name, value in plugin.data.items() if value is not None}
    for name in data:
        if name in _TAKEN_BY_KONG:
            raise ValueError(f"{name} is not converted")
    mixed = _mixed_text(data, ())
    if mixed is not None:
        place = ".".join(map(str, mixed))
        raise ValueError(f"{place} is put together from text and a reference, which is not converted")
    given: dict[str, Any] = {}
    for name in ("enabled", "instance_name", "condition", "ordering", "id"):
        if name in data:
            given[name] = data[name]
    for name in ("tags", "protocols"):
        if name in data:
            given[name] = tuple(data[name])  # type: ignore[arg-type]  # validated to be a list of strings
    config = data["config"]
    if not isinstance(config, dict):
        raise ValueError("config is known only where it is applied (all of it stands in a Secret)")
    return PluginEntity(name=plugin.name, config=config, scope=_scope(data), **given)


def _scope(data: dict[str, Value]) -> dict[str, str | None]:
    scope: dict[str, str | None] = {}
    for kind in SCOPE_KINDS:
        target = data.get(kind)
        if isinstance(target, dict):
            target = next((target[key] for key in ("name", "username", "id") if target.get(key)), None)
        if isinstance(target, Reference):
            scope[kind] = None
        elif isinstance(target, str):
            scope[kind] = target
    return scope


def _mixed_text(value: Value, at: Pointer) -> Pointer | None:
    if isinstance(value, MixedText):
        return at
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next((found for name, part in parts if (found := _mixed_text(part, (*at, name))) is not None), None)
