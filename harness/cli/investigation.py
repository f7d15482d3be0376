"""What ``capture explain --journal`` and ``explain --capture`` print: one account of a request, from both sides."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click
import msgspec

from harness.journal.both_sides import Account, Investigation, investigate
from harness.journal.file import JournalError
from harness.journal.wording import printable

from .capture_options import reading
from .main import CannotContinue

_MOST = 20


def investigated(capture: Path, journal: Path, key: str) -> Investigation:
    """Return what both sides know of ``key``, as of now. Raises CannotContinue for files that cannot be read."""
    try:
        with reading():
            return investigate(capture, journal, key, time.time())
    except JournalError as error:
        raise CannotContinue(str(error)) from None


def print_investigation(found: Investigation, *, as_json: bool) -> None:
    """Print it on standard output."""
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for number, account in enumerate(found.accounts[:_MOST]):
        if number:
            click.echo()
        for line in _lines(account):
            click.echo(printable(line))
    if len(found.accounts) > _MOST:
        click.echo(f"{len(found.accounts) - _MOST} more are known of {printable(found.key)}; --json has them all")


def _lines(account: Account) -> Iterator[str]:
    yield account.line
    for line in account.also:
        yield f"  also: {line}"
    began = account.steps[0].at if account.steps else 0.0
    named = f"request {account.request}" if account.request is not None else f"event {account.events[0].id}"
    yield f"{named}, {datetime.fromtimestamp(began).isoformat(' ', 'milliseconds')}"
    for step in account.steps:
        yield f"  +{step.at - began:.3f}  {step.side:<15}  {step.text}"
    for event in account.events:
        if event.entry is not None:
            yield f"  captured: {msgspec.json.encode(event.entry).decode()}"
    for sentence in account.disagreements:
        yield f"  ! {sentence}"
