"""``kong-metering simulate``: the plugin's queue in virtual time."""

from __future__ import annotations

import math
from typing import Any

import click
import msgspec

from plugin_emulator.metering_plugins import ScheduleDecoder
from plugin_emulator.queue import QueueSettings
from plugin_emulator.runtime.outage import Outage, Steady, Summary, run_steady

from .json_lines import answer_lines, output_file, what_is_wrong


class FiniteRange(click.FloatRange):
    """A number in a range; ``nan`` and ``inf``, which click takes for numbers, are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return ``value`` as a float. Fails as click's own types do."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


@click.command(help=__doc__)
@click.option("--schedules", metavar="FILE", help="Schedules as JSON lines, one trace out for each; - for stdin.")
@click.option("-o", "--output", default="-", metavar="FILE", help="Where to write; - for stdout (the default).")
@click.option("--rate", type=FiniteRange(min=0, max=1e6, min_open=True), help="Events per second, evenly spaced.")
@click.option("--duration", type=FiniteRange(min=0, max=1e8, min_open=True), default=60.0, help="Seconds of traffic.")
@click.option("--rtt", type=FiniteRange(min=0), default=0.05, help="Seconds one POST takes (default 0.05).")
@click.option("--entry-bytes", type=click.IntRange(min=0), default=700, help="Bytes of one serialised event.")
@click.option("--outage", "outages", multiple=True, metavar="START:LENGTH", help="Ingest answers 503; in seconds.")
@click.option("-q", "--queue", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of config.queue.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def command(
    schedules: str | None,
    output: str,
    rate: float | None,
    duration: float,
    rtt: float,
    entry_bytes: int,
    outages: tuple[str, ...],
    settings: tuple[str, ...],
    as_json: bool,
) -> int:
    """Run schedules, or steady traffic with outages."""
    if (schedules is None) == (rate is None):
        raise click.UsageError("give either --schedules FILE or --rate EVENTS_PER_SECOND")
    if schedules is not None:
        if settings or outages:
            raise click.UsageError("--queue and --outage go with --rate; a schedule brings its own")
        answer_lines(schedules, output, "a schedule", ScheduleDecoder(), lambda one: one[0].trace(one[1]))
        return 0
    assert rate is not None
    steady = Steady(rate, duration, entry_bytes, rtt, tuple(_outage(text) for text in outages))
    summary = run_steady(_queue_settings(settings), steady)
    text = msgspec.json.encode(summary).decode() if as_json else _summary_text(summary)
    with output_file(output) as file:
        file.write(text.encode() + b"\n")
    return 0


def _queue_settings(pairs: tuple[str, ...]) -> QueueSettings:
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"--queue {pair!r}: write NAME=VALUE, e.g. max_batch_size=100")
        values[name.strip().removeprefix("queue.")] = value.strip()
    try:
        return msgspec.convert(values, QueueSettings, strict=False)
    except msgspec.ValidationError as error:
        raise click.UsageError(f"--queue: {what_is_wrong(error)}") from None


def _outage(text: str) -> Outage:
    start, colon, length = text.partition(":")
    try:
        if not colon:
            raise ValueError
        outage = Outage(float(start), float(length))
        if not (0 <= outage.start < math.inf and outage.length > 0):
            raise ValueError
    except ValueError:
        raise click.UsageError(f"--outage {text!r}: write START:LENGTH in seconds, e.g. 300:60") from None
    return outage


def _summary_text(summary: Summary) -> str:
    lost = ", ".join(f"{count:,} {reason}" for reason, count in sorted(summary.lost.items())) or "none"
    return (
        f"arrived   {summary.arrived:,}\n"
        f"delivered {summary.delivered:,} in {summary.posts:,} POSTs ({summary.failed_posts:,} failed)\n"
        f"lost      {lost}\n"
        f"waiting   at most {summary.peak_entries:,} entries\n"
        f"delay     mean {summary.mean_delay:.3f} s, at most {summary.max_delay:.3f} s\n"
        f"ended at  {summary.ended_at:.3f} s"
    )
