"""``kong-metering capture explain``: the life of one event, or of all that came of one request.

KEY is an event's id, or any value that an event carries, such as a request id kept as an attribute. With the
gateway's journal it may be a request's id (X-Kong-Request-Id), too, and both sides are told in one account: what the
request matched, why it made no event or which, each try, and what the ingest endpoint made of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from harness.capture.life import Delivery, Life, lives
from harness.capture.reader import CaptureReader
from harness.capture.verdict import Finding
from harness.journal.explain import what_is_gone
from harness.journal.file import JournalError
from harness.journal.key import keys_of
from harness.journal.wording import printable

from .capture_options import capture_option, clock, reading
from .investigation import investigated, print_investigation
from .main import EXIT_WRONG, CannotContinue

_MOST = 20


@click.command(help=__doc__)
@click.argument("key")
@capture_option
@click.option(
    "--journal",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also ask the gateway: what kong-metering gateway --journal wrote, or is writing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(key: str, capture: Path, journal: Path | None, as_json: bool) -> int:
    """Print each life that ``key`` names; exit code 1 when there is none."""
    key = key.encode("utf-8", "replace").decode()  # an argument may hold bytes that are no text
    if journal is not None:
        return _from_both_sides(capture, journal, key, as_json=as_json)
    with reading():
        reader = CaptureReader(capture)
        keys = keys_of(key)
        found = next((known for each in keys if (known := lives(reader, each))), [])
    if as_json:
        documents = [{**msgspec.to_builtins(life), "conclusion": life.conclusion()} for life in found]
        click.echo(msgspec.json.encode({"key": key, "entries": documents}))
        return 0 if found else EXIT_WRONG
    if not found:
        click.echo(
            f"{capture}: no event in it has the id {keys[0]!r}, or carries that value; what became of a request "
            "(X-Kong-Request-Id) the gateway's journal knows: give it with --journal"
        )
        return EXIT_WRONG
    for life in found[:_MOST]:
        for line in _lines(life):
            click.echo(printable(line))
    if len(found) > _MOST:
        click.echo(f"{len(found) - _MOST} more events carry that value; --json has them all")
    return 0


def _from_both_sides(capture: Path, journal: Path, key: str, *, as_json: bool) -> int:
    found = investigated(capture, journal, key)
    if found.accounts or as_json:
        print_investigation(found, as_json=as_json)
    else:
        click.echo(
            f"{journal}, {capture}: nothing is known of {found.key!r}: no request or event has that id or carries it"
            f"{_gone(journal)}"
        )
    return 0 if found.accounts else EXIT_WRONG


def _gone(journal: Path) -> str:
    try:
        return what_is_gone(journal)
    except JournalError as error:
        raise CannotContinue(str(error)) from None


def _lines(life: Life) -> Iterator[str]:
    yield f"event {life.id or '(without id)'}: {life.conclusion()}"
    yield f"  {msgspec.json.encode(life.entry).decode()}"
    before: tuple[Finding, ...] = ()
    for number, one in enumerate(life.deliveries, 1):
        yield f"  {number}. {_told(one)}"
        findings = (*one.findings, *one.request_findings)
        if findings and findings == before:
            yield "     the same findings"
            continue
        before = findings
        for finding in findings:
            place = f" {finding.pointer}" if finding.pointer else ""
            yield f"     {finding.rule}{place}: {finding.message}"


def _told(one: Delivery) -> str:
    wait = "" if one.wait is None else f" (+{one.wait:.3f} s)"
    answer = "no answer" if one.status is None else f"answered {one.status}"
    fault = f" [{one.fault}]" if one.fault else ""
    batch = f"event {one.position + 1} of {one.entries}"
    relayed = "" if one.relayed is None else f" ({one.relayed.words()})"
    differs = f", but not the same: {', '.join(one.differs)}" if one.differs else ""
    request = f"request {one.lane}#{one.request}"
    return f"{clock(one.at)}{wait}  {request}, {batch}: {answer}{fault}{relayed}, {one.verdict}{differs}"
