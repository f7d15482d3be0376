"""A plugin entity as the generator holds it, whatever file it came from or goes to.

``config`` is plain JSON data (dict, list, str, int, float, bool, None), except that a :class:`Reference` may stand
wherever a value may: something that is known only where the configuration is applied. A vault reference
(``{vault://…}``) is no Reference but a string, since the gateway itself looks it up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from plugin_emulator.documents import Pointer

#: What a plugin can be limited to (SPEC CFG-9), in the order in which combinations are written.
SCOPE_KINDS = ("service", "route", "consumer")
DEFAULT_PROTOCOLS = ("grpc", "grpcs", "http", "https")

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Reference:
    """A value that is filled in where the configuration is applied: an environment variable, a Terraform variable.

    ``name`` is the variable's name in upper snake case without any tool's prefix: ``AUTH_TOKEN`` is
    ``DECK_AUTH_TOKEN`` to decK, ``$AUTH_TOKEN`` to a shell and ``var.auth_token`` to Terraform.
    """

    name: str
    secret: bool = True

    def __post_init__(self) -> None:
        if not _VARIABLE.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not the name of a variable: use A-Z, 0-9 and _")


@dataclass(frozen=True, slots=True)
class MixedText:
    """Text with references inside, such as ``https://${{ env "DECK_HOST" }}/v3``, as it was written.

    Only readers make it: what it will be is not known, and no other format is sure to put it together alike.
    """

    text: str


Value: TypeAlias = "bool | int | float | str | Reference | MixedText | list[Value] | dict[str, Value] | None"


@dataclass(frozen=True, slots=True)
class PluginEntity:
    """One instance of a metering plugin (SPEC CFG-9, CFG-10), sound and ready to be written in any format.

    ``scope`` maps a kind of SCOPE_KINDS to the entity's name or id; None stands for one the reader has yet to fill
    in (written as the placeholder of the format's own documentation). An empty scope is global. ``config`` is as
    given, no defaults added.
    """

    name: str
    config: dict[str, Value]
    scope: Mapping[str, str | None] = field(default_factory=dict)
    enabled: bool = True
    instance_name: str | None = None
    tags: tuple[str, ...] = ()
    protocols: tuple[str, ...] = DEFAULT_PROTOCOLS
    condition: str | None = None
    ordering: dict[str, Any] | None = None
    id: str | None = None

    @property
    def scope_text(self) -> str:
        """The scope in words: ``global``, or ``service=orders, consumer=alice``."""
        return ", ".join(f"{kind}={name or '?'}" for kind, name in self.scope.items()) or "global"


def references(value: Value, at: Pointer = ()) -> Iterator[tuple[Pointer, Reference]]:
    """Yield every Reference inside ``value`` with its place, in document order."""
    if isinstance(value, Reference):
        yield at, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from references(part, (*at, name))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from references(part, (*at, index))


def value_at(value: Value, pointer: Pointer) -> Value:
    """Return the value at ``pointer`` inside ``value``; None when there is none."""
    for part in pointer:
        if isinstance(value, dict) and isinstance(part, str):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def is_uuid(text: str) -> bool:
    """Return whether ``text`` is an entity's id rather than its name."""
    return re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) is not None
