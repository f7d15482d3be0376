"""``kong-metering compare``: the same traffic through both metering plugins, and why they bill it differently.

Without arguments it compares a sample of traffic. Deliveries are simulated in virtual time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console

from harness.comparison.comparison import Comparison, compare
from harness.comparison.instance import Instance, instance_of
from harness.comparison.load import OUTAGE_KINDS, Load, Outage, OutageKind, as_recorded, at_rate
from harness.comparison.reports import html_page, json_report, markdown, print_report
from harness.comparison.sources import Found, plugins_of_files, plugins_of_intent
from harness.resources import fixtures
from plugin_emulator.exchange import Exchange
from plugin_emulator.gateway_versions import GATEWAY_VERSIONS, NEWEST_GATEWAY
from plugin_emulator.metering_plugins import plugin_options

from .durations import Duration, seconds
from .json_lines import output_file, read_lines
from .main import EXIT_WRONG, CannotContinue
from .plugin_options import read_plugin_options
from .simulate import FiniteRange

#: More requests than these are not simulated: each is remembered.
_MOST_REQUESTS = 1_000_000
#: How the sample is delivered unless options say otherwise: requests a second, for how long, and the outage.
_SAMPLE_RATE, _SAMPLE_DURATION, _SAMPLE_OUTAGE = 20.0, 600.0, Outage(120, 120)


@click.command(help=__doc__)
@click.argument("exchanges", required=False, metavar="[EXCHANGES]")
@click.option(
    "--config",
    "configs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Files with one plugin of each kind among them, in any format that config validate reads.",
)
@click.option(
    "--intent",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="One intent that configures both (docs/config.md).",
)
@click.option("--gateway", type=click.Choice(GATEWAY_VERSIONS), default=NEWEST_GATEWAY, show_default=True)
@click.option(
    "--plugin-option",
    "options",
    multiple=True,
    metavar="PLUGIN.NAME=VALUE",
    help="How a plugin is emulated, e.g. amberflo.client=later.",
)
@click.option(
    "--rate",
    type=FiniteRange(min=0, max=1e5, min_open=True),
    help="Deliver the requests over and over at so many a second; otherwise each once, at its own time.",
)
@click.option("--duration", type=Duration(min_open=True), help="For how long (default 10m).")
@click.option("--rtt", type=Duration(), default=0.05, help="How long one POST takes (default 50ms).")
@click.option(
    "--outage",
    "outages",
    multiple=True,
    metavar="START:LENGTH[:KIND]",
    help=f"The ingest endpoint is out of order, e.g. 2m:10m; KIND is one of {', '.join(OUTAGE_KINDS)}.",
)
@click.option("--seed", type=int, default=0, help="Decides the waits that a client draws by lot (default 0).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with every request.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a page.")
@click.option("--markdown", "as_markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write Markdown.")
@click.option("--fail-on-difference", is_flag=True, help="Exit with 1 when a request is billed differently.")
def command(
    exchanges: str | None,
    configs: tuple[Path, ...],
    intent: Path | None,
    gateway: str,
    options: tuple[str, ...],
    rate: float | None,
    duration: float | None,
    rtt: float,
    outages: tuple[str, ...],
    seed: int,
    as_json: bool,
    html: Path | None,
    as_markdown: Path | None,
    fail_on_difference: bool,
) -> int:
    """Compare what the plugins bill of EXCHANGES (JSON lines as for ``events``; ``-`` for standard input)."""
    if configs and intent:
        raise click.UsageError("give either --config or --intent")
    if rate is None and duration is not None and exchanges is not None:
        raise click.UsageError("--duration goes with --rate")
    found, notes = _plugins(configs, intent)
    instances = _instances(found, gateway, options, seed)
    requests = _exchanges(exchanges)
    load = _load(requests, exchanges is None, rate, duration, rtt, outages, seed)
    comparison = compare(instances, requests, load, notes)
    _write(comparison, gateway, as_json, html, as_markdown)
    return EXIT_WRONG if fail_on_difference and comparison.differing else 0


def _plugins(configs: tuple[Path, ...], intent: Path | None) -> tuple[list[Found], list[str]]:
    if intent is not None:
        return plugins_of_intent(intent)
    return plugins_of_files(configs or (fixtures() / "comparison" / "kong.yaml",)), []


def _instances(
    found: Sequence[Found], gateway: str, options: tuple[str, ...], seed: int
) -> tuple[Instance, Instance]:
    known = plugin_options(read_plugin_options(options))
    first, second = (instance_of(plugin, kind, gateway, known, seed) for plugin, kind in found)
    return first, second


def _exchanges(source: str | None) -> list[Exchange]:
    source = source or str(fixtures() / "comparison" / "exchanges.jsonl")
    requests = list(read_lines(source, "an exchange", msgspec.json.Decoder(Exchange)))
    if not requests:
        raise CannotContinue(f"{source}: has no exchange in it")
    if len(requests) > _MOST_REQUESTS:
        raise CannotContinue(f"{source}: has more than {_MOST_REQUESTS:,} exchanges: compare it in parts")
    return requests


def _load(
    requests: Sequence[Exchange],
    is_sample: bool,
    rate: float | None,
    duration: float | None,
    rtt: float,
    outages: tuple[str, ...],
    seed: int,
) -> Load:
    """Return the load to deliver; that of the sample has a rate and an outage unless some are given."""
    asked = tuple(_outage(text) for text in outages)
    if is_sample and rate is None:
        rate = _SAMPLE_RATE
        asked = asked or (_SAMPLE_OUTAGE,)
    if rate is None:
        return Load(as_recorded(requests), rtt, asked, seed)
    lasts = _SAMPLE_DURATION if duration is None else duration
    if rate * lasts > _MOST_REQUESTS:
        raise click.UsageError(f"--rate times --duration: no more than {_MOST_REQUESTS:,} requests are simulated")
    return Load(at_rate(requests, rate, lasts), rtt, asked, seed)


def _outage(text: str) -> Outage:
    start, _, rest = text.partition(":")
    length, _, name = rest.partition(":")
    kind: OutageKind | None = next((each for each in OUTAGE_KINDS if each == (name or "refuse")), None)
    try:
        outage = Outage(seconds(start), seconds(length), kind or "refuse")
        if kind is None or not outage.length:
            raise ValueError
    except ValueError:
        kinds = ", ".join(OUTAGE_KINDS)
        form = f"write START:LENGTH or START:LENGTH:KIND, e.g. 2m:10m:hang ({kinds})"
        raise click.UsageError(f"--outage {text!r}: {form}") from None
    return outage


def _write(comparison: Comparison, gateway: str, as_json: bool, html: Path | None, as_markdown: Path | None) -> None:
    for path, text in ((html, html_page), (as_markdown, markdown)):
        if path is not None:
            with output_file(str(path)) as file:
                file.write(text(comparison).encode("utf-8", "backslashreplace"))
    if as_json:
        click.echo(json.dumps(json_report(comparison, gateway), indent=2))
    else:
        print_report(comparison, Console())
