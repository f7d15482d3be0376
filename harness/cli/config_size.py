"""``kong-metering config size``: queue settings that lose nothing, found and proven in virtual time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from harness.plugin_config.config_file import FoundPlugin
from harness.plugin_config.entity import MixedText, Reference, Value
from harness.plugin_config.reading import read_config_file
from harness.plugin_config.sizing import OutageKind, TooMuchToSimulate, Workload, advise
from harness.plugin_config.sizing.report import report_json, report_text
from harness.plugin_config.validation import Validated, validate
from plugin_emulator.documents import InvalidDocument, Pointer, Problem
from plugin_emulator.metering_and_billing.config import (
    GATEWAY_VERSIONS,
    NEWEST_GATEWAY,
    PLUGIN_NAME,
    MeteringConfig,
    load_config,
)

from .durations import Duration
from .json_lines import output_file
from .main import EXIT_WRONG, CannotContinue
from .simulate import FiniteRange

_PLOT_FORMATS = ("png", "svg", "pdf")
_EVERY_KIND = "worst"
_KINDS = (*(kind.value for kind in OutageKind), _EVERY_KIND)
#: The values a configuration needs that have no bearing on its queue.
_STAND_IN = {"ingest_endpoint": "http://127.0.0.1/", "api_token": "{vault://env/token}"}


#: Seconds. What waits through a longer outage is in memory all the while, and the simulation would take minutes.
LONGEST_OUTAGE = 24 * 3600.0
_OUTAGE = Duration(min_open=True, longest=LONGEST_OUTAGE)


@click.command(help=__doc__)
@click.option("--rps", type=FiniteRange(min=0, max=1e7, min_open=True), required=True, help="Usage events a second.")
@click.option("--rtt", type=Duration(), required=True, help="How long a POST takes, e.g. 50ms.")
@click.option("--outage", type=_OUTAGE, required=True, help="Its length, e.g. 10m; at most 24h.")
@click.option("--outage-kind", type=click.Choice(_KINDS), default=_EVERY_KIND, help="How POSTs fail.")
@click.option("--event-bytes", type=click.IntRange(min=1), default=700, help="Bytes of a serialised event (700).")
@click.option("--workers", type=click.IntRange(min=1, max=100_000), default=1, help="Workers, each with a queue (1).")
@click.option("--delay-budget", type=Duration(min_open=True), help="Longest delay of an event outside of an outage.")
@click.option("--timeout", type=Duration(min_open=True), help="The plugin's config.timeout (10s).")
@click.option("-q", "--queue", "pairs", multiple=True, metavar="NAME=VALUE", help="A parameter of config.queue.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="File to take queue and timeout from.")
@click.option("--instance", metavar="NAME", help="instance_name of the plugin in that file.")
@click.option("--gateway", type=click.Choice(GATEWAY_VERSIONS), default=NEWEST_GATEWAY, help="Gateway version.")
@click.option("--plot", "plot_path", metavar="FILE", help="Draw the backlog: FILE.png, FILE.svg or FILE.pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("-o", "--output", default="-", metavar="FILE", help="Where to write; - for stdout (the default).")
def command(
    rps: float,
    rtt: float,
    outage: float,
    outage_kind: str,
    event_bytes: int,
    workers: int,
    delay_budget: float | None,
    timeout: float | None,
    pairs: tuple[str, ...],
    config_path: Path | None,
    instance: str | None,
    gateway: str,
    plot_path: str | None,
    as_json: bool,
    output: str,
) -> int:
    """Size the queue: exit 0 when the given settings lose nothing, 1 when they lose events or exceed the delay."""
    if instance is not None and config_path is None:
        raise click.UsageError("--instance goes with --config FILE")
    plot_format = None if plot_path is None else _plot_format(plot_path)
    given = _given(_plugin(config_path, instance, gateway) if config_path else None, pairs, gateway)
    workload = Workload(
        rps=rps,
        rtt=rtt,
        outage=outage,
        workers=workers,
        event_bytes=event_bytes,
        timeout=given.timeout / 1000 if timeout is None else timeout,
        kinds=tuple(OutageKind) if outage_kind == _EVERY_KIND else (OutageKind(outage_kind),),
        delay_budget=delay_budget,
    )
    try:
        with _progress() as on_run:
            advice = advise(given.queue, workload, on_run)
    except TooMuchToSimulate as reason:
        raise CannotContinue(f"too much to simulate: {reason}") from None
    except ValueError as reason:
        raise CannotContinue(str(reason)) from None
    text = json.dumps(report_json(advice, gateway), indent=2) + "\n" if as_json else report_text(advice, gateway)
    if plot_path is not None and plot_format is not None:
        from harness.plugin_config.sizing.plot import plot  # matplotlib takes longer to import than most runs

        with output_file(plot_path) as file:
            file.write(plot(advice, plot_format))
    with output_file(output) as file:
        file.write(text.encode())
    return 0 if advice.given_is_enough else EXIT_WRONG


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being simulated; elsewhere, nothing."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda about: None
        return
    with console.status("simulating") as status:
        yield lambda about: status.update(f"simulating: {about}")


def _plot_format(path: str) -> str:
    ending = Path(path).suffix.removeprefix(".").lower()
    if ending not in _PLOT_FORMATS:
        raise click.UsageError("--plot: end the file's name in .png, .svg or .pdf")
    return ending


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The plugin of a file, and what of its configuration matters here."""

    plugin: FoundPlugin
    problems: tuple[Problem, ...]
    queue: dict[str, Value]
    timeout: Value


