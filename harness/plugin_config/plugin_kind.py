"""The metering plugins the generator knows: what is particular to each, apart from its lint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from plugin_emulator.documents import Pointer, Problem


@dataclass(frozen=True, slots=True)
class PluginKind:
    """One metering plugin.

    ``names`` are the names it goes by in a configuration, the usual one first. ``secrets`` are the places in
    ``config`` that hold one; ``referenceable`` those in which the gateway looks up vault references.
    ``typed_resource`` is the ending of the resource the Konnect provider has for it (``metering_and_billing`` for
    ``konnect_gateway_plugin_metering_and_billing``); None when it is a custom plugin there.
    ``validate`` takes the entity's data, with its ``config``, and a gateway version, and returns what that
    gateway would refuse, with pointers relative to the entity.
    """

    names: tuple[str, ...]
    secrets: tuple[Pointer, ...]
    referenceable: frozenset[Pointer]
    typed_resource: str | None
    validate: Callable[[Any, str], list[Problem]]

    @property
    def name(self) -> str:
        """The usual name."""
        return self.names[0]
