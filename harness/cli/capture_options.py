"""The options that the verbs on captures share: which file, and which of its events."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from harness.capture.errors import CaptureError, CaptureFormatError
from harness.capture.selection import Selection

from .main import CannotContinue

DEFAULT = Path("ingest.capture")


def capture_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--capture``; the command gets ``capture``, a path."""
    return click.option(
        "--capture",
        type=click.Path(dir_okay=False, path_type=Path),
        default=DEFAULT,
        show_default=True,
        help="The capture file.",
    )(command)


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """An option that takes a point in time, RFC 3339 or seconds since the epoch, and gives the latter as a float.

    A time without a zone is in UTC.
    """

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return ``value`` in seconds since the epoch. Fails as click's types do."""
        try:
            return float(value)
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time: write e.g. 2026-05-04T10:00:00Z.", param, ctx)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the filters; the command gets ``selection``."""

    @functools.wraps(command)
    def wrapped(
        subject: tuple[str, ...],
        kind: tuple[str, ...],
        id_: tuple[str, ...],
        lane: tuple[str, ...],
        since: float | None,
        until: float | None,
        invalid: bool,
        duplicate: bool,
        refused: bool,
        accepted: bool,
        **others: Any,
    ) -> Any:
        flags = {"invalid": invalid, "duplicate": duplicate, "refused": refused, "accepted": accepted}
        verdicts = tuple(name for name, given in flags.items() if given)
        return command(selection=Selection(subject, kind, id_, lane, verdicts, since, until), **others)

    options = [
        click.option("--subject", multiple=True, help="Only events of this subject (a record's customer)."),
        click.option("--type", "kind", multiple=True, help="Only events of this type (a record's meter)."),
        click.option("--id", "id_", multiple=True, help="Only the event with this id."),
        click.option("--lane", multiple=True, help='Only this lane; "" is the one without a name.'),
        click.option("--since", type=Moment(), help="Only what arrived at or after this time."),
        click.option("--until", type=Moment(), help="Only what arrived before this time."),
        click.option("--invalid", is_flag=True, help="Only invalid events."),
        click.option("--duplicate", is_flag=True, help="Only duplicates."),
        click.option("--refused", is_flag=True, help="Only events of requests that were not answered with success."),
        click.option("--accepted", is_flag=True, help="Only events that were accepted."),
    ]
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


@contextmanager
def reading() -> Iterator[None]:
    """Turn what is wrong with a capture into CannotContinue."""
    try:
        yield
    except (CaptureError, CaptureFormatError) as error:
        raise CannotContinue(str(error)) from None


def clock(seconds: float) -> str:
    """Return a time since the epoch in RFC 3339, UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
