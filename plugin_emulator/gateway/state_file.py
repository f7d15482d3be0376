"""Reads a decK or DB-less state file into a :class:`GatewayState`.

Everything in the file is either understood or refused with its place; nothing is skipped silently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from plugin_emulator.conditions import compile_condition
from plugin_emulator.documents import Document, InvalidDocument, Pointer, Problem, did_you_mean, pointer_text
from plugin_emulator.gateway.entities import (
    Consumer,
    DeclaredEntity,
    Entity,
    GatewayState,
    KeyAuthCredential,
    PluginInstance,
    Route,
    Service,
)
from plugin_emulator.gateway.entity_forms import (
    KINDS,
    NESTED,
    OTHER_KINDS,
    check_form,
    entity_id,
    given_fields,
    route_of,
    service_of,
)
from plugin_emulator.gateway.gateway_plugins import GATEWAY_PLUGINS
from plugin_emulator.gateway.key_auth_config import KeyAuthConfig
from plugin_emulator.gateway.kong_messages import WordedProblem
from plugin_emulator.gateway.metering_references import REFERENCEABLE, load_metering
from plugin_emulator.gateway.references import render_environment
from plugin_emulator.gateway_versions import GATEWAY_VERSIONS, NEWEST_GATEWAY
from plugin_emulator.plugin_entity import DEFAULT_PROTOCOLS
from plugin_emulator.schema_check import kind
from plugin_emulator.vault_reference import is_vault_reference

FORMAT_VERSIONS = ("1.1", "2.1", "3.0")
#: What tools write for themselves; it has no bearing on what the gateway does.
_METADATA = ("_comment", "_transform", "_workspace", "_konnect")

_E = TypeVar("_E", Service, Route, Consumer, KeyAuthCredential, PluginInstance)


def read_state(
    path: Path, environ: Mapping[str, str], gateway: str = NEWEST_GATEWAY, *, name: str | None = None
) -> GatewayState:
    """Read a state file, ``${{ env "DECK_…" }}`` filled in from ``environ`` as decK does.

    ``gateway`` is the version whose plugin schema holds; problems call the file ``name`` where its path would tell
    nobody anything. Raises InvalidDocument with every problem found, each with
    its line in the file as written; none quotes a value that came from the environment.
    """
    file = name or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidDocument([Problem(f"is not UTF-8 text (byte {error.start})", file=file)]) from None
    except OSError as error:
        raise InvalidDocument([Problem(f"cannot be read: {error.strerror}", file=file)]) from None
    rendered = render_environment(text, environ, file)
    document = rendered.parse(file)
    try:
        state = load_state(document, environ=environ, gateway=gateway)
    except InvalidDocument as error:
        problems = [rendered.redacted(problem) for problem in error.problems]
    else:
        return replace(state, warnings=tuple(rendered.redacted(warning) for warning in state.warnings))
    raise InvalidDocument(problems)


def load_state(
    document: Document,
    *,
    environ: Mapping[str, str],
    gateway: str = NEWEST_GATEWAY,
    new_key: Callable[[], str] | None = None,
) -> GatewayState:
    """Turn a parsed state file into entities, ``{vault://env/…}`` resolved from ``environ``.

    ``new_key`` makes the key of a credential without one; None refuses a credential whose key nobody would know.
    Raises InvalidDocument with every problem found, and ValueError for an unknown gateway version.
    """
    if gateway not in GATEWAY_VERSIONS:
        raise ValueError(f"gateway version {gateway!r} is not known; known are {', '.join(GATEWAY_VERSIONS)}")
    return _Loader(document, environ, gateway, new_key).load()


@dataclass(slots=True, eq=False)
class _Declared:
    """An entity as it stands in the file; ``entity`` is None until it is built, and stays so when it is not sound."""

    kind: str
    fields: dict[str, Any]
    at: Pointer
    parent: _Declared | None
    sound: bool
    entity: Entity | None = None


class _Unbuildable(Exception):
    """An entity cannot be built."""


@dataclass(slots=True)
class _Loader:
    document: Document
    environ: Mapping[str, str]
    gateway: str
    new_key: Callable[[], str] | None
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    declared: dict[str, list[_Declared]] = field(default_factory=lambda: {name: [] for name in KINDS})
    by_name: dict[tuple[str, str], _Declared] = field(default_factory=dict)
    scopes: dict[tuple[str, ...], _Declared] = field(default_factory=dict)
    select_tags: tuple[str, ...] = ()

    def load(self) -> GatewayState:
        data = self.document.data
        if not isinstance(data, dict):
            self._refuse((), f"expected an object, got {kind(data)}", 'begin with _format_version: "3.0"')
            raise InvalidDocument(self.problems)
        self._check_head(data)
        for name in KINDS:
            self._collect(name, data.get(name), (name,), None)
        for name in KINDS:
            for declared in self.declared[name]:
                self._register(declared)
        services = self._build("services", self._service)
        routes = self._build("routes", self._route)
        consumers = self._build("consumers", self._consumer)
        credentials = self._build("keyauth_credentials", self._credential)
        plugins = self._build("plugins", self._plugin)
        if self.problems:
            raise InvalidDocument(sorted(self.problems, key=lambda problem: problem.line or 0))
        self._warn_of_idle_references(data, ())
        every = (each for name in KINDS for each in self.declared[name])
        written = tuple(DeclaredEntity(each.kind, each.fields, each.entity) for each in every if each.entity)
        return GatewayState(services, routes, consumers, credentials, plugins, tuple(self.warnings), written)

    # ----------------------------------------------------------------- what stands in the file

    def _refuse(self, at: Pointer, message: str, hint: str | None, words: str | None = None, above: int = 0) -> None:
        """Note a problem; ``words`` is what Kong says to it where no schema tells, ``above`` how much further up."""
        plain = Problem(message, at, hint)
        problem = plain if words is None else WordedProblem(message, at, hint, words=words, above=above)
        self.problems.append(self.document.located(problem))

    def _warn(self, at: Pointer, message: str, hint: str | None) -> None:
        self.warnings.append(self.document.located(Problem(message, at, hint)))

    def _check_head(self, data: dict[Any, Any]) -> None:
        version = data.get("_format_version")
        if version is None:
            hint = 'begin with _format_version: "3.0"'
            self._refuse(("_format_version",), "required field is missing", hint, "required field missing")
        elif not isinstance(version, str):
            message = f"expected a string, got {kind(version)}"
            self._refuse(("_format_version",), message, 'put it in quotes: "3.0"', "expected a string")
        elif version not in FORMAT_VERSIONS:
            message = f"expected one of: {', '.join(FORMAT_VERSIONS)}"
            self._refuse(("_format_version",), message, 'write "3.0"', message)
        for name in data:
            if name in KINDS or name in _METADATA or name in ("_format_version", "_info"):
                continue
            at = (str(name),)
            if name in OTHER_KINDS:
                if data[name]:
                    self._refuse(at, f"entities of kind {name!r} are not emulated", "remove them")
                continue
            near = did_you_mean(str(name), (*KINDS, *OTHER_KINDS, *_METADATA, "_format_version", "_info"))
            hint = f"did you mean {near!r}?" if near else f"known are {', '.join(KINDS)}"
            self._refuse(at, f"unknown kind of entity {str(name)!r}", hint)
        info = data.get("_info")
        if isinstance(info, dict):
            if info.get("defaults"):
                self._refuse(("_info", "defaults"), "is not emulated", "write the values into the entities")
            tags = info.get("select_tags")
            if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags):
                self.select_tags = tuple(tags)
            elif tags is not None:
                self._refuse(("_info", "select_tags"), "expected a list of strings", "write e.g. [team-a]")

    def _collect(self, name: str, listed: Any, at: Pointer, parent: _Declared | None) -> None:
        if listed is None:
            return
        if not isinstance(listed, list):
            if parent is None:  # in a parent its schema has said so
                self._refuse(at, f"expected a list, got {kind(listed)}", f"write a list of {name}, each with '- '")
            return
        for index, item in enumerate(listed):
            place = (*at, index)
            if name == "keyauth_credentials" and self.new_key and isinstance(item, dict) and item.get("key") is None:
                item = {**item, "key": self.new_key()}
            found = check_form(name, item, self.gateway)
            self.problems += [self.document.located(problem, place) for problem in found]
            if not isinstance(item, dict):
                continue
            declared = _Declared(name, given_fields(name, item), place, parent, sound=not found)
            self.declared[name].append(declared)
            for nested in NESTED.get(name, ()):
                self._collect(nested, item.get(nested), (*place, nested), declared)

    def _register(self, declared: _Declared) -> None:
        """Make an entity known under its names; refuse a name that another one of its kind has."""
        names = {
            "services": ("id", "name"),
            "routes": ("id", "name"),
            "consumers": ("id", "username", "custom_id"),
            "keyauth_credentials": ("id", "key"),
            "plugins": ("id", "instance_name"),
        }[declared.kind]
        for name in names:
            value = declared.fields.get(name)
            if not isinstance(value, str):
                continue
            space = declared.kind if name not in ("custom_id", "key") else f"{declared.kind}.{name}"
            value = value.lower() if name == "id" else value
            first = self.by_name.setdefault((space, value), declared)
            if first is not declared:
                message = f"{name} is already used by {self._place(first)}"
                words = None if name == "key" else _not_unique(declared.kind, name, value)  # a key is a secret
                self._refuse((*declared.at, name), message, "give each its own", words, above=1)
        if declared.kind != "plugins" and "id" not in declared.fields:
            self.by_name.setdefault((declared.kind, self._id(declared)), declared)

    # ----------------------------------------------------------------- what it becomes

    def _build(self, name: str, build: Callable[[_Declared], _E]) -> tuple[_E, ...]:
        """Build the sound entities of one kind. Those that refer to something unsound stay unbuilt."""
        built: list[_E] = []
        for declared in self.declared[name]:
            if not declared.sound:
                continue
            try:
                entity = build(declared)
            except _Unbuildable:
                continue
            declared.entity = entity
            built.append(entity)
        return tuple(built)

    def _id(self, declared: _Declared) -> str:
        given = declared.fields.get("id")
        if isinstance(given, str):
            return given.lower()
        name = declared.fields.get("username" if declared.kind == "consumers" else "name")
        if isinstance(name, str) and declared.kind in ("services", "routes", "consumers"):
            return entity_id(declared.kind, name)
        return entity_id(declared.kind, f"unnamed:{pointer_text(declared.at)}")

    def _place(self, declared: _Declared) -> str:
        line = self.document.line(declared.at)
        return pointer_text(declared.at) + (f" on line {line}" if line else "")

    def _tags(self, declared: _Declared) -> tuple[str, ...]:
        return (*declared.fields.get("tags", ()), *self.select_tags)

    def _service(self, declared: _Declared) -> Service:
        parts = urlsplit(declared.fields.get("url", ""))
        if parts.query or parts.fragment:
            self._warn((*declared.at, "url"), "query and fragment of the URL are not used", "remove them")
        return service_of(declared.fields, self._id(declared), self._tags(declared))

    def _route(self, declared: _Declared) -> Route:
        if declared.fields.get("path_handling") == "v1":
            at = (*declared.at, "path_handling")
            self._warn(at, "v1 has no effect in the router's default flavour", "write v0")
        service = self._referred(declared, "service", "services", Service)
        return route_of(declared.fields, self._id(declared), self._tags(declared), service)

    def _consumer(self, declared: _Declared) -> Consumer:
        fields = declared.fields
        return Consumer(self._id(declared), fields.get("username"), fields.get("custom_id"), self._tags(declared))

    def _credential(self, declared: _Declared) -> KeyAuthCredential:
        consumer = self._referred(declared, "consumer", "consumers", Consumer)
        if consumer is None:
            at = (*declared.at, "consumer")
            hint = "name the consumer whose key this is"
            self._refuse(at, "required field is missing", hint, "required field missing")
            raise _Unbuildable
        return KeyAuthCredential(self._id(declared), declared.fields["key"], consumer, self._tags(declared))

    def _plugin(self, declared: _Declared) -> PluginInstance:
        fields = declared.fields
        name = fields["name"]
        service = self._referred(declared, "service", "services", Service)
        route = self._referred(declared, "route", "routes", Route)
        consumer = self._referred(declared, "consumer", "consumers", Consumer)
        if name in GATEWAY_PLUGINS and consumer is not None:
            self._refuse(declared.at, f"{name} cannot be limited to a consumer", "put it on a service or route")
            raise _Unbuildable
        scope = (name, *(part.id if part is not None else "" for part in (route, service, consumer)))
        first = self.scopes.setdefault(scope, declared)
        if first is not declared:
            message = f"plugin {name!r} is already on the same scope at {self._place(first)}"
            words = _not_unique("plugins", "primary key", entity_id("plugins", ":".join(scope)))
            self._refuse(declared.at, message, "keep one of them", words)
            raise _Unbuildable
        config = self._gateway_plugin(declared) if name in GATEWAY_PLUGINS else self._metering(declared)
        given = fields.get("id")
        return PluginInstance(
            id=given.lower() if given else entity_id("plugins", ":".join(scope)),
            name=name,
            config=config,
            enabled=fields.get("enabled", True),
            instance_name=fields.get("instance_name"),
            protocols=tuple(fields.get("protocols", DEFAULT_PROTOCOLS)),
            service=service,
            route=route,
            consumer=consumer,
            condition=compile_condition(fields["condition"], self.gateway) if "condition" in fields else None,
            tags=self._tags(declared),
        )

    def _gateway_plugin(self, declared: _Declared) -> Any:
        config = GATEWAY_PLUGINS[declared.fields["name"]].load(declared.fields.get("config"))
        anonymous = config.anonymous if isinstance(config, KeyAuthConfig) else None
        if anonymous is not None and self._known("consumers", anonymous) is None:
            at = (*declared.at, "config", "anonymous")
            self._warn(at, "no such consumer: requests without a valid key are answered with 500", "declare it")
        return config

    def _metering(self, declared: _Declared) -> Any:
        fields = declared.fields
        try:
            config, warnings = load_metering(fields["name"], fields["config"], self.gateway, self.environ)
        except InvalidDocument as error:
            self.problems += [self.document.located(problem, declared.at) for problem in error.problems]
            raise _Unbuildable from None
        self.warnings += [self.document.located(warning, declared.at) for warning in warnings]
        return config

    # ----------------------------------------------------------------- references to other entities

    def _known(self, name: str, key: str) -> _Declared | None:
        return self.by_name.get((name, key)) or self.by_name.get(
            (name, key.lower()) if _is_uuid(key) else (name, key)
        )

    def _referred(self, declared: _Declared, field_name: str, name: str, wanted: type[_E]) -> _E | None:
        """Return the entity ``declared`` stands in or refers to; None when it does neither.

        Raises _Unbuildable when there is no such entity, which is then a problem, or it is itself not sound.
        """
        reference = declared.fields.get(field_name)
        at = (*declared.at, field_name)
        if declared.parent is not None and declared.parent.kind == name:
            if reference is not None:
                self._refuse(at, f"is given by the {KINDS[name]} it stands in", f"remove {field_name!r}")
            found = declared.parent
        elif reference is None:
            return None
        else:
            keys = [reference] if isinstance(reference, str) else [str(value) for value in reference.values()]
            candidates = [self._known(name, key) for key in keys]
            target = candidates[0]
            if target is None or any(candidate is not target for candidate in candidates):
                known = [key for space, key in self.by_name if space == name and not _is_uuid(key)]
                near = did_you_mean(keys[0], known) if len(keys) == 1 else None
                hint = f"did you mean {near!r}?" if near else f"declare it, or name one of this file's {name}"
                self._refuse(at, f"there is no {KINDS[name]} {' and '.join(map(repr, keys))}", hint)
                raise _Unbuildable
            found = target
        if not isinstance(found.entity, wanted):
            raise _Unbuildable
        return found.entity

    def _warn_of_idle_references(self, value: Any, at: Pointer) -> None:
        """Warn of vault references that stay what they are, text, since they stand where none is looked up."""
        if isinstance(value, dict):
            for name, part in value.items():
                self._warn_of_idle_references(part, (*at, str(name)))
        elif isinstance(value, list):
            for index, part in enumerate(value):
                self._warn_of_idle_references(part, (*at, index))
        elif isinstance(value, str) and "vault://" in value:
            if at[-2:] not in {("config", name) for name in REFERENCEABLE}:
                self._warn(at, "a vault reference is not looked up in this field", "it is taken literally")
            elif not is_vault_reference(value):
                self._warn(at, "is no vault reference: it is taken literally", "write {vault://env/NAME} and no more")


def _not_unique(kind_of_entity: str, key: str, value: str) -> str:
    """Return Kong's words for a second entity with the same value."""
    return f"uniqueness violation: '{kind_of_entity}' entity with {key} set to '{value}' already declared"


def _is_uuid(text: str) -> bool:
    return len(text) == 36 and text.count("-") == 4
