"""The metering plugins the generator knows: what is particular to each, apart from its lint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from plugin_emulator.documents import Pointer, Problem

from .entity import Value
from .intent import Intent


@dataclass(frozen=True, slots=True)
class PluginServer:
    """A plugin that runs in a process of its own, started by the gateway.

    ``module`` is what ``go install`` takes, without a version; ``binary`` what it builds.
    """

    module: str
    binary: str


@dataclass(frozen=True, slots=True)
class PluginKind:
    """One metering plugin.

    ``names`` are the names it goes by in a configuration, the usual one first. ``secrets`` are the places in
    ``config`` that hold one; ``referenceable`` those in which the gateway looks up vault references.
    ``typed_resource`` is the ending of the resource the Konnect provider has for it (``metering_and_billing`` for
    ``konnect_gateway_plugin_metering_and_billing``); None when it is a custom plugin there.
    ``server`` says how the gateway comes by the plugin when it is not bundled.
    ``derive_config`` turns an :class:`~.intent.Intent` into ``config``; it raises :class:`~.intent.NotMeant`.
    ``decided_by`` says which places in ``config`` each word of an intent decides.
    ``validate`` takes the entity's data, with its ``config``, and a gateway version, and returns what that
    gateway would refuse, with pointers relative to the entity.
    """

    names: tuple[str, ...]
    secrets: tuple[Pointer, ...]
    referenceable: frozenset[Pointer]
    typed_resource: str | None
    validate: Callable[[Any, str], list[Problem]]
    derive_config: Callable[[Intent], dict[str, Value]]
    decided_by: Mapping[str, tuple[Pointer, ...]]
    server: PluginServer | None = None

    @property
    def name(self) -> str:
        """The usual name."""
        return self.names[0]

    def word_for(self, place: Pointer) -> str | None:
        """Return the word of an intent that decides the value at ``place`` in ``config``; None when none does."""
        for word, places in self.decided_by.items():
            if any(place[: len(decided)] == decided for decided in places):
                return word
        return None
