"""Which instance of a plugin runs for a request (SPEC FLT-2, FLT-3, FLT-7).

Of all enabled instances of one plugin whose scope fits, the most specific one runs, once. A Consumer weighs more
than a Route or a Service alone, and less than both together.
"""

from __future__ import annotations

from collections.abc import Iterable

from plugin_emulator.gateway.entities import PluginInstance

_Scope = tuple[str | None, str | None, str | None]


class PluginPrecedence:
    """Answers for one plugin name which of its instances runs."""

    __slots__ = ("_by_scope", "consumers")

    def __init__(self, instances: Iterable[PluginInstance], name: str) -> None:
        self._by_scope: dict[_Scope, PluginInstance] = {}
        for instance in instances:
            if instance.name == name and instance.enabled:
                scope = (_id(instance.route), _id(instance.service), _id(instance.consumer))
                self._by_scope.setdefault(scope, instance)
        #: ids of the Consumers that some instance is scoped to
        self.consumers = frozenset(consumer for _, _, consumer in self._by_scope if consumer is not None)

    def select(
        self, route: str | None = None, service: str | None = None, consumer: str | None = None
    ) -> PluginInstance | None:
        """Return the instance that runs for a request with these entities (their ids), or None.

        Without a matched Route all three are None, so only a global instance is found; a rejected request has no
        Consumer.
        """
        for scope in (
            (route, service, consumer),
            (route, None, consumer),
            (None, service, consumer),
            (route, service, None),
            (None, None, consumer),
            (route, None, None),
            (None, service, None),
        ):
            instance = self._by_scope.get(scope)
            if instance is not None:
                return instance
        return self._by_scope.get((None, None, None))


def _id(entity: object) -> str | None:
    return getattr(entity, "id", None)
