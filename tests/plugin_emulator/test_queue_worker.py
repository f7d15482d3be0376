"""The queue's worker on event loops of different makes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from plugin_emulator.delivery.http_sender import Try
from plugin_emulator.queue import QueueSettings
from plugin_emulator.runtime.worker import QueueWorker

Run = Callable[[Coroutine[Any, Any, None]], None]


class Sink:
    """A sender that takes everything at once."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []

    async def send(self, entries: Any) -> Try:
        self.batches.append(list(entries))
        return Try(True, "", 202)

    async def unused(self) -> None:
        return None

    async def close(self) -> None:
        return None


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_entries_that_come_when_the_timer_is_about_to_ring_are_delivered(run: Run) -> None:
    """uvloop makes no timer of what is less than a millisecond away; asking one when it rings has lost events."""

    async def main() -> None:
        sink = Sink()
        worker = QueueWorker("queue", QueueSettings(max_batch_size=1000, max_coalescing_delay=1), sink, print)
        for number in range(40):
            worker.put(b"entry %d" % number)
            worker._arm(worker._now() + 0.0002)
            worker._arm(worker._now() - 0.001)
        await worker.drain()
        assert [entry for batch in sink.batches for entry in batch] == [b"entry %d" % number for number in range(40)]
        await worker.close()

    run(main())
