"""An Amberflo instance at work: requests in, records to the client that instances share (SPEC AMB-1, AMB-10)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import time
from typing import Any

from plugin_emulator import log_line
from plugin_emulator.delivery.counts import Counts
from plugin_emulator.delivery.event_journal import EventJournal
from plugin_emulator.exchange import AccessRequest, Exchange
from plugin_emulator.journal import Observer
from plugin_emulator.metering_plugin import Drop

from .client import AmberfloClient, AmberfloClients, Queued
from .config import AmberfloConfig
from .meter_record import RecordMaker, record_identity


class AmberfloInstance:
    """One plugin instance; ``make_records`` gives the record maker of a configuration."""

    __slots__ = (
        "_client",
        "_clients",
        "_config",
        "_counts",
        "_entry",
        "_journal",
        "_log",
        "_make_records",
        "_name",
        "_readings",
        "_used",
    )

    def __init__(
        self,
        instance_id: str,
        config: AmberfloConfig,
        clients: AmberfloClients,
        make_records: Callable[[AmberfloConfig], RecordMaker],
        log: Callable[[str], None],
        observe: Observer | None = None,
    ) -> None:
        self._journal = None if observe is None else EventJournal(instance_id, observe, record_identity)
        self._name = f"amberflo {instance_id}"
        self._clients = clients
        self._make_records = make_records
        self._log = log
        self._counts = Counts()
        #: the present client, and every one that has ever had records of this instance
        self._client: AmberfloClient | None = None
        self._used: set[AmberfloClient] = set()
        self._use(config)

    def configure(self, config: AmberfloConfig) -> None:
        """Make records as ``config`` says from now on; whether they are sent so is the client's business (AMB-10)."""
        if config != self._config:
            self._use(config)

    def access(self, request: AccessRequest, go_on: Callable[[], None]) -> int | Drop | None:
        """Meter a request in the access phase; None when it is held up until ``go_on`` (AMB-5, AMB-12)."""
        entry = self._entry(request, time())
        if self._journal is not None:
            readings = self._readings(request)
            self._journal.metered(request.request_id, readings, entry if isinstance(entry, Drop) else (entry,))
        if isinstance(entry, Drop):
            self._log(log_line.error(f"{self._name}: no customer: {entry.reason}"))
            return entry
        client = self._client
        if client is None:
            client = self._client = self._clients.of(self._config)
            self._used.add(client)
        return 1 if client.put(Queued(entry, self._counts, go_on, self._journal)) else None

    def log(self, exchange: Exchange) -> int:
        """There is nothing to do after a request is answered."""
        return 0

    def statistics(self) -> dict[str, Any]:
        """Return the figures of delivery; ``waiting`` and ``busy`` are those of the client, shared or not."""
        waiting = sum(client.waiting for client in self._used)
        return self._counts.statistics(waiting, any(client.busy for client in self._used))

    async def idle(self) -> None:
        """Return when every record was delivered or lost."""
        await asyncio.gather(*(client.idle() for client in self._used))

    async def drain(self) -> None:
        """Return when every record was delivered or given up (AMB-11)."""
        await asyncio.gather(*(client.drain() for client in self._used))

    def abandon(self) -> int:
        """Lose everything at once; return how many records that were: of a shared client, those of every instance."""
        return sum(client.abandon() for client in self._used)

    async def close(self) -> None:
        """Let go of all connections."""
        await asyncio.gather(*(client.close() for client in self._used))

    def _use(self, config: AmberfloConfig) -> None:
        self._config = config
        records = self._make_records(config)
        self._entry = records.entry
        self._readings = records.readings
        self._client = None
