"""The plugin's Go client in real time, on the gateway's event loop (SPEC AMB-6…12)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from plugin_emulator import log_line
from plugin_emulator.delivery.counts import Counts
from plugin_emulator.delivery.event_journal import EventJournal
from plugin_emulator.delivery.http_sender import HttpSender, Posting, Try

from .batcher import RecordBatcher
from .config import AmberfloConfig
from .retry_schedule import RetrySchedule, Sending

#: Event loops keep timers in milliseconds; half of one on top keeps them from firing early.
_TIMER_SLACK = 0.0005
#: How long the client keeps a connection without use, in seconds.
_KEEPALIVE = 90.0


def posting(url: str, api_key: str) -> Posting:
    """Return how batches are posted (SPEC AMB-8): the client waits for an answer for as long as it takes.

    Not emulated: a Go client goes where an answer with ``Location`` sends it, and what it finds there is the answer.
    """
    return Posting(
        url=url,
        credential=f"X-API-KEY: {api_key}",
        content_type="application/json",
        timeout=0.0,
        keepalive=_KEEPALIVE,
        success_below=400,
    )


class Queued(NamedTuple):
    """A serialised record, its instance's counts and journal, and what lets its request go on if it is held up.

    A POST counts for its first record's instance.
    """

    entry: bytes
    counts: Counts
    go_on: Callable[[], None]
    journal: EventJournal | None = None


class AmberfloClient:
    """Batches records and sends them to ``url``, as one configuration says and with its key.

    Make and use it inside a running event loop.
    """

    def __init__(self, config: AmberfloConfig, url: str, schedule: RetrySchedule, log: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._sender = HttpSender(posting(url, config.api_key))
        self._schedule = schedule
        self._log = log
        self._debug = config.debug
        self._batcher: RecordBatcher[Queued] = RecordBatcher(
            config.batch_size, config.interval, self._loop.time(), lambda record: self._admit(record)
        )
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: dict[asyncio.Task[None], list[Queued]] = {}
        self._idle = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Number of records that have not left in a batch."""
        return len(self._batcher)

    @property
    def busy(self) -> bool:
        """Whether any record has not left, or any send is under way."""
        return self._batcher.busy

    def put(self, record: Queued) -> bool:
        """Take in one record; return whether its request may go on now (AMB-12)."""
        now = self._loop.time()
        goes_on = self._batcher.put(record, now)
        self._step(now)
        return goes_on

    async def idle(self) -> None:
        """Return when every record was delivered or lost and no send is under way."""
        while self.busy:
            self._idle.clear()
            await self._idle.wait()

    async def drain(self) -> None:
        """Send what there is now, and return when it was delivered or given up (AMB-11)."""
        self._batcher.shut_down()
        self._step(self._loop.time())
        await self.idle()

    def abandon(self) -> int:
        """Lose everything at once; return how many records that were."""
        lost = self._batcher.abandon()
        for task, batch in self._under_way.items():
            task.cancel()
            lost += batch
        for record in lost:
            record.counts.lost["stopped"] += 1
            if record.journal is not None:
                record.journal.lost((record.entry,), "LIF-1", "the gateway was stopped")
        self._under_way.clear()
        return len(lost)

    async def close(self) -> None:
        """Let go of the connections; call it after ``drain`` or ``abandon``."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._sender.close()

    def _admit(self, record: Queued) -> None:
        self._loop.call_soon(record.go_on)

    def _step(self, now: float) -> None:
        while (batch := self._batcher.advance(now)) is not None:
            self._start(batch, self._send(Sending(self._schedule, batch)))
        wake_at = self._batcher.wake_at
        if wake_at is not None and self._timer is None:
            self._timer = self._loop.call_at(wake_at + _TIMER_SLACK, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._step(self._loop.time())

    def _start(self, batch: list[Queued], send: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(send)
        self._under_way[task] = batch
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._under_way.pop(task, None) is None:  # abandoned
            return
        now = self._loop.time()
        self._batcher.sent(now)
        self._step(now)
        if not self.busy:
            self._idle.set()

    async def _send(self, sending: Sending[Queued]) -> None:
        """Try one batch until it is delivered or given up (AMB-9)."""
        batch = sending.batch
        body = [record.entry for record in batch]
        counts, journal = batch[0].counts, batch[0].journal
        while True:
            counts.posts += 1
            if journal is not None:
                journal.sending(body)
            began = self._loop.time()
            try:
                result = await self._sender.send(body)
            except Exception as error:  # whatever went wrong, the client's rules for a failed try hold
                result = Try(False, f"could not be sent to: {type(error).__name__}")
            if journal is not None:
                journal.tried(body, result)
            if result.ok:
                counts.delivery_seconds += self._loop.time() - began
                for record in batch:
                    record.counts.delivered += 1
                if self._debug:
                    self._log(log_line.debug(f"amberflo: sent {len(batch)} record(s)"))
                return
            counts.failed_posts += 1
            self._log(f"amberflo: could not send {len(batch)} record(s): the ingest endpoint {result.problem}")
            pause = sending.failed(self._loop.time())
            if pause.given_up:
                for record in batch:
                    record.counts.lost["gave_up"] += 1
                if journal is not None:
                    journal.lost(body, "AMB-9", f"given up after {self._schedule.tries} tries")
                self._log(
                    log_line.error(
                        f"amberflo: {len(batch)} record(s) lost: given up after {self._schedule.tries} tries"
                    )
                )
            await asyncio.sleep(pause.until - self._loop.time())
            if pause.given_up:
                return


class AmberfloClients:
    """The clients of one gateway process, by what a client is made of.

    With ``shared`` there is one for the life of the process: the first record's configuration makes it, and every
    other instance's key, batch size and interval have no effect (SPEC AMB-10).
    """

    def __init__(self, make: Callable[[AmberfloConfig], AmberfloClient], *, shared: bool) -> None:
        self._make = make
        self._shared = shared
        self._clients: dict[tuple[Any, ...], AmberfloClient] = {}

    def of(self, config: AmberfloConfig) -> AmberfloClient:
        """Return the client that sends the records of an instance with this configuration."""
        own = (config.api_key, config.batch_size, config.interval, config.debug)
        key = () if self._shared else own
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = self._make(config)
        return client
