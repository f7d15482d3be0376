"""A run of any size, made up: its files as a load writes them, and the same rows as tables of a DuckDB database.

Most requests give one event, some must be dropped, some are AI requests with three. A few of each fault are planted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from loadtests import arrivals, ledger
from loadtests.expectations import Expectation, Expectations, ExpectedEvent
from loadtests.matching import Matching
from loadtests.observations import ObservationLog, Observations

Array = npt.NDArray[Any]

RUN = "0123abcd"
WORKERS = 4
#: Requests a second, and the longest way of an event to the endpoint, in seconds.
RATE, LONGEST = 20_000, 1.2
LATE_AFTER = 1.19
DATABASE = "run.duckdb"

_START = 1_700_000_000.0
_CHUNK = 1 << 18
_BATCH = 100
_TENANTS, _CHATS = 100, 20
_DROPPED = _TENANTS
_KINDS = _TENANTS + 1 + _CHATS
_STATUS = "data.status"


def _event(subject: str, kind: str, **data: str) -> ExpectedEvent:
    fields = tuple((f"data.{name}", value) for name, value in sorted(data.items()))
    return ExpectedEvent(kind, subject, fields, status_field=_STATUS, timed=True, sourced=True)


def expectations() -> Expectations:
    """Return the table: tenants, one that must be dropped, Consumers that chat."""
    items = [
        Expectation(f"tenant {n}", (_event(f"tenant-{n}", "kong.api_request", request_method="GET"),))
        for n in range(_TENANTS)
    ]
    items.append(Expectation("no subject"))
    for n in range(_CHATS):
        name = f"consumer-{n}"
        events = (
            _event(name, "kong.api_request", request_method="POST"),
            _event(name, "kong.llm_request", type="request"),
            _event(name, "kong.llm_request", type="response"),
        )
        items.append(Expectation(f"chat of {name}", events))
    return Expectations(items)


@dataclass
class _Output:
    """Where the rows go."""

    ledgers: list[Any]
    events: Any
    deliveries: Any
    database: duckdb.DuckDBPyConnection
    held: Array = field(default_factory=lambda: np.zeros(0, arrivals.ROW))


def make_run(directory: Path, requests: int, seed: int = 1) -> None:
    """Write a run of ``requests`` requests to ``directory``: its files, and DATABASE with the tables of the same.

    The tables are ``ledger`` (request, expectation, status, started, ended), ``arrivals`` (request, observation,
    verdict, id, arrived, time) and ``pair``, what each observation is to each expectation: event, wrong. A request is
    worker × 2³² + n.
    """
    table = expectations()
    table.write(directory)
    observed = _write_observations(directory, table)
    random = np.random.default_rng(seed)
    for worker in range(WORKERS):
        ledger.LedgerWriter(ledger.ledger_path(directory, worker), RUN, worker).close()
    output = _Output(
        [ledger.ledger_path(directory, worker).open("ab") for worker in range(WORKERS)],
        arrivals.arrivals_file(directory, RUN),
        arrivals.deliveries_file(directory, RUN),
        duckdb.connect(directory / DATABASE),
    )
    _create_tables(output.database, table, Observations.read(directory))
    for first in range(0, requests, _CHUNK):
        _make_chunk(output, random, observed, np.arange(first, min(first + _CHUNK, requests)))
    _deliver(output, output.held)
    for file in (*output.ledgers, output.events, output.deliveries, output.database):
        file.close()


def _write_observations(directory: Path, table: Expectations) -> Array:
    """Write what is observed of every expected event, right and with another subject; return the right one's index
    by expectation and event. The wrong one's is the next."""
    watched = table.watched()
    observed = np.zeros((_KINDS, 3), np.uint32)
    log = ObservationLog(directory, RUN, watched)
    for place, item in enumerate(table):
        for k, event in enumerate(item.events or (_event("unknown", "kong.api_request", request_method="GET"),)):
            values = {**dict(event.fields), _STATUS: 200}
            tail = ["kong", *(values.get(path) for path in watched)]
            observed[place, k] = log.add("", orjson.dumps([event.type, event.subject, *tail]))
            log.add("", orjson.dumps([event.type, f"not {event.subject}", *tail]))
    log.close()
    return observed


def _create_tables(database: duckdb.DuckDBPyConnection, table: Expectations, seen: Observations) -> None:
    matching = Matching(table, seen)
    count = len(seen)
    expectation, observation = np.repeat(np.arange(_KINDS), count), np.tile(np.arange(count), _KINDS)
    answers = matching.answers(expectation, observation)
    event = matching.slot(answers)
    wrong = (event >= 0) & (matching.wrong(answers) | matching.wrong_subject(expectation, event, observation))
    pair = pa.table({"expectation": expectation, "observation": observation, "event": event, "wrong": wrong})
    events = pa.table({"expectation": np.arange(_KINDS), "events": matching.slots})
    database.register("pairs", pair)
    database.register("counts", events)
    for statement in (
        "CREATE TABLE pair AS"
        " SELECT expectation::USMALLINT expectation, observation::UINTEGER observation, event, wrong FROM pairs",
        "CREATE TABLE expected AS SELECT expectation::USMALLINT expectation, events FROM counts",
        "CREATE TABLE ledger"
        " (request UBIGINT, expectation USMALLINT, status USMALLINT, started DOUBLE, ended DOUBLE)",
        "CREATE TABLE arrivals"
        " (request UBIGINT, observation UINTEGER, verdict UTINYINT, id UHUGEINT, arrived DOUBLE, time DOUBLE)",
    ):
        database.execute(statement)


