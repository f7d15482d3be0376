"""``kong-metering gateway --journal FILE`` and ``--watch``: who is told of the life of each request."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import click

from harness.cli.main import CannotContinue
from harness.journal.file import JournalError
from harness.journal.redaction import without_secrets
from harness.journal.writer import JournalWriter
from plugin_emulator.journal import Fact, Observer


class GatewayJournal:
    """Passes facts on to a file and to who watches; ``observe`` is None when nobody wants to know.

    Whoever watches is told from the moment the gateway is announced: what was before is kept until then.
    """

    def __init__(self, writer: JournalWriter | None, *, watch: bool, as_json: bool) -> None:
        self.observe: Observer | None = None
        self._write = None if writer is None else writer.write
        self._watch = watch
        self._as_json = as_json
        self._early: list[Fact] = []
        self._show: Observer = self._early.append
        if watch:
            self.observe = without_secrets(self._pass_on)
        elif writer is not None:
            self.observe = without_secrets(writer.write)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Show what is told on standard output until the block ends, if that is wanted."""
        if not self._watch:
            yield
        elif self._as_json:
            from harness.journal.watch_lines import json_lines

            self._show_with(json_lines)
            yield
        elif sys.stdout.isatty():
            from rich.console import Console

            from harness.journal.live_view import LiveView

            async with LiveView(Console(highlight=False)) as view:
                self._show_with(view.observe)
                yield
        else:
            from harness.journal.watch_lines import plain_lines

            self._show_with(plain_lines(_print))
            yield

    def _show_with(self, show: Observer) -> None:
        self._show = show
        for fact in self._early:
            show(fact)
        self._early.clear()

    def _pass_on(self, fact: Fact) -> None:
        if self._write is not None:
            self._write(fact)
        self._show(fact)


@contextmanager
def gateway_journal(
    path: Path | None, limit: int | None, *, watch: bool, as_json: bool, log: Callable[[str], None]
) -> Iterator[GatewayJournal]:
    """Yield who passes on what the gateway tells, to the file ``path`` among others; ``log`` is told of a full disk.

    ``limit`` bounds the file and the generation of it that is kept, in bytes. Raises CannotContinue when the file
    cannot be opened.
    """
    if path is None:
        yield GatewayJournal(None, watch=watch, as_json=as_json)
        return
    try:
        writer = JournalWriter(path, log, limit)
    except JournalError as error:
        raise CannotContinue(str(error)) from None
    with writer:
        yield GatewayJournal(writer, watch=watch, as_json=as_json)


def _print(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()
