"""``kong-metering capture replay``: send the captured batches again.

As they came, retries included; --accepted leaves out what was not answered with success. The token is read from an
environment variable. Exit code 1 when a request is not answered with success.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import click
import msgspec

from harness.capture.reader import CaptureReader
from harness.capture.replay import Sent, replay

from .capture_options import capture_option, reading
from .main import EXIT_WRONG, CannotContinue


@click.command(help=__doc__)
@capture_option
@click.option("--to", "url", required=True, metavar="URL", help="The whole URL of the ingest endpoint.")
@click.option("--token-env", metavar="NAME", help="Environment variable with the token or API key to send.")
@click.option("--ids", type=click.Choice(["same", "new"]), default="same", show_default=True, help="Events' ids.")
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="1 keeps the pauses, 10 makes them short.")
@click.option("--accepted", is_flag=True, help="Only requests that were answered with success.")
@click.option("--lane", multiple=True, help='Only this lane; "" is the one without a name.')
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(
    capture: Path,
    url: str,
    token_env: str | None,
    ids: str,
    speed: float | None,
    accepted: bool,
    lane: tuple[str, ...],
    as_json: bool,
) -> int:
    """Send every captured POST with events to ``url`` and print a line for each."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise click.UsageError("--to must be an http or https URL without a user")
    token = os.environ.get(token_env, "") if token_env is not None else None
    if token == "":
        raise CannotContinue(f"environment variable {token_env} is not set, or empty; --token-env names it")
    chosen = (
        (row.place, request)
        for row in CaptureReader(capture).rows()
        if (request := row.request()).method == "POST"
        and request.verdicts
        and (not lane or request.lane in lane)
        and (not accepted or (request.status is not None and 200 <= request.status < 300))
    )
    total = taken = 0
    with reading():
        for sent in replay(chosen, url, token, new_ids=ids == "new", speed=speed):
            total += 1
            taken += sent.taken
            click.echo(msgspec.json.encode(sent) if as_json else _line(sent))
    if not as_json:
        click.echo(f"{total} requests sent, {taken} answered with success")
    return 0 if taken == total else EXIT_WRONG


def _line(sent: Sent) -> str:
    number = f"{sent.lane}#{sent.request}"
    then = "no answer" if sent.status_then is None else str(sent.status_then)
    now = sent.problem or str(sent.status)
    return f"{number} {sent.entries} events: {now} (then {then})"
