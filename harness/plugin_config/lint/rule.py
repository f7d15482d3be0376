"""A lint rule, and the plugin as a rule sees it: values that are unknown, absent or of a wrong type do no harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from plugin_emulator.documents import Pointer

from ..config_file import FoundPlugin
from ..entity import MixedText, Reference, Value
from ..plugin_kind import PluginKind
from .finding import Severity
from .scopes import Scope
from .surroundings import PlacedPlugin, Surroundings

#: Beyond this a number is no setting but a slip; left to validation, which knows the limits.
_LARGEST = 1e15


@dataclass(frozen=True, slots=True)
class LintContext:
    """What is known beside the files.

    ``gateway`` is a version such as "3.16". ``rps`` is how many events one worker makes a second, None when not
    known; ``rtt`` how long one POST to the ingest endpoint takes, in seconds. ``together``: the files make up one
    gateway's configuration; otherwise each does by itself.
    """

    gateway: str
    rps: float | None = None
    rtt: float = 0.05
    together: bool = False


@dataclass(frozen=True, slots=True)
class Remark:
    """What a rule says about a plugin: Finding without what the linter fills in.

    ``at`` is relative to the entity. ``severity`` None is the rule's. ``plugin`` is where it stands when that is not
    the plugin under the lens.
    """

    message: str
    fix: str
    at: Pointer
    severity: Severity | None = None
    plugin: FoundPlugin | None = None


@dataclass(frozen=True, slots=True)
class LintedPlugin:
    """A metering plugin under the lens: where it stands, and what stands around it."""

    placed: PlacedPlugin
    kind: PluginKind
    surroundings: Surroundings
    context: LintContext

    @property
    def plugin(self) -> FoundPlugin:
        """The plugin as it was found."""
        return self.placed.plugin

    @property
    def scope(self) -> Scope:
        """What it is limited to."""
        return self.placed.scope

    @property
    def runs(self) -> bool:
        """Whether it runs for any request at all."""
        return self.placed.runs

    @property
    def config(self) -> dict[str, Value] | None:
        """The plugin's ``config``; None when it is unknown or not an object."""
        config = self.plugin.data.get("config")
        return config if isinstance(config, dict) else None

    def value(self, *path: str | int) -> Value:
        """Return the value at ``path`` in ``config``. None: absent. Raises Unknown for one that is not known here."""
        return value_in(self.plugin, "config", *path)

    def text(self, *path: str | int) -> str | None:
        """Return the text at ``path`` in ``config``; None when it is absent, unknown or no text."""
        try:
            return _known_text(self.value(*path))
        except Unknown:
            return None

    def text_or(self, default: str, *path: str | int) -> str | None:
        """Return the text at ``path`` in ``config``, ``default`` when it is absent; None when it is not known."""
        try:
            value = self.value(*path)
        except Unknown:
            return None
        return default if value is None else _known_text(value)

    def number(self, default: float | None, *path: str | int) -> float | None:
        """Return the number at ``path`` in ``config``, ``default`` when it is absent; None when it is not known."""
        try:
            value = self.value(*path)
        except Unknown:
            return None
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        return value if -_LARGEST < value < _LARGEST else None  # neither nan nor inf is

    def flag(self, default: bool, *path: str | int) -> bool | None:
        """Return the boolean at ``path`` in ``config``, ``default`` when it is absent; None when it is not known."""
        try:
            value = self.value(*path)
        except Unknown:
            return None
        if value is None:
            return default
        return value if isinstance(value, bool) else None

    def items(self, *path: str | int) -> Iterator[int]:
        """Yield the indices of the objects in the list at ``path`` in ``config``."""
        try:
            value = self.value(*path)
        except Unknown:
            return
        for index, item in enumerate(value if isinstance(value, list) else ()):
            if isinstance(item, dict):
                yield index

    def texts(self) -> Iterator[tuple[Pointer, str]]:
        """Yield each text inside ``config``, vault references included, with its place in ``config``."""
        if self.config is not None:
            yield from _texts(self.config, ())


class Unknown(Exception):
    """A value is filled in later, by the tool or the gateway, or is of a type that validation refuses."""


def value_in(plugin: FoundPlugin, *path: str | int) -> Value:
    """Return the value at ``path`` in the plugin's entity; None when it is absent, or null.

    Raises Unknown when it, or something around it, is not known or of a wrong type.
    """
    value: Value = plugin.data
    for part in path:
        if value is None:
            return None
        if isinstance(value, dict) and isinstance(part, str):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int):
            value = value[part] if 0 <= part < len(value) else None
        else:
            raise Unknown
    if isinstance(value, (Reference, MixedText)):
        raise Unknown
    return value


def is_vault_text(text: str) -> bool:
    """Return whether ``text`` has to do with a vault, be it a sound reference or a broken one."""
    return "vault://" in text


def _known_text(value: Value) -> str | None:
    return value if isinstance(value, str) and not is_vault_text(value) else None


def _texts(value: Value, at: Pointer) -> Iterator[tuple[Pointer, str]]:
    """Go through ``value`` without recursion: a document may be nested as deep as its parser allows."""
    waiting: list[tuple[Pointer, Value]] = [(at, value)]
    while waiting:
        place, part = waiting.pop()
        if isinstance(part, str):
            yield place, part
        elif isinstance(part, dict):
            waiting += [((*place, name), inner) for name, inner in reversed(part.items())]
        elif isinstance(part, list):
            waiting += [((*place, index), inner) for index, inner in reversed(list(enumerate(part)))]


Check: TypeAlias = Callable[[LintedPlugin], Iterator[Remark]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One lint rule.

    ``id`` is in kebab-case and never changes. ``reason`` is one sentence: why it matters. ``basis`` are the rules of
    the plugin and its queue that it rests on. ``opt_in``: checked only when asked for. ``check`` yields what it
    finds, and takes any JSON value anywhere; the first line of its docstring is the title.
    """

    id: str
    severity: Severity
    reason: str
    basis: tuple[str, ...]
    check: Check
    opt_in: bool = False

    @property
    def title(self) -> str:
        """What it looks for, in one line with code in double backticks."""
        return (self.check.__doc__ or self.id).strip().split("\n")[0]


def rule(
    identifier: str, severity: Severity, reason: str, *basis: str, opt_in: bool = False
) -> Callable[[Check], Rule]:
    """Return a decorator that makes a Rule of a check."""
    return lambda check: Rule(identifier, severity, reason, basis, check, opt_in)
