"""What an output format is: it writes plugin entities as files of one tool, and names what it cannot express."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from plugin_emulator.documents import Pointer, pointer_text

from ..entity import PluginEntity


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file of a rendered configuration; ``name`` has no folder, ``text`` ends with a line break."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """Choices that are not the plugin's but the deployment's.

    ``literal_secrets``: a secret given as a literal may be written as one; without it the format refuses.
    ``as_documented``: reproduce the vendor's own pages to the letter, also where they are less safe than what is
    written otherwise (a token in a process's arguments, or straight in a KongPlugin).
    ``region`` and ``control_plane`` (an id) are Konnect's; None leaves them to be filled in.
    ``secret_form``: how a KongPlugin takes its secret: ``patches`` (configPatches) or ``from`` (configFrom).
    ``route_kind``: the Kubernetes kind that stands for a Route, ``httproute`` or ``ingress``; None writes both.
    ``extension_ref``: attach to an HTTPRoute by an ExtensionRef filter in place of an annotation.
    """

    gateway: str
    literal_secrets: bool = False
    as_documented: bool = False
    admin_url: str = "http://localhost:8001"
    region: str | None = None
    control_plane: str | None = None
    namespace: str = "kong"
    ingress_class: str = "kong"
    secret_form: str = "patches"  # noqa: S105  # not a secret
    route_kind: str | None = None
    extension_ref: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """Something a format has no way to say. ``field`` is the entity's field, e.g. ``condition`` or ``scope``."""

    field: str
    reason: str


class CannotExpress(Exception):
    """A format cannot say what an entity holds. Nothing was written."""

    def __init__(self, format_name: str, field: str | Pointer, reason: str, advice: str) -> None:
        place = field if isinstance(field, str) else pointer_text(field)[1:].replace("/", ".")
        self.field = place
        super().__init__(f"{format_name} cannot express {place}: {reason} ({advice})")


class Format(Protocol):
    """One output format."""

    @property
    def name(self) -> str:
        """What the user writes after ``--format``."""

    @property
    def title(self) -> str:
        """What it is, in a few words."""

    @property
    def limits(self) -> Sequence[Limit]:
        """What it cannot express at all."""

    def render(self, entities: Sequence[PluginEntity], options: RenderOptions) -> list[OutputFile]:
        """Return the files, the main one first.

        ``entities`` are sound and of at least one; their names may repeat. Same input, same bytes (GEN-4). Raises
        CannotExpress for what the format has no words for.
        """


@dataclass(frozen=True, slots=True)
class Names:
    """Hands out names that are unique within one output."""

    _taken: set[str] = field(default_factory=set)

    def unique(self, wanted: str, separator: str = "-") -> str:
        """Return ``wanted``, with ``separator`` and a number behind it when it was handed out before."""
        name, number = wanted, 2
        while name in self._taken:
            name = f"{wanted}{separator}{number}"
            number += 1
        self._taken.add(name)
        return name
