"""Run the benchmarks and print a table; exit 1 when a ratio is over its limit."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from . import highest_rate, ingest, journal, reconcile, recording, users
from .gateway import costs
from .ingest_memory import growth
from .measure import Comparison
from .pipeline import build, deliver

BENCHMARKS: dict[str, Callable[[], list[Comparison]]] = {
    "build": build,
    "deliver": deliver,
    "gateway": costs,
    "highest-rate": highest_rate.costs,
    "ingest": ingest.costs,
    "ingest-memory": growth,
    "journal": journal.costs,
    "reconcile": reconcile.costs,
    "recording": recording.costs,
    "users": users.costs,
}


def main() -> int:
    """Run the named benchmarks, all by default."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or more of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", action="store_true", help="print the comparisons as JSON")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark named {unknown[0]!r}; known are {', '.join(BENCHMARKS)}")
    console = Console(stderr=True)
    results: list[Comparison] = []
    for name in arguments.names or BENCHMARKS:
        with console.status(f"benchmark {name}"):
            results += BENCHMARKS[name]()
    if arguments.json:
        sys.stdout.write(json.dumps([{**asdict(result), "ok": result.ok} for result in results], indent=2) + "\n")
    else:
        Console().print(_table(results))
    return 0 if all(result.ok for result in results) else 1


def _table(results: list[Comparison]) -> Table:
    table = Table("what", "cost", "against", "cost ", "unit", "ratio", "limit", "")
    for result in results:
        row = (result.name, f"{result.cost:.1f}", result.against, f"{result.reference:.1f}", result.unit)
        table.add_row(*row, f"{result.ratio:.2f}", f"{result.limit:.2f}", "ok" if result.ok else "over")
    return table


if __name__ == "__main__":
    sys.exit(main())
