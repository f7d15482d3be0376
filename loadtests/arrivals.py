"""What reached the ingest endpoint of a run: every event with a number of the run, every request that brought them.

``arrivals.bin`` has a row an event, ``deliveries.bin`` one an ingest request, ``observations.jsonl`` the different
events seen, ``strangers.jsonl`` the first events that are not the run's. Rows are in the files before the ingest
request is answered.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import numpy as np
import orjson

from harness.capture.record import CapturedRequest
from harness.capture.store import CaptureReader
from harness.capture.verdict import Verdict
from harness.ingest.messages import Answer, Receipt
from loadtests.numbers import LABEL_LENGTH, MAX_NUMBER, NUMBER_PROPERTY, is_label, parse
from loadtests.observations import ObservationLog, Observations
from loadtests.plugins.loaded_plugin import EntryForm
from loadtests.plugins.metering_and_billing import EVENTS
from loadtests.row_file import RowFile, RowFileError, RowWriter
from loadtests.strangers import StrangerLog, read_strangers

ARRIVALS = "arrivals.bin"
DELIVERIES = "deliveries.bin"

#: A row of ``arrivals.bin``. ``verdict`` is a place in VERDICTS; ``flags`` are ANSWERED and DIGEST; ``delivery`` is a
#: row of ``deliveries.bin``; ``arrived_at`` is in seconds since the epoch; ``id`` an UUID, or a digest of another id;
#: ``time`` is the event's own, NaN when it has none that can be read.
ROW = np.dtype(
    [
        ("observation", "<u4"),
        ("n", "<u4"),
        ("worker", "<u2"),
        ("verdict", "u1"),
        ("flags", "u1"),
        ("delivery", "<u4"),
        ("arrived_at", "<f8"),
        ("id", "<u8", 2),
        ("time", "<f8"),
    ]
)
_ROW = struct.Struct("<IIHBBId16sd")

#: A row of ``deliveries.bin``. ``n`` is the request's number in its lane, ``status`` 0 when the client got no answer,
#: ``fault`` a place in FAULTS. Events: ``entries`` in all, of which ``other_run``, ``unnumbered`` and ``malformed``
#: have no row: their number is another run's, or there is none, or none that a run gives out. ``unnumbered_accepted``
#: and ``malformed_accepted`` are those of them that were charged.
DELIVERY = np.dtype(
    [
        ("arrived_at", "<f8"),
        ("n", "<u4"),
        ("size", "<u4"),
        ("entries", "<u4"),
        ("accepted", "<u4"),
        ("duplicate", "<u4"),
        ("other_run", "<u4"),
        ("unnumbered", "<u4"),
        ("unnumbered_accepted", "<u4"),
        ("malformed", "<u4"),
        ("malformed_accepted", "<u4"),
        ("status", "<u2"),
        ("fault", "<u2"),
    ]
)
_DELIVERY = struct.Struct("<dIIIIIIIIIIHH")

VERDICTS = ("", "accepted", "duplicate", "invalid", "refused")
FAULTS = ("", "hang", "reset before", "reset after", "drop_answer", "status", "delay", "incomplete", "other")
#: The request that brought the event was answered with success.
ANSWERED = 1
#: The event's id is no UUID in canonical form; the row has its digest.
DIGEST = 2

_ARRIVALS_MAGIC = b"KMARRIV2"
_DELIVERIES_MAGIC = b"KMDELIV3"
_VERDICT_CODES = {name: code for code, name in enumerate(VERDICTS)}
_FAULT_CODES = {name: code for code, name in enumerate(FAULTS)}
_LARGEST = 0xFFFF_FFFF
#: Characters of a label before its last part: run and worker.
_HEAD = 15

_File = TypeVar("_File", RowWriter, ObservationLog, StrangerLog)


def arrivals_file(directory: Path, run: str) -> RowWriter:
    """Open the file of events to write rows (dtype ROW). Raises RowFileError."""
    return RowWriter(directory / ARRIVALS, _ARRIVALS_MAGIC, run, ROW)


def deliveries_file(directory: Path, run: str) -> RowWriter:
    """Open the file of ingest requests to write rows (dtype DELIVERY). Raises RowFileError."""
    return RowWriter(directory / DELIVERIES, _DELIVERIES_MAGIC, run, DELIVERY)


@dataclass(slots=True)
class _Others:
    """Events of an ingest request that are not the run's, in the order in which a row has them."""

    other_run: int = 0
    unnumbered: int = 0
    unnumbered_accepted: int = 0
    malformed: int = 0
    malformed_accepted: int = 0

    def count(self, number: Any, accepted: bool) -> None:
        """Count an event by the number that it has."""
        if number is None:
            self.unnumbered += 1
            self.unnumbered_accepted += accepted
        elif isinstance(number, str) and is_label(number):
            self.other_run += 1
        else:
            self.malformed += 1
            self.malformed_accepted += accepted