def _plugin(path: Path, instance: str | None, gateway: str) -> _Chosen:
    """Return the metering plugin of a file. Raises InvalidDocument and CannotContinue."""
    found = [each for each in validate(read_config_file(path), gateway) if each.kind.name == PLUGIN_NAME]
    if instance is not None:
        found = [each for each in found if each.plugin.data.get("instance_name") == instance]
    named = f" with the instance_name {instance!r}" if instance is not None else ""
    if not found:
        raise CannotContinue(f"{path}: has no {PLUGIN_NAME} plugin{named}")
    if len(found) > 1:
        which = f"{len(found)} {PLUGIN_NAME} plugins{named} ({', '.join(_place(each) for each in found)})"
        raise CannotContinue(f"{path}: has {which}: choose by --instance NAME")
    return _chosen(found[0])


def _place(each: Validated) -> str:
    name = each.plugin.data.get("instance_name")
    return f"line {each.plugin.line()}{f' {name}' if isinstance(name, str) else ''}"


def _chosen(found: Validated) -> _Chosen:
    plugin = found.plugin
    config = plugin.data.get("config")
    queue = config.get("queue") if isinstance(config, dict) else config
    if isinstance(queue, (Reference, MixedText)):
        hint = "give the settings with -q NAME=VALUE instead of --config"
        raise InvalidDocument([plugin.located(Problem("is known only where it is applied", ("config",), hint))])
    timeout = config.get("timeout") if isinstance(config, dict) else None
    return _Chosen(plugin, found.problems, queue if isinstance(queue, dict) else {}, timeout)


def _given(chosen: _Chosen | None, pairs: tuple[str, ...], gateway: str) -> MeteringConfig:
    """Return the settings of the file with those of the command line over them, checked for the gateway version."""
    typed = dict(_typed(pair) for pair in pairs)
    config: dict[str, Any] = dict(_STAND_IN)
    if chosen is not None:
        _check_file(chosen, set(typed))
        config["queue"] = {**chosen.queue, **typed}
        if chosen.timeout is not None:
            config["timeout"] = chosen.timeout
    else:
        config["queue"] = typed
    try:
        given = load_config(config, gateway)
    except InvalidDocument as error:
        problem = error.problems[0]
        hint = f" ({problem.hint})" if problem.hint else ""
        raise click.UsageError(f"--queue {problem.pointer[-1]}: {problem.message}{hint}") from None
    if not (math.isfinite(given.timeout) and given.timeout > 0):
        raise CannotContinue("the plugin's timeout is not above zero")
    return given


def _check_file(chosen: _Chosen, overridden: set[str]) -> None:
    """Raise InvalidDocument for what is wrong, or not known yet, in the queue's part of the file."""

    def matters(pointer: Pointer) -> bool:
        return pointer[:2] == ("config", "timeout") or (
            pointer[:2] == ("config", "queue") and (len(pointer) < 3 or pointer[2] not in overridden)
        )

    problems = [problem for problem in chosen.problems if matters(problem.pointer)]
    values: dict[Pointer, Value] = {("config", "timeout"): chosen.timeout}
    values.update({("config", "queue", name): value for name, value in chosen.queue.items()})
    for pointer, value in values.items():
        if isinstance(value, (Reference, MixedText)) and matters(pointer):
            hint = "write the number, or give it with " + ("-q NAME=VALUE" if len(pointer) == 3 else "--timeout")
            problems.append(chosen.plugin.located(Problem("is known only where it is applied", pointer, hint)))
    if problems:
        raise InvalidDocument(problems)


def _typed(pair: str) -> tuple[str, Any]:
    """Return name and value of ``NAME=VALUE``, the value as YAML would have it: a number, null, or text."""
    name, equals, text = pair.partition("=")
    if not equals:
        raise click.UsageError(f"--queue {pair!r}: write NAME=VALUE, e.g. max_batch_size=100")
    return name.strip().removeprefix("queue."), _number(text.strip())


def _number(text: str) -> Any:
    if text in ("null", "none", ""):
        return None
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
