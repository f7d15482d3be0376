"""A live view of a gateway on a terminal: the latest requests, and the instances' queues."""

from __future__ import annotations

import asyncio
import time

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.journal.explanation import Outcome, explain_life
from harness.journal.lives import Lives, RequestLife
from harness.journal.wording import clock, instance_name, printable, scope_of, short_id
from plugin_emulator.journal import Fact

#: Requests that are remembered; more than fit on any screen.
KEEP = 500
#: Columns from which on what became of a request stands beside it.
_WIDE = 120
_REFRESH_EVERY = 0.25
_COLOURS = {
    Outcome.BILLED: "green",
    Outcome.NOT_BILLED: "yellow",
    Outcome.LOST: "red",
    Outcome.UNDER_WAY: "cyan",
}


class LiveView:
    """A view on a terminal that is drawn anew four times a second: the latest requests, and the instances' queues.

    Use it as an asynchronous context manager on the gateway's event loop.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lives = Lives(keep=KEEP)
        self._live = Live(console=console, auto_refresh=False, screen=False, transient=False)
        self._task: asyncio.Task[None] | None = None

    def observe(self, fact: Fact) -> None:
        """Take in a fact; it is drawn with the next view."""
        self._lives.tell(fact)

    async def __aenter__(self) -> LiveView:
        self._live.start()
        self._task = asyncio.get_running_loop().create_task(self._draw_again_and_again())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
        self._live.update(self.view(time.time()), refresh=True)
        self._live.stop()

    async def _draw_again_and_again(self) -> None:
        while True:
            self._live.update(self.view(time.time()), refresh=True)
            await asyncio.sleep(_REFRESH_EVERY)

    def view(self, now: float) -> Group:
        """Return what is shown at ``now`` (seconds since the epoch)."""
        rows = max(self._console.height - len(self._lives.instances) - 8, 3)
        lives = [life for life in self._lives.requests.values() if life.ended is not None]
        requests = self._side_by_side if self._console.width >= _WIDE else self._below_each_other
        return Group(self._queues(), Text(), requests(lives, rows, now))

    def _side_by_side(self, lives: list[RequestLife], rows: int, now: float) -> Table:
        requests = Table("time", "id", "request", "status", expand=True, box=None)
        requests.add_column("what became of it", ratio=1)
        for life in lives[-rows:]:
            assert life.ended is not None
            what = self._what(life, now)
            what.no_wrap, what.overflow = True, "ellipsis"
            path = Text(printable(f"{life.ended.method} {life.ended.path}"), no_wrap=True, overflow="ellipsis")
            requests.add_row(clock(life.ended.at), short_id(life.id), path, str(life.ended.status), what)
        return requests

    def _below_each_other(self, lives: list[RequestLife], rows: int, now: float) -> Group:
        """On a narrow terminal what became of a request has lines of its own, as many as it takes."""
        shown: list[Text] = []
        for life in reversed(lives):
            assert life.ended is not None
            ended = life.ended
            head = f"{clock(ended.at)} {short_id(life.id)} {ended.status} {ended.method} {ended.path}"
            what = self._what(life, now)
            lines = [Text(printable(head), no_wrap=True, overflow="ellipsis"), *what.wrap(self._console, self._width)]
            if shown and len(shown) + len(lines) > rows:
                break
            shown = [*lines[:1], *(Text("  ").append_text(line) for line in lines[1:]), *shown]
        return Group(Text("each request, and what became of it", "bold"), *shown)

    @property
    def _width(self) -> int:
        return max(self._console.width - 2, 20)

    def _what(self, life: RequestLife, now: float) -> Text:
        explanation = explain_life(life, self._lives.queues, now)
        return Text(printable(explanation.line), _COLOURS[explanation.outcome])

    def _queues(self) -> Table:
        table = Table("instance", "scope", "waiting", "under way", "delivered", "lost", "POSTs", "failed", box=None)
        for instance in self._lives.instances.values():
            queue = self._lives.queue(instance.id)
            batches = [
                f"#{batch.number} of {batch.size}, "
                + (f"try {batch.latest[-1].number + 1}: {batch.latest[-1].problem}" if batch.latest else "try 1")
                for batch in list(queue.under_way.values())[:3]
            ]
            name = printable(instance_name(instance)) + ("" if instance.enabled else " (switched off)")
            figures = (queue.delivered, queue.lost, queue.posts, queue.failed_posts)
            table.add_row(
                Text(name),
                printable(scope_of(instance)),
                f"{queue.waiting:,}",
                "\n".join(batches),
                *(f"{n:,}" for n in figures),
            )
        return table