class ArrivalsWriter:
    """Writes what an ingest endpoint receives. ``observe`` has the signature of an Observer of the ingest lanes.

    Not safe for several threads at once; one process at a time writes a directory.
    """

    def __init__(self, directory: Path, run: str, watched: Iterable[str], form: EntryForm = EVENTS) -> None:
        """Open the files in ``directory``; what is in them stays.

        ``watched`` are dotted paths of the fields to keep of each event, ``form`` says what else is where. Raises
        RowFileError when the files cannot be written or hold something else, and ObservationsError and ValueError
        likewise.
        """
        self.run = run
        self._form = form
        inside_of = f"{form.members}."
        paths = sorted(set(watched))
        inside = [path for path in paths if path.startswith(inside_of) and path.count(".") == 1]
        self._members = tuple(path.removeprefix(inside_of) for path in inside)
        self._others = tuple(tuple(path.split(".")) for path in paths if path not in inside)
        order = (*inside, *(".".join(steps) for steps in self._others))
        self._heads: dict[str, int] = {}
        self._closing: list[Callable[[], None]] = []
        try:
            self._arrivals = self._opened(arrivals_file(directory, run))
            self._deliveries = self._opened(deliveries_file(directory, run))
            self._table = self._opened(ObservationLog(directory, run, order))
            self._strangers = self._opened(StrangerLog(directory))
        except BaseException:
            self.close()
            raise

    def observe(self, record: CapturedRequest, receipt: Receipt) -> None:
        """Write the rows of one ingest request. Raises RowFileError, OSError or ObservationsError if it cannot."""
        events, verdicts = receipt.events, receipt.verdicts
        delivery = self._deliveries.rows
        others = _Others()
        try:
            workers, numbers = self._numbers(events)
        except (KeyError, TypeError, ValueError):
            own, others = self._sorted_out(record, events, verdicts)
            workers, numbers = [worker for _, worker, _ in own], [n for _, _, n in own]
            verdicts = [verdicts[place] for place, _, _ in own]
            events = [events[place] for place, _, _ in own]
        observations = self._observations(record.lane, events)
        ids, digests = _ids(events, self._form.id)
        codes = [_VERDICT_CODES[verdict.verdict] for verdict in verdicts]
        status, time, size = record.status or 0, record.arrived_at, min(record.size, _LARGEST)
        answered = ANSWERED if 200 <= status < 300 else 0
        flags = [answered | DIGEST if digest else answered for digest in digests] or [answered] * len(codes)
        entries = len(codes) + others.other_run + others.unnumbered + others.malformed
        fault = _FAULT_CODES.get(record.fault or "", len(FAULTS) - 1)
        counts = (entries, codes.count(1), codes.count(2), *astuple(others))
        self._deliveries.append(_DELIVERY.pack(time, record.n, size, *counts, status, fault))
        pack = _ROW.pack
        times = self._form.times(events)
        columns = zip(observations, numbers, workers, codes, flags, range(0, len(ids), 16), times, strict=True)
        rows = [
            pack(o, n, w, code, flag, delivery, time, ids[i : i + 16], own) for o, n, w, code, flag, i, own in columns
        ]
        self._arrivals.append(b"".join(rows))

    def close(self) -> None:
        """Close the files; harmless when they are closed."""
        for close in self._closing:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self, file: _File) -> _File:
        self._closing.append(file.close)
        return file

    def _numbers(self, events: Sequence[Any]) -> tuple[list[int], list[int]]:
        """Return workers and numbers if all events are the run's; otherwise, or in doubt, raise KeyError or such."""
        members = self._form.members
        texts = [event[members][NUMBER_PROPERTY] for event in events]
        workers = [self._heads[text[:_HEAD]] for text in texts]
        tails = [text[_HEAD:] for text in texts]
        digits = "".join(tails)
        if set(map(len, texts)) - {LABEL_LENGTH}:
            raise ValueError
        numbers = [int(tail) for tail in tails]
        if numbers and not (digits.isascii() and digits.isdigit() and max(numbers) <= MAX_NUMBER):
            raise ValueError
        return workers, numbers

    def _sorted_out(
        self, record: CapturedRequest, events: Sequence[Any], verdicts: Sequence[Verdict]
    ) -> tuple[list[tuple[int, int, int]], _Others]:
        """Return place, worker and number of the run's own events, and how many others there are."""
        own: list[tuple[int, int, int]] = []
        others = _Others()
        for place, event in enumerate(events):
            data = event.get(self._form.members) if isinstance(event, dict) else None
            text = data.get(NUMBER_PROPERTY) if isinstance(data, dict) else None
            number = parse(text, self.run) if isinstance(text, str) else None
            if number is not None and isinstance(text, str):
                own.append((place, *number))
                if text[_HEAD - 1 : _HEAD] == "-":
                    self._heads[text[:_HEAD]] = number[0]
                continue
            others.count(text, verdicts[place].verdict == "accepted")
            self._strangers.add(record, place, event, text)
        return own, others

    def _observations(self, lane: str, events: Sequence[Any]) -> list[int]:
        """Return the indices of what was observed of the run's own events."""
        known, members, dumps = self._table.of_lane(lane), self._members, orjson.dumps
        inside, envelope = self._form.members, self._form.envelope
        try:
            seen = [(*envelope(event), *map(event[inside].get, members)) for event in events]
        except KeyError:
            names = self._form.names
            seen = [(*map(event.get, names), *map(event[inside].get, members)) for event in events]
        if self._others:
            others = [[_at(event, steps) for steps in self._others] for event in events]
            seen = [(*values, *more) for values, more in zip(seen, others, strict=True)]
        # JSON tells 1, 1.0 and true apart, which a tuple of them does not.
        keys = [dumps(values) for values in seen]
        found = list(map(known.get, keys))
        if None in found:
            return [known[key] if key in known else self._table.add(lane, key) for key in keys]
        return cast(list[int], found)


