"""``kong-metering explain``: why a request was billed or not, from a gateway's journal."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click
import orjson

from harness.cli.main import CannotContinue
from harness.journal.explain import UnknownId, explain, explain_last, last_request, not_billed, what_is_gone
from harness.journal.explanation import Explanation, line_of, named
from harness.journal.file import JournalError
from harness.journal.wording import printable


@click.command()
@click.option(
    "--journal",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What kong-metering gateway --journal wrote, or is writing.",
)
@click.option(
    "--capture",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also ask the ingest endpoint: what kong-metering ingest captured.",
)
@click.argument("request", required=False, metavar="[ID]")
@click.option("--last", is_flag=True, help="The request that ended last.")
@click.option(
    "--not-billed", "unbilled", is_flag=True, help="Every request that is not billed, or not yet: a line each."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(
    journal: Path, capture: Path | None, request: str | None, last: bool, unbilled: bool, as_json: bool
) -> None:
    """Explain why a request was billed or not.

    ID is the request's, as in its answer's X-Kong-Request-Id, or one of its events', or the first 8 characters or
    more of one. The first line is the cause with the rule behind it; then the steps that led there, in seconds since
    the request began. With --capture the ingest endpoint's side is told beside the gateway's, as by kong-metering
    capture explain.
    """
    if (request is not None) + last + unbilled > 1:
        raise click.UsageError("an ID, --last and --not-billed exclude each other: give one of them")
    if request is None and not last and not unbilled:
        raise click.UsageError("give an ID, or --last, or --not-billed")
    if request is not None:
        request = request.encode("utf-8", "replace").decode()  # an argument may hold bytes that are no text
    if capture is not None and unbilled:
        raise click.UsageError("--capture goes with an ID or --last, not with --not-billed")
    now = time.time()
    try:
        if unbilled:
            for each in not_billed(journal, now):
                _print_json(each) if as_json else click.echo(printable(f"{each.request}  {each.line}"))
            return
        if capture is not None:
            _from_both_sides(capture, journal, last_request(journal) if request is None else request, as_json=as_json)
            return
        explanation = explain_last(journal, now) if request is None else explain(journal, request, now)
    except (JournalError, UnknownId) as error:
        raise CannotContinue(str(error)) from None
    _print_json(explanation) if as_json else _print(explanation)


def _from_both_sides(capture: Path, journal: Path, key: str, *, as_json: bool) -> None:
    from harness.cli.investigation import investigated, print_investigation

    found = investigated(capture, journal, key)
    if not found.accounts:
        raise UnknownId(f"{journal}, {capture}: nothing is known of {found.key!r}{what_is_gone(journal)}")
    print_investigation(found, as_json=as_json)


def _print(explanation: Explanation) -> None:
    click.echo(printable(explanation.line))
    for other in explanation.plugins[1:]:
        click.echo(printable(f"  also: {line_of(other.outcome, named(other.plugin, other.cause), other.rule)}"))
    began = explanation.steps[0].at if explanation.steps else 0.0
    click.echo(f"request {explanation.request}, {datetime.fromtimestamp(began).isoformat(' ', 'milliseconds')}")
    for step in explanation.steps:
        click.echo(printable(f"  +{step.at - began:.3f}  {step.text}"))


def _print_json(explanation: Explanation) -> None:
    sys.stdout.write(orjson.dumps(asdict(explanation)).decode() + "\n")
