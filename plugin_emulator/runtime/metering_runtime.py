"""All metering plugin instances of one gateway process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from time import time
from typing import Any

from .. import log_line
from ..exchange import AccessRequest, Exchange
from ..journal import NotBuilt, Observer
from ..metering_plugin import Configured, Drop, InstanceMaker, Phase, RunningInstance

#: What makes the instances of a plugin, and the phases it has.
Maker = tuple[InstanceMaker, tuple[Phase, ...]]


class _Instance:
    """A running instance with the counters that every plugin has."""

    __slots__ = ("counts_in_log", "dropped", "events", "log", "plugin", "requests", "running")

    def __init__(self, plugin: str, running: RunningInstance, phases: tuple[Phase, ...]) -> None:
        self.plugin = plugin
        self.running = running
        self.log = running.log
        #: A request is counted once: in the first phase that the plugin has.
        self.counts_in_log = "access" not in phases
        self.requests = 0
        self.events = 0
        self.dropped: Counter[str] = Counter()


class MeteringRuntime:
    """Hosts the plugin instances. Make and use it inside a running event loop.

    ``makers`` has for each plugin, by its name, what makes its instances and the phases it has. ``log`` is given
    lines for an operator; no secret is ever in them. ``observe`` is told of requests that an instance fails at.
    """

    def __init__(
        self,
        makers: Mapping[str, Maker],
        log: Callable[[str], None] = lambda line: None,
        observe: Observer | None = None,
    ) -> None:
        self._makers = makers
        self._log = log
        self._observe = observe
        self._instances: dict[str, _Instance] = {}
        self._retired: dict[str, _Instance] = {}

    def configure(self, instances: Mapping[str, Configured]) -> None:
        """Run these plugin instances, by id, from now on.

        Queued events stay: those of a known instance go out as its new configuration says; those of a removed
        instance are still delivered as it was (LIF-3). An id keeps its plugin for good.
        """
        for instance_id in self._instances.keys() - instances.keys():
            self._retired[instance_id] = self._instances.pop(instance_id)
        for instance_id, configured in instances.items():
            instance = self._instances.get(instance_id) or self._retired.pop(instance_id, None)
            if instance is None:
                maker, phases = self._makers[configured.plugin]
                instance = _Instance(configured.plugin, maker(instance_id, configured.config), phases)
            else:
                instance.running.configure(configured.config)
            self._instances[instance_id] = instance

    def access(self, instance_id: str, request: AccessRequest, go_on: Callable[[], None]) -> bool:
        """Meter one request in the access phase; return whether it may go on now. Otherwise ``go_on`` is called."""
        instance = self._instances.get(instance_id) or self._retired.get(instance_id)
        if instance is None:
            return True
        instance.requests += 1
        try:
            made = instance.running.access(request, go_on)
        except Exception as error:  # a defect of ours must not reach the proxied request
            self._not_built(instance_id, instance, request.request_id, error)
            return True
        if isinstance(made, Drop):
            instance.dropped[f"{made.rule}: {made.reason}"] += 1
            return True
        instance.events += 1 if made is None else made
        return made is not None

    def log(self, instance_id: str, exchange: Exchange) -> None:
        """Meter one finished request in the log phase: never raises, never blocks (DRP-3, DLV-5)."""
        # A request that was under way when its instance was removed is metered all the same.
        instance = self._instances.get(instance_id) or self._retired.get(instance_id)
        if instance is None:
            return
        if instance.counts_in_log:
            instance.requests += 1
        try:
            made = instance.log(exchange)
        except Exception as error:  # a defect of ours must not reach the proxied request
            self._not_built(instance_id, instance, exchange.request_id, error)
            return
        if isinstance(made, Drop):
            instance.dropped[f"{made.rule}: {made.reason}"] += 1
            return
        instance.events += made

    def keep_out(self, instance_id: str, rule: str, reason: str) -> None:
        """Count a request for which the instance's condition did not hold: no event (FLT-6, DRP-4)."""
        instance = self._instances.get(instance_id) or self._retired.get(instance_id)
        if instance is not None:
            instance.requests += 1
            instance.dropped[f"{rule}: {reason}"] += 1

    def statistics(self) -> dict[str, Any]:
        """Return counters by instance id: requests, events, dropped (by rule and reason), delivered, posts,
        failed_posts, delivery_seconds (of the others), lost (by reason), waiting, busy."""
        return {
            instance_id: {
                "requests": instance.requests,
                "events": instance.events,
                "dropped": dict(instance.dropped),
                **instance.running.statistics(),
            }
            for instance_id, instance in (*self._retired.items(), *self._instances.items())
        }

    async def idle(self) -> None:
        """Return when every event was delivered or lost."""
        await asyncio.gather(*(one.running.idle() for one in (*self._retired.values(), *self._instances.values())))

    async def stop(self, *, graceful: bool) -> int:
        """Stop; return how many queued events were lost by it.

        Graceful delivers what is queued, retries included; otherwise all of it is lost (LIF-2).
        """
        everything = [*self._retired.values(), *self._instances.values()]
        lost = 0
        if graceful:
            await asyncio.gather(*(instance.running.drain() for instance in everything))
        else:
            lost = sum(instance.running.abandon() for instance in everything)
        await asyncio.gather(*(instance.running.close() for instance in everything))
        self._instances.clear()
        self._retired.clear()
        return lost

    def _not_built(self, instance_id: str, instance: _Instance, request: str | None, error: Exception) -> None:
        instance.dropped["error"] += 1
        problem = f"{type(error).__name__}: {error}"
        self._log(log_line.error(f"plugin {instance_id}: could not build an event: {problem}"))
        if self._observe is not None:
            self._observe(NotBuilt(time(), request or "", instance_id, type(error).__name__))