def _make_chunk(output: _Output, random: np.random.Generator, observed: Array, number: Array) -> None:
    size = len(number)
    kind = random.choice(3, size, p=(0.85, 0.10, 0.05))
    chat = _DROPPED + 1 + random.integers(0, _CHATS, size)
    expectation = np.where(kind == 0, random.integers(0, _TENANTS, size), np.where(kind == 1, _DROPPED, chat))
    rows = np.zeros(size, ledger.ROW)
    rows["expectation"], rows["status"] = expectation, 200
    rows["started_at"] = _START + number / RATE
    rows["ended_at"] = rows["started_at"] + random.exponential(0.01, size)
    lost = random.random(size) < 1e-5
    rows["status"][lost] = 0
    for worker, file in enumerate(output.ledgers):
        rows[number % WORKERS == worker].tofile(file)
    request = (number % WORKERS).astype(np.uint64) << np.uint64(32) | (number // WORKERS).astype(np.uint64)
    ledger_table = pa.table(  # noqa: F841  # DuckDB finds it by its name
        {
            "request": request,
            "expectation": expectation,
            "status": rows["status"],
            "started": rows["started_at"],
            "ended": rows["ended_at"],
        }
    )
    output.database.execute("INSERT INTO ledger SELECT * FROM ledger_table")
    events = np.where(kind == 2, 3, np.where(kind == 1, random.random(size) < 1e-5, 1))
    of = np.repeat(np.arange(size), events)
    k = np.arange(len(of)) - np.repeat(np.cumsum(events) - events, events)
    made = np.zeros(len(of), arrivals.ROW)
    made["worker"], made["n"] = number[of] % WORKERS, number[of] // WORKERS
    made["observation"] = observed[expectation[of], k]
    made["verdict"], made["flags"] = 1, arrivals.ANSWERED
    made["arrived_at"] = rows["ended_at"][of] + random.uniform(0.001, LONGEST, len(of))
    made["id"] = random.integers(0, 1 << 63, (len(of), 2), np.uint64)
    made["time"] = rows["started_at"][of] + random.random(len(of)) * (rows["ended_at"] - rows["started_at"])[of]
    _deliver(output, _with_faults(random, made), until=rows["started_at"][-1])


def _with_faults(random: np.random.Generator, made: Array) -> Array:
    """Lose, repeat and change a few events, give some another's id or time; refuse a few the first time."""
    fault = random.random(len(made))
    same_id = np.flatnonzero((fault > 1e-5) & (fault < 2e-5))
    made["id"][same_id] = made["id"][same_id - 1]
    made["time"][(fault > 3e-5) & (fault < 4e-5)] -= 1.0
    made["observation"][(fault > 2e-5) & (fault < 3e-5)] += 1
    again, anew = made[(fault > 4e-5) & (fault < 6e-5)], made[(fault > 6e-5) & (fault < 8e-5)]
    refused = made[(fault > 8e-5) & (fault < 1e-3)]
    again["verdict"] = 2
    anew["id"] += np.uint64(1)
    refused["verdict"], refused["flags"] = 4, 0
    for each in (again, anew):
        each["arrived_at"] += 2.0
    refused["arrived_at"] -= 0.0005
    return np.concatenate([made[fault > 1e-5], again, anew, refused])


def _deliver(output: _Output, made: Array, until: float = np.inf) -> None:
    """Write the events that arrived ``until`` then, in batches; keep the rest for later."""
    made = np.concatenate([output.held, made]) if until < np.inf else made
    made = made[np.argsort(made["arrived_at"], kind="stable")]
    end = int(np.searchsorted(made["arrived_at"], until))
    output.held, rows = made[end:], made[:end]
    batch = np.arange(len(rows)) // _BATCH
    rows["delivery"] = output.deliveries.rows + batch
    deliveries = np.zeros(-(-len(rows) // _BATCH), arrivals.DELIVERY)
    deliveries["arrived_at"], deliveries["status"] = rows["arrived_at"][::_BATCH], 202
    deliveries["entries"] = np.bincount(batch, minlength=len(deliveries))
    output.deliveries.append(deliveries.tobytes())
    output.events.append(rows.tobytes())
    request = rows["worker"].astype(np.uint64) << np.uint64(32) | rows["n"].astype(np.uint64)
    arrivals_table = pa.table(  # noqa: F841  # DuckDB finds it by its name
        {
            "request": request,
            "observation": rows["observation"],
            "verdict": rows["verdict"],
            "high": rows["id"][:, 0].copy(),
            "low": rows["id"][:, 1].copy(),
            "arrived": rows["arrived_at"],
            "time": rows["time"],
        }
    )
    output.database.execute(
        "INSERT INTO arrivals SELECT request, observation, verdict, (high::UHUGEINT << 64) | low, arrived, time"
        " FROM arrivals_table"
    )
