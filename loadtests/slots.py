"""A place for each event that may come of a run's requests, and what has arrived there.

Event ``k`` of a request has a slot; the slots of all requests are numbered without a gap, in the ledger's order. That
makes what a dict would do an access to an array: a slot takes 13 bytes, a request 7 (or 9).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from loadtests.arrivals import ANSWERED, VERDICTS
from loadtests.event_ids import EventIds, keys_of
from loadtests.ledger import Ledger
from loadtests.matching import NO_STATUS, Array, Matching
from loadtests.numbers import MAX_WORKER
from loadtests.request_facts import RequestFacts
from loadtests.row_file import RowFile

# What is known of a slot, in bits.
#: An event was accepted: it is billed.
BILLED = 1
#: One was discarded by the endpoint, as a duplicate of an event with the same source and id.
DISCARDED = 2
#: One was refused: its request was not answered with success.
REFUSED = 4
INVALID = 8
#: A billed one is not what was expected.
WRONG = 16
#: One was delivered again with the same source and id.
SAME_ID = 32
#: Several with different ids were accepted: money charged twice.
NEW_ID = 64

_BIT = {"accepted": BILLED, "duplicate": DISCARDED, "refused": REFUSED, "invalid": INVALID}
_BITS = np.array([_BIT.get(name, 0) for name in VERDICTS], np.uint8)
_NO_ROW = 0xFFFF_FFFF
#: Bits of an id's key by which most are told apart.
_PART = 20
#: Seconds by which a time may be off because it is written so: nginx and meter records have milliseconds.
RESOLUTION = 0.001
#: How many arrivals of slots with several are looked at together.
_BLOCK = 500_000


class TooLarge(ValueError):
    """A run has more requests or events than can be numbered. The message is one line."""


class Slots:
    """The slots of a run.

    ``state`` has the bits, ``arrived_at`` when the first billed event arrived (NaN: none). By request:
    ``expectation`` and ``first`` slot; ``extra`` where an event was billed that stands for none of the expected ones.
    ``span`` is the first and last time in any row; empty when there is none.

    Events, once all are taken and settled: ``extras`` of those; ``charged_again`` accepted again with a new id;
    ``delivered_again`` with the same, ``needless`` of these although an earlier delivery had been answered with
    success. ``wrong_subjects``, ``wrong_times`` and ``wrong_ids``, which are those that another event has; by the
    matching's answer, ``wrong_fields`` and ``wrong_statuses``.
    """

    def __init__(
        self, ledger: Ledger, matching: Matching, events: RowFile, chunk: int, clock_tolerance: float = 0.0
    ) -> None:
        """Make room for the requests of ``ledger``, read by so many rows, and for ``events``, the arrivals.

        ``clock_tolerance`` is how far, in seconds, the clock of the gateway may be from those that the ledger was
        written by. Raises LedgerError and TooLarge.
        """
        self._matching, self._ledger, self._events, self._chunk = matching, ledger, events, chunk
        self.tolerance = clock_tolerance + RESOLUTION
        self._facts = RequestFacts(ledger) if matching.needs_ledger else None
        self._sources = matching.sources()
        self._ids = EventIds(events.rows)
        self._shared = np.zeros(0, np.uint64)
        self._count = np.zeros(MAX_WORKER + 1, np.int64)
        self._base = np.zeros(MAX_WORKER + 1, np.int64)
        total = 0
        for of in ledger.workers:
            self._count[of.worker], self._base[of.worker] = of.rows, total
            total += of.rows
        if total >= _NO_ROW:
            raise TooLarge(f"{total:,} requests are more than can be reconciled at once ({_NO_ROW - 1:,})")
        known = len(matching.slots)
        self.expectation = np.empty(total, np.uint16 if known <= 1 << 16 else np.uint32)
        self.first = np.empty(total, np.uint32)
        slots = place = 0
        self.span: tuple[float, ...] = ()
        for worker, _, rows in ledger.chunks(chunk):
            self._widen(rows["started_at"])
            self._widen(rows["ended_at"])
            if (rows["expectation"] >= known).any():
                unknown = int(rows["expectation"].max())
                raise TooLarge(f"worker {worker} expects number {unknown}; the table of the run has {known}")
            counts = matching.slots.take(rows["expectation"])
            ends = slots + np.cumsum(counts, dtype=np.int64)
            slots = int(ends[-1])
            if slots >= _NO_ROW:
                raise TooLarge(f"the requests of the run have more than {_NO_ROW - 1:,} events")
            end = place + len(rows)
            self.expectation[place:end] = rows["expectation"]
            self.first[place:end] = ends - counts
            place = end
        self.extra = np.zeros(total, np.bool_)
        self.state = np.zeros(slots, np.uint8)
        self.arrived_at = np.full(slots, np.nan)
        self._row = np.full(slots, _NO_ROW, np.uint32)
        self._seen: Array | None = None
        self._again: list[tuple[Array, Array]] = []
        self._reach: list[tuple[int, int, int, int]] = []
        self.wrong_fields = np.zeros(0, np.int64)
        self.wrong_statuses = np.zeros(0, np.int64)
        self.wrong_times = self.wrong_ids = 0
        self.wrong_subjects = 0
        self.extras = 0
        self.charged_again = 0
        self.delivered_again = 0
        self.needless = 0

    def __len__(self) -> int:
        return len(self.state)

    def _widen(self, times: Array) -> None:
        """Extend ``span`` by some times; 0 is none of them."""
        if not times.all():
            times = times[times != 0]
        if len(times):
            ends = (*self.span, float(times.min()), float(times.max()))
            self.span = (min(ends), max(ends))

    def requests(self, rows: Array) -> tuple[Array, Array]:
        """Return where rows of arrivals are of a request in the ledger, and the places of those requests."""
        worker, n = rows["worker"], rows["n"]
        known = n < self._count.take(worker)
        if not known.all():
            worker, n = worker[known], n[known]
        return known, self._base.take(worker) + n

    def of_another(self, rows: Array, slots: Array) -> Array:
        """Return where rows have an id that another event has: one that was billed too, or for which the endpoint
        discarded these. ``slots`` are the rows' own."""
        keys = self._keys(rows)
        shared = _is_among(keys, self._shared)
        state = self.state.take(slots)
        found: Array = shared | (((state & DISCARDED) != 0) & ((state & BILLED) == 0))
        return found

    def _keys(self, rows: Array) -> Array:
        """Return a key of each event's source and id."""
        return keys_of(rows["id"], self._sources.take(rows["observation"]) if self._sources.any() else None)

    def slots_of(self, rows: Array) -> tuple[Array, Array]:
        """Return which rows, all of requests in the ledger, are an event that is expected, and the slots of these."""
        _, request = self.requests(rows)
        event = self._matching.slot(
            self._matching.answers(self.expectation.take(request).astype(np.int64), rows["observation"])
        )
        placed = event >= 0
        return placed, (self.first.take(request) + event.astype(np.int64))[placed]

    def rows_of(self, wanted: Array) -> Iterator[tuple[Array, Array]]:
        """Yield the rows of some requests, with their places, from the chunks that can have any.

        ``wanted`` are the places, sorted.
        """
        chosen = np.zeros(len(self.first), np.bool_)
        chosen[wanted] = True
        for start, count, low, high in self._reach:
            if np.searchsorted(wanted, low) < np.searchsorted(wanted, high, "right"):
                rows = self._events.read(start, count)
                known, request = self.requests(rows)
                found = np.flatnonzero(chosen.take(request))
                if len(found):
                    yield rows.take(np.flatnonzero(known).take(found)), request.take(found)

    def take(self, start: int, rows: Array, retried: Array) -> Array:
        """Take in rows of arrivals, ``start`` being the number of the first, in the order of the file.

        Sets ``retried`` at deliveries that brought an event which had come before. Returns the places in ``rows`` of
        those that are of no request in the ledger.
        """
        self._widen(rows["arrived_at"])
        known, request = self.requests(rows)
        number: Array = np.arange(start, start + len(rows), dtype=np.uint32)
        if len(request):
            self._reach.append((start, len(rows), int(request.min()), int(request.max())))
        strangers = np.flatnonzero(~known)
        if len(strangers):
            rows, number = rows[known], number[known]
        observation = rows["observation"]
        expectation = self.expectation.take(request).astype(np.int64)
        answers = self._matching.answers(expectation, observation)
        event = self._matching.slot(answers)
        bits = _BITS.take(rows["verdict"])
        if (event < 0).any():
            placed = event >= 0
            billed = ~placed & (bits == BILLED)
            self.extra[request[billed]] = True
            self.extras += int(billed.sum())
            self.wrong_fields = self._counted(
                self.wrong_fields, answers[billed & (self._matching.slots[expectation] > 0)]
            )
            rows, request, number, bits = rows[placed], request[placed], number[placed], bits[placed]
            observation, expectation = observation[placed], expectation[placed]
            answers, event = answers[placed], event[placed]
        slot = self.first.take(request) + event.astype(np.int64)
        wrong_subject = self._matching.wrong_subject(expectation, event, observation)
        self._note_wrong(slot, answers, wrong_subject, bits)
        if self._facts is not None:
            self._compare_with_ledger(self._facts, slot, rows, answers, bits)
        keys, billed = self._keys(rows), bits == BILLED
        self._ids.add(keys if billed.all() else keys[billed])
        self._note_arrivals(slot, number, bits, rows["arrived_at"], rows["delivery"], retried)
        return strangers

    def settle(self) -> None:
        """Tell apart what was delivered twice and what was charged twice, and find ids that several events have.

        To be called once all rows are taken.
        """
        self._settle_ids(self._ids.repeated())
        if not self._again:
            return
        slots = np.concatenate([slot for slot, _ in self._again])
        rows = np.concatenate([row for _, row in self._again])
        self._again.clear()
        several = np.unique(slots)
        slots = np.concatenate([slots, several])
        rows = np.concatenate([rows, self._row[several]])
        order = np.lexsort((rows, slots))
        slots, rows = slots[order], rows[order]
        start = 0
        while start < len(slots):
            end = min(start + _BLOCK, len(slots))
            while end < len(slots) and slots[end] == slots[end - 1]:
                end += 1
            self._settle(slots[start:end], rows[start:end])
            start = end

    def _note_wrong(self, slot: Array, answers: Array, wrong_subject: Array, bits: Array) -> None:
        wrong_field = self._matching.wrong(answers)
        wrong = wrong_field | wrong_subject
        if wrong.any():
            wrong &= bits == BILLED
            self.state[slot[wrong]] |= WRONG
            self.wrong_subjects += int((wrong & wrong_subject).sum())
            self.wrong_fields = self._counted(self.wrong_fields, answers[wrong])

    def _counted(self, before: Array, answers: Array) -> Array:
        """Return counts of billed events with something wrong, by answer, with some more of them."""
        counts: Array = np.bincount(answers, minlength=len(self._matching.fields))
        counts[: len(before)] += before
        return counts

    def _compare_with_ledger(
        self, facts: RequestFacts, slot: Array, rows: Array, answers: Array, bits: Array
    ) -> None:
        """Compare time and status of the billed events with those of their requests."""
        status, started, ended = facts.of(rows["worker"], rows["n"])
        time, earliest = rows["time"], started - self.tolerance
        within = (time >= earliest) & (time <= ended + self.tolerance)
        if not within.all():
            # Nobody knows for how long the gateway was at a request to which no answer came. NaN is never within.
            within |= (status == 0) & (time >= earliest)
        late = ~within & self._matching.timed(answers)
        seen = self._matching.status(answers)
        other = (seen != status) & (seen != NO_STATUS) & (status != 0)
        wrong = late | other
        if wrong.any():
            wrong &= bits == BILLED
            self.state[slot[wrong]] |= WRONG
            self.wrong_times += int((late & wrong).sum())
            self.wrong_statuses = self._counted(self.wrong_statuses, answers[other & wrong])

    def _note_arrivals(
        self, slot: Array, number: Array, bits: Array, arrived_at: Array, delivery: Array, retried: Array
    ) -> None:
        taken = (bits & (BILLED | DISCARDED)) != 0
        if self._seen is None and not taken.all():
            self._seen = self._row.copy()
        if self._seen is not None:
            retried[delivery[_note_first(self._seen, slot, number)]] = True
            untaken = ~taken
            # By verdict: where one slot comes several times in an assignment, only the last one would count.
            for bit in (REFUSED, INVALID):
                self.state[slot[untaken & (bits == bit)]] |= bit
            slot, number, bits = slot[taken], number[taken], bits[taken]
            arrived_at, delivery = arrived_at[taken], delivery[taken]
        again = _note_first(self._row, slot, number)
        if again.any():
            retried[delivery[again]] = True
            self._again.append((slot[again].astype(np.uint32), number[again]))
            for bit in (BILLED, DISCARDED):
                self.state[slot[again & (bits == bit)]] |= bit
            first = ~again
            slot, bits, arrived_at = slot[first], bits[first], arrived_at[first]
        self.arrived_at[slot] = np.where(bits == BILLED, arrived_at, np.nan)
        self.state[slot] |= bits

    def _settle_ids(self, repeated: Array) -> None:
        """Mark the slots of billed events that share an id with an event of another slot."""
        if not len(repeated):
            return
        # Most rows are told apart by a part of their keys.
        shift = np.uint64(64 - _PART)
        likely = np.zeros(1 << _PART, np.bool_)
        likely[repeated >> shift] = True
        keys, slots = [], []
        for _, rows in self._events.chunks(self._chunk):
            suspects = rows[likely.take(self._keys(rows) >> shift)]
            suspects = suspects[_BITS.take(suspects["verdict"]) == BILLED]
            key = self._keys(suspects)
            wanted = self.requests(suspects)[0] & _is_among(key, repeated)
            key, suspects = key[wanted], suspects[wanted]
            placed, slot = self.slots_of(suspects)
            keys.append(key[placed])
            slots.append(slot)
        key, slot = np.concatenate(keys), np.concatenate(slots)
        order = np.lexsort((slot, key))
        key, slot = key[order], slot[order]
        starts = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
        lengths = np.diff(np.append(starts, len(key)))
        several = np.repeat(slot[starts] != slot[starts + lengths - 1], lengths)
        self._shared = np.unique(key[several])
        self.wrong_ids = int(several.sum())
        self.state[slot[several]] |= WRONG

    def _settle(self, slots: Array, numbers: Array) -> None:
        rows = _rows(self._events, numbers)
        billed = _BITS[rows["verdict"]] == BILLED
        source, high, low = self._sources[rows["observation"]], rows["id"][:, 0], rows["id"][:, 1]
        order = np.lexsort((numbers, low, high, source, slots))
        slots, rows, billed = slots[order], rows[order], billed[order]
        source, high, low = source[order], high[order], low[order]
        new_slot = np.ones(len(slots), np.bool_)
        new_slot[1:] = slots[1:] != slots[:-1]
        new_id = new_slot.copy()
        new_id[1:] |= (source[1:] != source[:-1]) | (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        starts, ids = np.flatnonzero(new_slot), np.flatnonzero(new_id)
        slot_of_id = np.cumsum(new_slot)[ids] - 1
        accepted = np.logical_or.reduceat(billed, ids)
        charged = np.bincount(slot_of_id, accepted, len(starts)).astype(np.int64)
        deliveries = np.diff(np.append(starts, len(slots)))
        delivered_again = deliveries - np.maximum(charged, 1)
        several = slots[starts]
        self.state[several[charged > 1]] |= NEW_ID
        self.state[several[delivered_again > 0]] |= SAME_ID
        self.charged_again += int(np.maximum(charged - 1, 0).sum())
        self.delivered_again += int(delivered_again.sum())
        self.needless += _after_success((rows["flags"] & ANSWERED) != 0, ids)
        times = np.where(billed, rows["arrived_at"], np.inf)
        first = np.minimum.reduceat(times, starts)
        self.arrived_at[several] = np.where(np.isinf(first), np.nan, first)


def _is_among(keys: Array, found: Array) -> Array:
    """Return where ``keys`` are among some others, which are sorted."""
    if not len(found):
        return np.zeros(len(keys), np.bool_)
    place = np.minimum(np.searchsorted(found, keys), len(found) - 1)
    among: Array = found.take(place) == keys
    return among


def _note_first(table: Array, slot: Array, number: Array) -> Array:
    """Write each slot's first row to ``table``; return where a row is not the first of its slot."""
    fresh = table.take(slot) == _NO_ROW
    # Of equal places the last assignment counts, hence backwards.
    table[slot[fresh][::-1]] = number[fresh][::-1]
    again: Array = table.take(slot) != number
    return again


def _after_success(answered: Array, ids: Array) -> int:
    """Count rows that came after one of the same id which had been answered with success; ``ids`` start each id."""
    before = np.cumsum(answered) - answered
    lengths = np.diff(np.append(ids, len(answered)))
    return int((before - np.repeat(before[ids], lengths) > 0).sum())


def _rows(events: RowFile, numbers: Array) -> Array:
    """Return the rows with those numbers, in memory for one chunk at a time."""
    order = np.argsort(numbers)
    wanted = numbers[order]
    rows = np.empty(len(numbers), events.dtype)
    for start, end, chunk in _chunks_with(events, wanted):
        low, high = np.searchsorted(wanted, (start, end))
        rows[order[low:high]] = chunk[wanted[low:high] - start]
    return rows


def _chunks_with(events: RowFile, wanted: Array, size: int = 1 << 16) -> Iterator[tuple[int, int, Array]]:
    """Yield the chunks of a file that have a row of ``wanted`` (sorted), with the numbers they begin and end at."""
    for chunk in np.unique(wanted // size).tolist():
        start = chunk * size
        end = min(start + size, events.rows)
        yield start, end, events.read(start, end - start)
