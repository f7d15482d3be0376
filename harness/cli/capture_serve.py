"""``kong-metering capture serve``: a capture in the browser."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import webbrowser
from pathlib import Path

import click

from harness.capture.older_version import in_this_version
from harness.capture.reader import CaptureReader

from .capture_options import capture_option, reading
from .main import CannotContinue

#: How a line of a journal begins.
_LINE = b'{"fact":'


@click.command()
@capture_option
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What kong-metering gateway --journal writes: adds the gateway's side, and what it did not bill.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, type=click.IntRange(0, 65535), help="0: any free port.")
@click.option("--open/--no-open", "open_", default=False, show_default=True, help="Open the page in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print the address as a JSON line.")
def command(capture: Path, journal: Path | None, host: str, port: int, open_: bool, as_json: bool) -> None:
    """Search, filter and explain the events of a capture in the browser.

    A process may be writing the capture meanwhile: new events appear. Nothing is changed, and nothing is loaded from
    elsewhere. A journal may be a file that a gateway is yet to write. SIGINT or SIGTERM ends it.
    """
    if journal is not None:
        _check_journal(journal)
    with reading():
        CaptureReader(capture).last_place()
        # An empty file is one that a process is about to write.
        if capture.stat().st_size == 0:
            asyncio.run(_serve(capture, capture, journal, host, port, open_, as_json))
            return
        with in_this_version(capture) as readable:
            asyncio.run(_serve(readable, capture, journal, host, port, open_, as_json))


def _check_journal(path: Path) -> None:
    """Raise CannotContinue for a file that begins as no journal does."""
    from harness.journal.file import JournalError, JournalReader

    if not path.exists():
        return
    try:
        with JournalReader(path) as journal:
            begun = next(journal.facts(), None)
        with path.open("rb") as file:
            beginning = file.read(len(_LINE))
        if begun is None and not _LINE.startswith(beginning):  # one line is there, and not all of it
            raise CannotContinue(f"--journal: {path}: is no journal; kong-metering gateway --journal FILE writes one")
    except JournalError as error:
        raise CannotContinue(f"--journal: {error}; kong-metering gateway --journal FILE writes one") from None


async def _serve(
    readable: Path, capture: Path, journal: Path | None, host: str, port: int, open_: bool, as_json: bool
) -> None:
    from harness.capture_page.server import CapturePage

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    page = CapturePage(readable, capture.name, journal)
    try:
        bound = await page.start(host, port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise CannotContinue(f"cannot listen on {host}:{port}: {reason}; choose another --host or --port") from None
    url = f"http://{_named(host)}:{bound}/"
    click.echo(
        json.dumps({"ready": True, "url": url, "host": host, "port": bound, "capture": str(capture)})
        if as_json
        else url
    )
    if open_:
        webbrowser.open(url)
    try:
        await stop.wait()
    finally:
        await page.stop()


def _named(host: str) -> str:
    """Return how an address is written in a URL that leads to it."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1" if host == "0.0.0.0" else "[::1]"
    return f"[{host}]" if ":" in host else host
