"""The account of a run that locust made by itself: ``python -m loadtests.account DIRECTORY --capture FILE``.

DIRECTORY holds the run's ledgers and expectations, those of all workers, or several runs, of which the last is meant;
FILE is what the ingest endpoint captured.
Ends with 0 when every request was answered and billed as it must be and nothing else was, with 1 when not, or when
less was sent than asked for, with 2 when a file is missing or wrong.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from harness.plugin_config.sizing.quantities import duration_text, rate_text
from harness.targets.gateway_url import CLOCK_TOLERANCE
from loadtests.arrivals import ARRIVALS, arrivals_from_capture
from loadtests.expectations import Expectations
from loadtests.ledger import Ledger
from loadtests.plan import PLAN_FILE, LoadPlan
from loadtests.plugins.loaded_plugin import EntryForm
from loadtests.plugins.registry import DEFAULT_PLUGIN, LOADED_PLUGINS
from loadtests.reconciliation import MEANINGS, WRONG, Reconciliation, reconcile
from loadtests.sending import read_pace, unfinished
from loadtests.thresholds import Allowance, LeastRate

_WRONG = 1
_USAGE = 2
_MOST_NAMED = 5
_LEDGERS = "ledger-*.bin"
_T = TypeVar("_T")


class AccountError(ValueError):
    """There is nothing to account for. The message is one line."""


def last_run(directory: Path) -> Path:
    """Return ``directory`` if it holds a ledger, otherwise the directory in it whose ledger was made last."""
    if any(directory.glob(_LEDGERS)):
        return directory
    ledgers = sorted(directory.glob(f"*/{_LEDGERS}"), key=lambda path: path.stat().st_mtime)
    return ledgers[-1].parent if ledgers else directory


def account(
    directory: Path,
    capture: Path | None = None,
    late_after: float | None = None,
    clock_tolerance: float = CLOCK_TOLERANCE,
) -> Reconciliation:
    """Reconcile the run in ``directory`` with what ``capture`` says arrived.

    ``capture`` None: with the arrivals that are in the directory already. ``late_after`` is in seconds, and so is
    ``clock_tolerance``, how far the clocks of gateway and senders may be apart. Raises OSError or ValueError, with
    one line that says what is wrong.
    """
    there = (directory / ARRIVALS).exists()
    if capture is None:
        if not there:
            raise AccountError(f"{directory}: nothing says what arrived: give the ingest endpoint's --capture")
        return reconcile(directory, late_after, clock_tolerance)
    if there:
        raise AccountError(f"{directory}: holds arrivals already: leave out --capture to use them, or remove them")
    run, watched = Ledger.read(directory).run, Expectations.read(directory).watched()
    # In place only when all of it was read: half a capture would pass for events that never came.
    with tempfile.TemporaryDirectory(dir=directory) as made:
        arrivals_from_capture(capture, Path(made), run, watched, _form(directory))
        # The file whose presence says that there are arrivals comes last.
        for file in sorted(Path(made).iterdir(), key=lambda path: path.name == ARRIVALS):
            file.rename(directory / file.name)
    return reconcile(directory, late_after, clock_tolerance)


def _read(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Return ``parse`` for an option: what it says of a text that it cannot read is shown."""

    def read(text: str) -> _T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _seconds(text: str) -> float:
    """Return seconds as the command line has them. Raises ValueError."""
    seconds = float(text)
    if not 0 <= seconds < math.inf:
        raise ValueError(text)
    return seconds


def _form(directory: Path) -> EntryForm:
    """Return the form of what the run's plugin sends. Raises ValueError when the run's plan cannot be read."""
    plan = directory / PLAN_FILE
    return LOADED_PLUGINS[LoadPlan.read(plan).metering if plan.exists() else DEFAULT_PLUGIN].form


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the account; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.account", description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, metavar="DIRECTORY", help="directory of a run, or of runs")
    parser.add_argument("--capture", type=Path, metavar="FILE", help="what the ingest endpoint captured")
    parser.add_argument("--late-after", type=float, metavar="SECONDS", help="bound of the billing latency")
    parser.add_argument(
        "--clock-tolerance",
        type=_seconds,
        default=CLOCK_TOLERANCE,
        metavar="SECONDS",
        help="how far the clocks of gateway and senders may be apart (%(default)g)",
    )
    parser.add_argument(
        "--max-unanswered",
        type=_read(Allowance.parse),
        default=Allowance(),
        metavar="N|%%",
        help="requests not answered as expected (0)",
    )
    parser.add_argument(
        "--min-rate",
        type=_read(LeastRate.parse),
        metavar="N|%%",
        help="sent at least: requests a second, or a share of those due",
    )
    parser.add_argument("--json", action="store_true", help="print the account as one JSON object")
    options = parser.parse_args(arguments)
    try:
        directory = last_run(options.directory)
        found = account(directory, options.capture, options.late_after, options.clock_tolerance)
        sent = _Sent.of(directory, found.requests)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE
    reasons = [*_reasons(found), *_unmet(found, sent, options.max_unanswered, options.min_rate)]
    if options.json:
        sys.stdout.write(json.dumps({**found.to_json(), "sent": asdict(sent), "reasons": reasons}) + "\n")
    else:
        _print(found, directory, sent)
        if reasons:
            sys.stdout.write(f"not right: {'; '.join(reasons)}\n")
    return _WRONG if reasons else 0


