"""``kong-metering capture query``: a capture asked in SQL; it is only read.

Tables: requests (place, lane, n, arrived_at, status, fault, entries, verdict …), events (request, position,
verdict, id, subject, type, time) and relayed (request, host, seconds, status, size, failure). Functions:
body(request), event(request, position), both JSON text:

  SELECT subject, count(*) FROM events WHERE verdict = 'accepted' GROUP BY subject
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click
import msgspec

from harness.capture.question import QuestionError, asked

from .capture_options import capture_option, reading
from .main import CannotContinue


@click.command(help=__doc__.replace("\n\n  SELECT", "\n\n\b\n  SELECT"))
@click.argument("sql")
@capture_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, one object for each row.")
def command(sql: str, capture: Path, as_json: bool) -> None:
    """Print the rows, tab-separated under a line with the columns' names."""
    try:
        with reading(), asked(capture, sql) as rows:
            names = [column[0] for column in rows.description or ()]
            if not as_json:
                click.echo("\t".join(names))
            for row in rows:
                if as_json:
                    values = [_document(value) for value in row]
                    click.echo(msgspec.json.encode(dict(zip(names, values, strict=True))))
                else:
                    click.echo("\t".join(_text(value) for value in row))
    except QuestionError as error:
        raise CannotContinue(f"query: {error}") from None


def _document(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = str(_document(value))
    return "".join(character if character.isprintable() else " " for character in text)
