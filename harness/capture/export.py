"""A capture in other formats: events as JSON lines, CSV or Parquet, requests as an HTTP Archive (HAR 1.2)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from itertools import islice
from typing import Any, BinaryIO

import msgspec

from harness.capture.reader import CaptureReader
from harness.capture.record import CapturedRequest
from harness.capture.selection import Entry, Selection

_RELAYED = ("host", "status", "size", "seconds", "failure")
#: Columns of a table; those of what was passed on to a real endpoint are empty for what was not.
COLUMNS = (
    *(name for name in Entry.__struct_fields__ if name != "relayed"),
    *(f"relayed_{name}" for name in _RELAYED),
)
_encode = msgspec.json.encode
_GROUP = 50_000  # events in a row group of a Parquet file


class MissingLibraryError(RuntimeError):
    """A format needs a library that is not installed. The message is one line that says how to get it."""


def whole_entries(reader: CaptureReader, selection: Selection) -> Iterator[tuple[Entry, Any]]:
    """Yield the selected entries with the events themselves. Raises as ``reader`` does."""
    held: tuple[int, list[Any]] = (0, [])
    rows = reader.rows()
    for entry in selection.entries(reader):
        while held[0] != entry.request:
            row = next(rows)
            if row.place == entry.request:
                held = (row.place, [event.event for event in row.request().events()])
        yield entry, held[1][entry.position]


def write_json_lines(entries: Iterable[tuple[Entry, Any]], file: BinaryIO) -> None:
    """Write an object for each event: its columns, and the event as it came as ``event``."""
    for entry, event in entries:
        columns = _encode(entry)
        file.write(b'%b,"event":%b}\n' % (columns[:-1], _encode(event)))


def write_csv(entries: Iterable[tuple[Entry, Any]], file: BinaryIO) -> None:
    """Write a row for each event: its columns, and its data as JSON in the last one."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow([*COLUMNS, "data"])
    for entry, event in entries:
        writer.writerow([*_columns(entry), _data(event)])
    text.detach()


def write_parquet(entries: Iterable[tuple[Entry, Any]], file: BinaryIO) -> None:
    """Write a row for each event, as in CSV. Raises MissingLibraryError."""
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise MissingLibraryError("Parquet needs pyarrow: pip install 'kong-metering-harness[parquet]'") from None
    kinds = {"request": arrow.int64(), "n": arrow.int64(), "status": arrow.int32(), "position": arrow.int32()}
    kinds |= {"relayed_status": arrow.int32(), "relayed_size": arrow.int64()}
    kinds |= {"arrived_at": arrow.float64(), "relayed_seconds": arrow.float64()}
    schema = arrow.schema([(name, kinds.get(name, arrow.string())) for name in (*COLUMNS, "data")])
    rest = iter(entries)
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(islice(rest, _GROUP)):
            rows = [(*_columns(entry), _data(event)) for entry, event in group]
            columns = [
                arrow.array([_of_kind(value, field.type, arrow) for value in values], field.type)
                for field, values in zip(schema, zip(*rows, strict=True), strict=True)
            ]
            writer.write_table(arrow.table(columns, schema))


def write_har(requests: Iterable[CapturedRequest], file: BinaryIO, version: str) -> None:
    """Write an HTTP Archive with an entry for each request; what was not captured (answers' bodies) is left empty."""
    creator = _encode({"name": "kong-metering-harness", "version": version})
    file.write(b'{"log":{"version":"1.2","creator":%b,"entries":[' % creator)
    for number, request in enumerate(requests):
        file.write(b",\n" if number else b"\n")
        file.write(_encode(_har_entry(request)))
    file.write(b"\n]}}\n")


def _columns(entry: Entry) -> tuple[Any, ...]:
    *columns, relayed = msgspec.structs.astuple(entry)
    return (*columns, *(None if relayed is None else getattr(relayed, name) for name in _RELAYED))


def _of_kind(value: Any, kind: Any, arrow: Any) -> Any:
    return str(value) if kind == arrow.string() and value is not None else value


def _data(event: Any) -> str | None:
    """Return what an event carries besides its envelope: ``data``, or the dimensions of a meter record."""
    if not isinstance(event, dict):
        return _encode(event).decode()
    data = event.get("data", event.get("dimensions"))
    return None if data is None else _encode(data).decode()


def _har_entry(request: CapturedRequest) -> dict[str, Any]:
    hosts = [value for name, value in request.headers if name.lower() == "host"]
    started = datetime.fromtimestamp(request.arrived_at, UTC).isoformat(timespec="milliseconds")
    content: dict[str, Any] = {"mimeType": request.content_type or ""}
    if request.body_base64 is not None:
        content |= {"text": request.body_base64, "encoding": "base64"}
    else:
        content["text"] = request.body or ""
    waited = 0.0 if request.relayed is None else request.relayed.seconds * 1000
    outcomes = [verdict.verdict for verdict in request.verdicts]
    return {
        "startedDateTime": started.replace("+00:00", "Z"),
        "time": waited,
        "connection": request.connection,
        "request": {
            "method": request.method,
            "url": f"http://{hosts[0] if hosts else 'localhost'}{request.path}",
            "httpVersion": "HTTP/1.1",
            "headers": _pairs(request.headers),
            "queryString": [],
            "cookies": [],
            "headersSize": -1,
            "bodySize": request.size,
            "postData": content,
        },
        "response": {
            "status": request.status or 0,
            "statusText": "",
            "httpVersion": "HTTP/1.1",
            "headers": [],
            "cookies": [],
            "content": {"size": 0, "mimeType": ""},
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": -1,
        },
        "cache": {},
        "timings": {"send": 0, "wait": waited, "receive": 0},
        "comment": f"lane {request.lane or '(none)'}, request {request.n}: "
        + ", ".join(f"{outcomes.count(one)} {one}" for one in dict.fromkeys(outcomes)),
        "_verdicts": [msgspec.to_builtins(verdict) for verdict in request.verdicts],
        "_fault": request.fault,
        "_relayed": msgspec.to_builtins(request.relayed),
    }


def _pairs(headers: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]
