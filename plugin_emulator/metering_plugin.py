"""What a gateway asks of a metering plugin.

A plugin is a folder of this package whose module ``plugin.py`` fulfils :class:`MeteringPlugin`, and one line in
``metering_plugins.py``. What it is made of is its own business; ``queue/``, ``delivery/`` and ``runtime/`` have
pieces for it. Its modules ``instance.py`` and ``client.py`` are those that may do I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from plugin_emulator.documents import Problem
from plugin_emulator.exchange import AccessRequest, Exchange
from plugin_emulator.journal import Observer
from plugin_emulator.schema_check import Schema

#: ``access``: before the upstream is asked; ``log``: after the answer is written.
Phase = Literal["access", "log"]


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a request was not metered: the SPEC rule and the reason in words (DRP-4)."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Configured:
    """An instance as configured: the name of its ``plugin``, and what that plugin made of its ``config``."""

    plugin: str
    config: Any


class RunningInstance(Protocol):
    """One instance of a plugin at work in a gateway process, on its event loop."""

    def configure(self, config: Any) -> None:
        """Work with ``config`` from now on; what is queued is still delivered (SPEC LIF-3)."""

    def access(self, request: AccessRequest, go_on: Callable[[], None]) -> int | Drop | None:
        """Meter a request in the access phase; return how many events it makes, or why there is none.

        None holds the request up: it stays where it is until ``go_on`` is called, once, later; it makes one event.
        Called only when the plugin has an access phase.
        """

    def log(self, exchange: Exchange) -> int | Drop:
        """Meter a finished request; return how many events it makes, or why there is none. Never blocks.

        Called only when the plugin has a log phase.
        """

    def statistics(self) -> dict[str, Any]:
        """Return the figures of delivery: delivered, posts, failed_posts, delivery_seconds (how long the POSTs took
        that did not fail), lost (by reason), waiting, busy."""

    async def idle(self) -> None:
        """Return when every event was delivered or lost."""

    async def drain(self) -> None:
        """Return when every event was delivered or given up, as on a graceful stop."""

    def abandon(self) -> int:
        """Lose everything at once, as on a fast stop; return how many events that were."""

    async def close(self) -> None:
        """Let go of connections and tasks; called after ``drain`` or ``abandon``."""


#: Makes a running instance of its id and its configuration.
InstanceMaker = Callable[[str, Any], RunningInstance]


@dataclass(frozen=True, slots=True)
class PluginProcess:
    """The process a plugin runs in: version of the gateway, such as ``3.16``, and the operator's log.

    No secret may be in a line that ``log`` is given. ``observe``, where there is one, is to be told how each request
    is metered and what becomes of its events.
    """

    gateway: str
    log: Callable[[str], None]
    observe: Observer | None = None


class MeteringPlugin(Protocol):
    """One kind of metering plugin.

    ``names`` are those it can be configured under, its own first; of several names each is a plugin by itself, as in
    Kong. ``priority`` is Kong's: the higher one runs first. ``options`` has settings of the emulation that are no
    part of the plugin's configuration: a struct whose members all have defaults.
    """

    names: tuple[str, ...]
    priority: int
    phases: tuple[Phase, ...]
    options: type[msgspec.Struct]
    #: what ``trace`` takes, in the form of its JSON
    schedule: type[msgspec.Struct]

    def config_schema(self, gateway: str) -> Schema:
        """Return the schema of ``config`` in a gateway version. Raises ValueError for an unknown one."""

    def validate(self, entity: Any, gateway: str) -> list[Problem]:
        """Return what is wrong in a plugin entity, ``config`` included; pointers are relative to the entity."""

    def load(self, config: Any, gateway: str) -> Any:
        """Return the typed form of ``config``: an immutable, hashable dataclass. Raises InvalidDocument."""

    def trace(self, schedule: Any) -> msgspec.Struct:
        """Return what happens in virtual time when a schedule comes true: arrivals and the ingest's answers."""

    def start(self, process: PluginProcess, options: Any) -> InstanceMaker:
        """Begin to work in a gateway process, with ``options``; called inside its event loop, once for each name."""
