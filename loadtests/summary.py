"""The report of a load on a terminal: what was sent, what became of it, what it means."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.plugin_config.sizing.quantities import duration_text, rate_text
from loadtests.classification import MEANINGS
from loadtests.report.comparison import Comparison
from loadtests.report.comparison_table import print_comparison
from loadtests.result import PAGE, REPORT, LoadReport

_RIGHT = ("billed_once", "dropped_right", "rejected_unbilled")
_MOST_NAMED = 5
#: Classes whose requests are named, for whoever wants to look one up in the capture.
_NAMED = ("duplicated_new_id", "billed_though_dropped")


def print_summary(
    report: LoadReport, directory: Path, comparison: Comparison | None = None, console: Console | None = None
) -> None:
    """Print the report, and what changed since an earlier run."""
    console = console or Console(width=None if sys.stdout.isatty() else 118, highlight=False, markup=False)
    console.print(_requests(report))
    console.print(_figures(report))
    if report.losses.lost or report.losses.prediction.high:
        console.print(_losses(report))
        console.print(report.losses.agreement)
    console.print(_verdicts(report))
    for line in _named(report):
        console.print(line)
    if comparison is not None:
        print_comparison(comparison, console)
    console.print(f"Report: {directory / PAGE}, {REPORT}", style="dim")


def _requests(report: LoadReport) -> Table:
    table = _table("Requests", "", "")
    for name, count in report.found.classes.items():
        if count or name == "billed_once":
            style = None if name in _RIGHT else "yellow" if name in ("late", "duplicated_same_id") else "red"
            table.add_row(f"{count:,}", name.replace("_", " "), MEANINGS[name], style=style)
    return table


def _figures(report: LoadReport) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, text in _facts(report):
        table.add_row(name, text)
    return table


def _facts(report: LoadReport) -> Iterator[tuple[str, str]]:
    observed, found, where = report.observed, report.found, report.surroundings
    asked = "as fast as it goes" if report.plan.rate == 0 else f"{rate_text(report.plan.rate)} a second asked"
    yield "gateway", f"{where.target}, version {where.gateway_version}"
    yield "requests", f"{found.requests:,}: {asked}, {rate_text(report.achieved_rate)} achieved"
    if report.pace.asked:
        kept = f"{report.pace.sent:,} of {report.pace.asked:,} that were due"
        yield "sent", f"{kept}, at most {duration_text(report.pace.behind)} late"
    if len(found.unanswered):
        during = len(found.unanswered) - report.unanswered
        more = f", {during:,} of them during a restart" if during else ""
        yield "unanswered", f"{len(found.unanswered):,} not answered as expected{more}"
    discarded = found.events.missing_discarded
    told = f"; {discarded:,} of them discarded, because another event has their id" if discarded else ""
    yield "events", f"{found.events.billed:,} billed of {found.events.due:,} that were due{told}"
    if strangers := found.strangers.in_words():
        yield "strangers", f"events of no request: {strangers}"
    if found.latency:
        parts = [f"{name} {duration_text(found.latency[name])}" for name in ("p50", "p99", "max")]
        bound = f"bound of the queue settings: {duration_text(report.bound)}"
        yield "billing latency", f"{', '.join(parts)} ({bound}; {found.events.late:,} later)"
    sizes = {size: count for size, count in found.deliveries.sizes.items() if size}
    if sizes:
        mean = sum(size * count for size, count in sizes.items()) / sum(sizes.values())
        failed = sum(count for status, count in found.deliveries.by_status.items() if not 200 <= status < 300)
        batches = f"{found.deliveries.requests:,} POSTs, {failed:,} of them failed"
        yield "batches", f"{batches}; {mean:.1f} events each, at most {max(sizes):,}"
    for fault in observed.faults:
        words = fault.to_json()["about"]
        yield "fault", f"{words}, {_when(report, fault.began_at, fault.ended_at)}"
    for restart in observed.restarts:
        yield "restart", f"{restart.how}, {_when(report, restart.began_at, restart.ended_at)}"
    if not observed.drained:
        waiting = "" if observed.waiting is None else f", {observed.waiting:,} events waiting"
        yield "not drained", f"the queues were not empty when the wait was over{waiting}: see --drain"
    if report.overhead is not None and report.overhead.increase:
        pairs = zip(("p50", "p90", "p99"), report.overhead.increase, strict=True)
        yield "while ingest hangs", "clients waited longer by " + ", ".join(f"{n} {x * 100:+.1f}%" for n, x in pairs)


def _losses(report: LoadReport) -> Table:
    table = _table("Lost events", "rule", "why", "predicted")
    for row in report.losses.rows:
        table.add_row(f"{row.seen:,}", row.rule, row.about, f"{row.low:,} – {row.high:,}")
    if report.losses.not_allowed:
        table.add_row(f"{report.losses.not_allowed:,}", "none", "no rule allows it", "", style="red")
    return table


def _verdicts(report: LoadReport) -> Table:
    table = _table("Seen", "limit", "", "")
    for verdict in report.verdicts:
        style = "green" if verdict.kept else "red"
        table.add_row(verdict.seen, verdict.limit, verdict.about, "kept" if verdict.kept else "broken", style=style)
    return table


def _named(report: LoadReport) -> Iterator[str]:
    found, bad = report.found, set(report.not_allowed)
    missing = [example.number for example in found.examples.get("missing", ())]
    yield from _line("missing, and no rule allows it", report.not_allowed, report.requests_not_allowed)
    allowed = [number for number in missing if number not in bad]
    yield from _line("missing, as a rule allows", allowed, found.classes["missing"] - report.requests_not_allowed)
    for name in _NAMED:
        numbers = [example.number for example in found.examples.get(name, ())]
        yield from _line(name.replace("_", " "), numbers, found.classes[name])
    yield from _wrong(report)


def _wrong(report: LoadReport) -> Iterator[str]:
    """Yield what was wrong: the subject, and each field by its path, with events counted and requests named."""
    wrong = report.found.examples.get("wrong", ())
    for path, count in report.found.wrong_fields.items():
        numbers = [
            example.number
            for example in wrong
            if any(mismatch.path == path for event in example.arrivals for mismatch in event.wrong)
        ]
        what = "wrong subject" if path == "subject" else f"wrong field {path}"
        yield f"{what}, events: {count:,}{f' ({_some(numbers)})' if numbers else ''}"
    numbers = [example.number for example in wrong if not any(event.wrong for event in example.arrivals)]
    if numbers:
        yield f"wrong, an event that was not expected: {_some(numbers)}"


def _line(what: str, numbers: Sequence[str], count: int) -> Iterator[str]:
    if numbers:
        more = count - min(len(numbers), _MOST_NAMED)
        shown = ", ".join(numbers[:_MOST_NAMED])
        yield f"{what}: {shown}{f' and {more:,} more' if more > 0 else ''}"


def _some(numbers: Sequence[str]) -> str:
    return ", ".join(numbers[:_MOST_NAMED]) + (" …" if len(numbers) > _MOST_NAMED else "")


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(first, justify="right", no_wrap=True)
    for other in others:
        table.add_column(other)
    return table


def _when(report: LoadReport, began: float, ended: float) -> str:
    start = report.observed.began_at
    return f"from {began - start:.1f} s to {ended - start:.1f} s"