@dataclass(frozen=True, slots=True)
class _Sent:
    """What was sent: requests a second over the whole run; requests ``due``, the longest time one was behind in
    seconds, and the share that was sent, None when not all workers have told."""

    requests: int
    rate: float | None
    due: int | None
    behind: float | None
    share: float | None

    @classmethod
    def of(cls, directory: Path, requests: int) -> _Sent:
        """Look into ledgers and paces. Raises LedgerError."""
        began, ended = Ledger.read(directory).span()
        rate = requests / (ended - began) if ended > began else None
        pace = read_pace(directory)
        if unfinished(directory) or pace.sent != requests:
            return cls(requests, rate, None, None, None)
        return cls(requests, rate, pace.asked, pace.behind, pace.share)

    def __str__(self) -> str:
        rate = "" if self.rate is None else f", {rate_text(self.rate)} a second"
        if self.due is None or self.behind is None:
            return f"{self.requests:,}{rate}; how many were due is not known: a worker did not end"
        return f"{self.requests:,} of {self.due:,} that were due, at most {duration_text(self.behind)} late{rate}"


def _print(found: Reconciliation, directory: Path, sent: _Sent) -> None:
    console = Console(width=None if sys.stdout.isatty() else 118, highlight=False, markup=False)
    table = Table("requests", "", "", box=None)
    for name, count in found.classes.items():
        if count:
            table.add_row(f"{count:,}", name.replace("_", " "), MEANINGS[name])
    console.print(f"Run {found.run}, in {directory}")
    console.print(table)
    console.print(f"sent      {sent}")
    if len(found.unanswered):
        by_status = ", ".join(f"{status or 'none'} {count:,}" for status, count in found.answers.items())
        console.print(f"answers   {len(found.unanswered):,} not as expected (by status: {by_status})")
    events = found.events
    console.print(f"events    {events.billed:,} billed of {events.due:,} that were due")
    if strangers := found.strangers.in_words():
        console.print(f"strangers {strangers}")
    if found.latency:
        parts = (f"{name} {duration_text(found.latency[name])}" for name in ("p50", "p99", "max"))
        console.print(f"latency   {', '.join(parts)}")
    for name in WRONG:
        for example in found.examples.get(name, ())[:_MOST_NAMED]:
            console.print(f"{name.replace('_', ' ')}: {example.number} ({example.expectation})")
        if (more := found.classes[name] - _MOST_NAMED) > 0:
            console.print(f"{name.replace('_', ' ')}: and {more:,} more")


def _reasons(found: Reconciliation) -> list[str]:
    """Return why the account is not right, in words."""
    reasons = [f"{name.replace('_', ' ')} {found.classes[name]:,}" for name in WRONG if found.classes[name]]
    if found.wrong_fields:
        fields = ", ".join(f"{path} {count:,}" for path, count in found.wrong_fields.items())
        reasons.append(f"wrong by field: {fields}")
    if found.strangers.billed_for_nothing:
        reasons.append(f"events that bill for no request: {found.strangers.billed_for_nothing:,}")
    return reasons


def _unmet(found: Reconciliation, sent: _Sent, allowed: Allowance, least: LeastRate | None) -> Iterator[str]:
    """Yield why the account proves too little, in words: answers and rate."""
    if len(found.unanswered) > allowed.of(found.requests):
        yield f"not answered as expected {len(found.unanswered):,} (--max-unanswered {allowed})"
    if found.billable and not found.events.due:
        yield "not a single event was due"
    verdict = None if least is None else least.judge(sent.rate, sent.share)
    if verdict is not None and not verdict.kept:
        yield f"{verdict.about} {verdict.seen} ({verdict.option} {verdict.limit})"


if __name__ == "__main__":
    sys.exit(main())
