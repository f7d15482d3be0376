"""``kong-metering capture list``: the events of a capture, filtered."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from harness.capture.reader import CaptureReader
from harness.capture.selection import Entry, Selection

from .capture_options import capture_option, clock, reading, selection_options

_COLOURS = {"accepted": "green", "duplicate": "cyan", "invalid": "red", "refused": "yellow"}
_PIECE = 1 << 16
_HEAD = ("arrived", "request", "verdict", "subject", "type", "id")
_FORM = "{:24}  {:>9}  {:9}  {:20}  {:18}  {}"


@click.command(help=__doc__)
@capture_option
@selection_options
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after N events.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(capture: Path, selection: Selection, limit: int | None, as_json: bool) -> None:
    """Print one line for each event, in the order in which the requests were decided."""
    shown = _json if as_json else _line
    written = 0
    pieces: list[bytes] = []
    size = 0
    out = sys.stdout.buffer
    if not as_json and sys.stdout.isatty():
        click.secho(_FORM.format(*_HEAD).rstrip(), bold=True)
        shown = _coloured
    with reading():
        reader = CaptureReader(capture)
        for entry in selection.entries(reader):
            piece = shown(entry)
            pieces.append(piece)
            size += len(piece)
            if size > _PIECE:
                out.write(b"".join(pieces))
                pieces.clear()
                size = 0
            written += 1
            if written == limit:
                break
        if not written:
            click.echo(f"kong-metering: {capture}: {_nothing(reader, selection)}", err=True)
    out.write(b"".join(pieces))
    out.flush()


def _nothing(reader: CaptureReader, selection: Selection) -> str:
    """Return why there is nothing to list."""
    if next(reader.rows(), None) is None:
        return "the capture is empty"
    return "no request in it has an event" if selection == Selection() else "no event matches the filters"


def _json(entry: Entry) -> bytes:
    return msgspec.json.encode(entry) + b"\n"


def _line(entry: Entry) -> bytes:
    return (_text(entry) + "\n").encode()


def _coloured(entry: Entry) -> bytes:
    return (click.style(_text(entry), fg=_COLOURS.get(entry.verdict)) + "\n").encode()


def _text(entry: Entry) -> str:
    number = f"{entry.lane}#{entry.request}"
    texts: list[Any] = [entry.subject, entry.type, entry.id]
    line = _FORM.format(clock(entry.arrived_at), number, entry.verdict, *map(_shown, texts))
    return line if entry.relayed is None else f"{line}  {_shown(entry.relayed.words())}"


def _shown(value: str | None) -> str:
    if value is None:
        return "-"
    return "".join(character if character.isprintable() else "\ufffd" for character in value)