def arrivals_from_capture(
    path: Path, directory: Path, run: str, watched: Iterable[str], form: EntryForm = EVENTS
) -> None:
    """Write the arrivals of ``run`` in a capture to ``directory``, as a writer that had listened would have.

    Raises what CaptureReader and ArrivalsWriter do.
    """
    with ArrivalsWriter(directory, run, watched, form) as writer:
        for record in CaptureReader(path).requests():
            writer.observe(record, _receipt(record))


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The arrivals of a run to read; the rows stay in their files until asked for."""

    run: str
    events: RowFile
    deliveries: RowFile
    observations: Observations
    strangers: tuple[dict[str, Any], ...]

    @classmethod
    def read(cls, directory: Path) -> Arrivals:
        """Find the arrivals in ``directory``.

        Raises RowFileError and ObservationsError when they are not there, not readable, or of several runs.
        """
        events = RowFile.open(directory / ARRIVALS, _ARRIVALS_MAGIC, ROW)
        deliveries = RowFile.open(directory / DELIVERIES, _DELIVERIES_MAGIC, DELIVERY)
        observations = Observations.read(directory)
        for what, run in ((deliveries.path, deliveries.run), (directory, observations.run)):
            if run != events.run:
                raise RowFileError(f"{what}: is of run {run}, but {events.path} of run {events.run}")
        return cls(events.run, events, deliveries, observations, read_strangers(directory))


def _ids(events: Sequence[Any], member: str) -> tuple[bytes, Sequence[bool]]:
    """Return 16 bytes for each event's id, and which are digests; none are when the second is empty.

    Two ids that differ in anything, also in case, have different bytes.
    """
    try:
        joined = "".join([event[member] for event in events])
        plain = joined.replace("-", "")
        data = bytes.fromhex(plain)
        dashes = "-" * len(events)
        if (
            len(joined) == 36 * len(events)
            and data.hex() == plain
            and joined[8::36] == joined[13::36] == joined[18::36] == joined[23::36] == dashes
        ):
            return data, ()
    except (KeyError, TypeError, ValueError):
        pass
    if len(events) == 1:
        return hashlib.blake2b(orjson.dumps(events[0].get(member)), digest_size=16).digest(), (True,)
    each = [_ids((event,), member) for event in events]
    return b"".join([data for data, _ in each]), [bool(digest) for _, digest in each]


def _at(event: Any, steps: Sequence[str]) -> Any:
    """Return the value at a path, None where there is none."""
    for step in steps:
        if not isinstance(event, dict):
            return None
        event = event.get(step)
    return event


def _receipt(record: CapturedRequest) -> Receipt:
    verdicts: Sequence[Verdict] = record.verdicts
    events: Sequence[Any] = ()
    if verdicts:
        body = orjson.loads(record.body_bytes())
        events = body if isinstance(body, list) else [body]
    return Receipt(Answer(record.status) if record.status is not None else None, verdicts, events, record.findings)
