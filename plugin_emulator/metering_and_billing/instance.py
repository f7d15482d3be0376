"""A metering-and-billing instance at work: exchanges in, batches out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from plugin_emulator.delivery.event_journal import EventJournal
from plugin_emulator.delivery.http_sender import HttpSender, Posting
from plugin_emulator.exchange import AccessRequest, Exchange
from plugin_emulator.journal import Observer
from plugin_emulator.metering_plugin import Drop
from plugin_emulator.runtime.worker import QueueWorker, Sender

from .config import MeteringConfig
from .pipeline import Pipeline, event_identity

ONE_EVENT = "application/cloudevents+json"
MANY_EVENTS = "application/cloudevents-batch+json"


def posting(config: MeteringConfig) -> Posting:
    """Return how the batches of a configuration are posted (SPEC DLV-1, RET-6, BAT-10)."""
    return Posting(
        url=config.ingest_endpoint,
        credential=f"Authorization: Bearer {config.api_token}",
        content_type=MANY_EVENTS,
        content_type_of_one=ONE_EVENT if config.queue.max_batch_size == 1 else None,
        timeout=config.timeout / 1000,
        keepalive=config.keepalive / 1000,
        verify=config.ssl_verify,
    )


class MeteringInstance:
    """One instance with its pipeline and its queue. Make and use it inside a running event loop."""

    __slots__ = ("_closing", "_config", "_entries", "_journal", "_pipeline", "_put", "_readings", "_worker")

    def __init__(
        self,
        instance_id: str,
        config: MeteringConfig,
        pipeline: Callable[[MeteringConfig], Pipeline],
        log: Callable[[str], None],
        observe: Observer | None = None,
    ) -> None:
        self._journal = None if observe is None else EventJournal(instance_id, observe, event_identity)
        worker = QueueWorker(f"queue {instance_id}", config.queue, HttpSender(posting(config)), log, self._journal)
        self._worker = worker
        self._put = worker.put
        self._pipeline = pipeline
        self._use(config)
        self._closing: set[asyncio.Task[None]] = set()

    def configure(self, config: MeteringConfig) -> None:
        """Use ``config`` from now on: for what is queued too, but for the queue's own parameters (SPEC LIF-3)."""
        if config == self._config:
            return
        replaced = self._worker.configure(config.queue, HttpSender(posting(config)))
        self._use(config)
        task = asyncio.get_running_loop().create_task(_close_when_unused(replaced))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def access(self, request: AccessRequest, go_on: Callable[[], None]) -> int:
        """There is nothing to do before a request is answered."""
        return 0

    def log(self, exchange: Exchange) -> int | Drop:
        """Queue the events of a finished request."""
        made = self._entries(exchange)
        if self._journal is not None:
            self._journal.metered(exchange.request_id, self._readings(exchange), made)
        if isinstance(made, Drop):
            return made
        for entry in made:
            self._put(entry)
        return len(made)

    def statistics(self) -> dict[str, Any]:
        """Return the figures of delivery."""
        worker = self._worker
        return worker.counts.statistics(worker.waiting, worker.busy)

    async def idle(self) -> None:
        """Return when every event was delivered or lost."""
        await self._worker.idle()

    async def drain(self) -> None:
        """Return when every event was delivered or given up, windows cut short (SPEC LIF-2)."""
        await self._worker.drain()

    def abandon(self) -> int:
        """Lose everything at once (SPEC LIF-2); return how many events that were."""
        return self._worker.abandon()

    async def close(self) -> None:
        """Let go of all connections."""
        await asyncio.gather(self._worker.close(), *self._closing)

    def _use(self, config: MeteringConfig) -> None:
        pipeline = self._pipeline(config)
        self._config = config
        self._entries = pipeline.entries
        self._readings = pipeline.readings


async def _close_when_unused(sender: Sender) -> None:
    """Close a replaced sender once the try it may be in the middle of is over."""
    await sender.unused()
    await sender.close()
