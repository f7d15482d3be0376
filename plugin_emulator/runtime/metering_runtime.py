"""All metering plugin instances of one gateway process: exchanges in, batches out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ..delivery.http_sender import HttpSender
from ..exchange import Exchange
from ..metering_and_billing.config import NEWEST_GATEWAY, MeteringConfig
from ..metering_and_billing.event_time import id_source
from ..metering_and_billing.pipeline import Drop, Pipeline
from ..metering_and_billing.subject import SubjectForm
from .worker import QueueWorker, Sender


class _Instance:
    """One plugin instance: its pipeline, its queue and its counters."""

    __slots__ = ("config", "dropped", "entries", "events", "put", "requests", "worker")

    def __init__(self, config: MeteringConfig, pipeline: Pipeline, worker: QueueWorker) -> None:
        self.worker = worker
        self.put = worker.put
        self.requests = 0
        self.events = 0
        self.dropped: Counter[str] = Counter()
        self.use(config, pipeline)

    def use(self, config: MeteringConfig, pipeline: Pipeline) -> None:
        self.config = config
        self.entries = pipeline.entries


class MeteringRuntime:
    """Hosts the plugin instances. Make and use it inside a running event loop.

    ``log`` is given lines for an operator; no secret is ever in them.
    """

    def __init__(
        self,
        gateway: str = NEWEST_GATEWAY,
        subject_form: SubjectForm = "username",
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._gateway = gateway
        self._subject_form = subject_form
        self._log = log
        self._new_id = id_source()
        self._instances: dict[str, _Instance] = {}
        self._retired: dict[str, _Instance] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def configure(self, instances: Mapping[str, MeteringConfig]) -> None:
        """Run these plugin instances, by id, from now on.

        Queued events stay: those of a known instance go out with its new endpoint, token and time-outs; those of a
        removed instance are still delivered as it was (LIF-3).
        """
        for instance_id in self._instances.keys() - instances.keys():
            self._retired[instance_id] = self._instances.pop(instance_id)
        for instance_id, config in instances.items():
            instance = self._instances.get(instance_id) or self._retired.pop(instance_id, None)
            pipeline = Pipeline(config, self._gateway, self._subject_form, self._new_id)
            if instance is None:
                worker = QueueWorker(f"queue {instance_id}", config.queue, HttpSender(config), self._log)
                instance = _Instance(config, pipeline, worker)
            elif instance.config != config:
                old = instance.worker.configure(config.queue, HttpSender(config))
                instance.use(config, pipeline)
                self._close_later(old)
            self._instances[instance_id] = instance

    def log(self, instance_id: str, exchange: Exchange) -> None:
        """Meter one finished request in the log phase: never raises, never blocks (DRP-3, DLV-5)."""
        # A request that was under way when its instance was removed is metered all the same.
        instance = self._instances.get(instance_id) or self._retired.get(instance_id)
        if instance is None:
            return
        instance.requests += 1
        try:
            made = instance.entries(exchange)
        except Exception as error:  # a defect of ours must not reach the proxied request
            instance.dropped["error"] += 1
            self._log(f"plugin {instance_id}: could not build an event: {type(error).__name__}: {error}")
            return
        if isinstance(made, Drop):
            instance.dropped[f"{made.rule}: {made.reason}"] += 1
            return
        for entry in made:
            instance.events += 1
            instance.put(entry)

    def keep_out(self, instance_id: str, rule: str, reason: str) -> None:
        """Count a request for which the instance's condition did not hold: no event (FLT-6, DRP-4)."""
        instance = self._instances.get(instance_id) or self._retired.get(instance_id)
        if instance is not None:
            instance.requests += 1
            instance.dropped[f"{rule}: {reason}"] += 1

    def statistics(self) -> dict[str, Any]:
        """Return counters by instance id: requests, events, dropped (by rule and reason), delivered, posts,
        failed_posts, lost (by reason), waiting, busy."""
        return {
            instance_id: {
                "requests": instance.requests,
                "events": instance.events,
                "dropped": dict(instance.dropped),
                "delivered": instance.worker.counts.delivered,
                "posts": instance.worker.counts.posts,
                "failed_posts": instance.worker.counts.failed_posts,
                "lost": dict(instance.worker.counts.lost),
                "waiting": instance.worker.waiting,
                "busy": instance.worker.busy,
            }
            for instance_id, instance in (*self._retired.items(), *self._instances.items())
        }

    async def idle(self) -> None:
        """Return when every event was delivered or lost."""
        await asyncio.gather(*(one.worker.idle() for one in (*self._retired.values(), *self._instances.values())))

    async def stop(self, *, graceful: bool) -> int:
        """Stop; return how many queued events were lost by it.

        Graceful delivers what is queued, retries included; otherwise all of it is lost (LIF-2).
        """
        everything = [*self._retired.values(), *self._instances.values()]
        lost = 0
        if graceful:
            await asyncio.gather(*(instance.worker.drain() for instance in everything))
        else:
            lost = sum(instance.worker.abandon() for instance in everything)
        await asyncio.gather(*(instance.worker.close() for instance in everything), *self._closing)
        self._instances.clear()
        self._retired.clear()
        return lost

    def _close_later(self, sender: Sender) -> None:
        """Close a replaced sender once the try it may be in the middle of is over."""
        task = asyncio.get_running_loop().create_task(_close_when_unused(sender))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _close_when_unused(sender: Sender) -> None:
    await sender.unused()
    await sender.close()
