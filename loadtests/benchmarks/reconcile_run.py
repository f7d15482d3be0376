"""One reconciliation of a made-up run, in a process of its own so that its memory can be told.

``python -m loadtests.benchmarks.reconcile_run DIRECTORY ours|THREADS``: by us, or by DuckDB on so many threads (0: as
many as it likes). Prints JSON: seconds of the clock and of CPU, the highest memory in MB, and the answers. Of DuckDB
only the query is timed, on tables of its own; of ours everything from opening the files on.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from loadtests.benchmarks.made_run import DATABASE, LATE_AFTER, RUN
from loadtests.numbers import parse
from loadtests.slots import RESOLUTION

#: The same classes as ours: of events by their arrivals, then of requests by their events. Of several ways to put the
#: question this was the fastest; without MATERIALIZED, or with temporary tables, it takes half as long again.
QUERY = f"""
WITH shared AS MATERIALIZED (SELECT id FROM arrivals WHERE verdict = 1 GROUP BY id HAVING count(*) > 1),
event AS MATERIALIZED (
    SELECT a.request, p.event, count(*) AS deliveries, min(a.id) <> max(a.id) AS new_id,
           bool_or(p.wrong OR a.time < l.started - {RESOLUTION} OR l.status <> 0 AND a.time > l.ended + {RESOLUTION}
                   OR p.event >= 0 AND a.id IN (FROM shared)) AS wrong,
           min(a.arrived - l.ended) AS latency, any_value(l.status) AS status
    FROM arrivals a JOIN ledger l USING (request)
         JOIN pair p ON p.expectation = l.expectation AND p.observation = a.observation
    WHERE a.verdict <= 2
    GROUP BY a.request, p.event),
billed AS (
    SELECT request, count(*) FILTER (event >= 0) AS events, bool_or(new_id) AS new_id, bool_or(wrong) AS wrong,
           bool_or(deliveries > 1) AS again, bool_or(latency > {LATE_AFTER}) AS late
    FROM event GROUP BY request),
classes AS (
    SELECT l.request, CASE
        WHEN e.events = 0 THEN if(b.request IS NULL, 'dropped_right', 'billed_though_dropped')
        WHEN l.status = 200 AND coalesce(b.events, 0) < e.events THEN 'missing'
        WHEN b.new_id THEN 'duplicated_new_id'
        WHEN b.wrong THEN 'wrong'
        WHEN b.again THEN 'duplicated_same_id'
        WHEN l.status = 200 THEN if(b.late, 'late', 'billed_once')
        ELSE if(b.request IS NULL, 'unknown_unbilled', 'unknown_billed') END AS class
    FROM ledger l LEFT JOIN billed b USING (request) JOIN expected e ON e.expectation = l.expectation)
SELECT class, count(*), min(request, 100), NULL FROM classes GROUP BY class
UNION ALL
SELECT 'latency', count(*), NULL, list_concat(quantile_disc(latency, [0.5, 0.9, 0.99]), [min(latency), max(latency)])
    FROM event WHERE event >= 0 AND status = 200
"""


def main() -> None:
    """Reconcile once and print what it took."""
    directory, how = Path(sys.argv[1]), sys.argv[2]
    clock, cpu, answers = _ours(directory) if how == "ours" else _duckdb(directory, int(how))
    run = {"clock": clock, "cpu": cpu, "megabytes": _highest_memory(), "answers": answers}
    sys.stdout.write(json.dumps(run) + "\n")


def _highest_memory() -> float:
    """Return the highest resident memory in MB. What getrusage says includes the parent's, from before exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _ours(directory: Path) -> tuple[float, float, dict[str, Any]]:
    from loadtests.reconciliation import reconcile

    clock, cpu = time.perf_counter(), time.process_time()
    result = reconcile(directory, LATE_AFTER)
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    named = {}
    for name, examples in result.examples.items():
        if name in result.classes:
            numbers = [parse(example.number, RUN) or (-1, -1) for example in examples]
            named[name] = [(worker << 32) + n for worker, n in numbers]
    latency = [result.latency[name] for name in ("p50", "p90", "p99", "min", "max")]
    return clock, cpu, _answers(result.classes, named, [*latency, result.histogram.get_total_count()])


def _duckdb(directory: Path, threads: int) -> tuple[float, float, dict[str, Any]]:
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {"threads": threads} if threads else {}
    database = duckdb.connect(directory / DATABASE, read_only=True, config=settings)
    clock, cpu = time.perf_counter(), time.process_time()
    found = database.execute(QUERY).fetchall()
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    classes = {name: count for name, count, _, _ in found if name != "latency"}
    named = {name: numbers for name, _, numbers, _ in found if name != "latency"}
    latency = next([*values, count] for name, count, _, values in found if name == "latency")
    return clock, cpu, _answers(classes, named, latency)


def _answers(classes: dict[str, int], named: dict[str, list[int]], latency: list[float]) -> dict[str, Any]:
    """Return what both must agree on: counts, the first 100 requests of each class of mistakes, latencies."""
    right = ("billed_once", "dropped_right", "rejected_unbilled")
    return {
        "classes": {name: count for name, count in sorted(classes.items()) if count},
        "named": {name: numbers for name, numbers in sorted(named.items()) if numbers and name not in right},
        "latency": latency,
    }


if __name__ == "__main__":
    main()
