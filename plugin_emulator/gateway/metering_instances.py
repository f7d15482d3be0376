"""Which metering instances run for a request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from plugin_emulator.gateway.entities import PluginInstance
from plugin_emulator.gateway.plugin_precedence import PluginPrecedence
from plugin_emulator.metering_plugins import METERING_PLUGINS


@dataclass(frozen=True, slots=True)
class MeteringInstances:
    """Ids of the instances that run for a request, at most one of each plugin, in the order of their priorities.

    ``access`` and ``log`` are those of ``every`` that have something to do in that phase.
    """

    every: tuple[str, ...] = ()
    access: tuple[str, ...] = ()
    log: tuple[str, ...] = ()


class MeteringSelection:
    """Answers for all metering plugins which of their instances run."""

    __slots__ = ("_plugins", "consumers")

    def __init__(self, instances: Iterable[PluginInstance]) -> None:
        instances = tuple(instances)
        self._plugins = [
            (PluginPrecedence(instances, name), plugin.phases) for plugin in METERING_PLUGINS for name in plugin.names
        ]
        #: ids of the Consumers that some instance is scoped to
        self.consumers = frozenset(consumer for precedence, _ in self._plugins for consumer in precedence.consumers)

    def select(
        self, route: str | None = None, service: str | None = None, consumer: str | None = None
    ) -> MeteringInstances:
        """Return the instances that run for a request with these entities (their ids)."""
        every, access, log = [], [], []
        for precedence, phases in self._plugins:
            instance = precedence.select(route, service, consumer)
            if instance is not None:
                every.append(instance.id)
                if "access" in phases:
                    access.append(instance.id)
                if "log" in phases:
                    log.append(instance.id)
        return MeteringInstances(tuple(every), tuple(access), tuple(log))
