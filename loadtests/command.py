"""``kong-metering load``: load on a gateway, and an account of every request."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli.deployment import (
    PROFILE_HELP,
    TARGETS,
    Deployment,
    StandingWish,
    asked_for,
    choose_deployment,
    deployment_options,
)
from harness.cli.durations import Duration
from harness.cli.interruption import orderly_end
from harness.cli.main import EXIT_WRONG, CannotContinue
from harness.conformance.rules import PROFILES
from harness.targets.target import ConfigurationRefusedError, NotApplicableError, TargetUnavailableError
from loadtests.load_options import load_plan
from loadtests.plan import LoadPlan
from loadtests.plugins.registry import LOADED_PLUGINS
from loadtests.report.options import REPORT_OPTIONS, report_again, report_files
from loadtests.thresholds import Allowance, LeastRate, Thresholds, parse_share

if TYPE_CHECKING:  # loaded only where they are used: a help text needs none of them
    from harness.targets.fake_ingest import IngestPlace
    from loadtests.report.files import LoadReportFiles

_SHAPES = ("steady", "ramp", "spike", "soak", "outage")
_RUNS = Path("load-runs")
_Command = TypeVar("_Command", bound=Callable[..., Any])
_T = TypeVar("_T")


class _Parsed(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """An option whose text is read by a function that raises ValueError for what it cannot read."""

    def __init__(self, name: str, read: Callable[[str], object]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_ALLOWANCE = _Parsed("number or share", Allowance.parse)
_NONE = Allowance()

_TRAFFIC = (
    click.option("--plan", "plan_file", type=click.Path(path_type=Path), metavar="FILE", help="Plan: YAML or JSON."),
    click.option("--metering", type=click.Choice([*LOADED_PLUGINS]), help="Metering plugin (default: the plan's)."),
    click.option("--rps", "rate", type=click.FloatRange(0, 1e6), metavar="N", help="Requests a second; 0: no limit."),
    click.option("--duration", type=Duration(min_open=True), help="Length of the traffic, e.g. 30s."),
    click.option("--users", type=click.IntRange(1), metavar="N", help="Users; each has one request under way."),
    click.option("--shape", type=click.Choice(_SHAPES), help="How many users there are when."),
    click.option("--mix", metavar="KIND=N,…", help="Weights of consumer, tenant, missing and ai, e.g. tenant=3."),
    click.option("--subjects", type=click.IntRange(1), metavar="N", help="Different Consumers, and tenants."),
    click.option("--seed", type=click.IntRange(0), metavar="N", help="Other keys, another order."),
    click.option("--processes", type=click.IntRange(1, 64), metavar="N", help="Locust processes that send."),
    click.option("-q", "--queue", multiple=True, metavar="NAME=VALUE", help="A setting of the plugin's queue."),
)
_FAULTS = (
    click.option(
        "--ingest-down", multiple=True, metavar="20s@5s[:503]", help="For 20 s, from second 5: resets, or 503."
    ),
    click.option("--ingest-slow", multiple=True, metavar="2s@5s+10s", help="Answers take 2 s longer, for 10 s."),
    click.option("--ingest-hang", multiple=True, metavar="10s@5s", help="No answers."),
    click.option("--ingest-429", multiple=True, metavar="10s@5s[:2]", help="Too many requests; Retry-After: 2."),
    click.option("--ingest-reset-after-accept", multiple=True, metavar="10s@5s", help="Accepted, the answer lost."),
    click.option("--gateway-restart", multiple=True, metavar="HOW@10s", help="HOW: graceful, fast or kill."),
)
_LIMITS = (
    click.option("--max-loss", type=_ALLOWANCE, metavar="N|%", default=_NONE, help="Lost, no rule allowing it (0)."),
    click.option("--max-duplicates", type=_ALLOWANCE, metavar="N|%", default=_NONE, help="Charged twice (0)."),
    click.option("--max-wrong", type=_ALLOWANCE, metavar="N|%", default=_NONE, help="Wrong subject or field (0)."),
    click.option("--max-undropped", type=_ALLOWANCE, metavar="N|%", default=_NONE, help="Billed, to be dropped (0)."),
    click.option("--max-unanswered", type=_ALLOWANCE, metavar="N|%", default=_NONE, help="Another answer (0)."),
    click.option("--max-billing-latency-p99", type=Duration(), help="From a request's end to its event's arrival."),
    click.option(
        "--min-rate",
        type=_Parsed("rate or share", LeastRate.parse),
        metavar="N|%",
        help="Sent at least: requests a second, or a share of those due.",
    ),
    click.option(
        "--max-overhead",
        type=_Parsed("share", parse_share),
        metavar="%",
        help="How much longer clients may wait while ingest hangs, e.g. 5%; measured before the load, in 11 s more.",
    ),
)


def _with(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.command()
@click.option("--target", type=click.Choice(TARGETS), default="emulator", show_default=True, help="What is loaded.")
@click.option("--profile", type=click.Choice(PROFILES), help=PROFILE_HELP)
@_with(*_TRAFFIC)
@_with(*_FAULTS)
@_with(*_LIMITS)
@click.option(
    "--drain", type=Duration(), default="2m", show_default=True, help="Longest wait for what is queued at the end."
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Directory of the run (default: one in load-runs)."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@_with(*REPORT_OPTIONS)
@deployment_options
def command(
    target: str,
    profile: str | None,
    plan_file: Path | None,
    shape: str | None,
    mix: str | None,
    queue: tuple[str, ...],
    gateway_restart: tuple[str, ...],
    max_loss: Allowance,
    max_duplicates: Allowance,
    max_wrong: Allowance,
    max_undropped: Allowance,
    max_unanswered: Allowance,
    max_billing_latency_p99: float | None,
    max_overhead: float | None,
    min_rate: LeastRate | None,
    drain: float,
    out: Path | None,
    as_json: bool,
    report_from: Path | None,
    **others: Any,
) -> int:
    """Load a gateway, then account for every request.

    Each request carries a number that comes back in its events. When the queues are empty, every request is
    classified: billed once, lost (and whether a rule allows it), charged twice, billed though it must be dropped,
    wrong, late. Ends with 0 when all limits were kept, 1 when one was broken, 2 when the run could not be done.
    Everything that the verdict rests on is kept in the directory of the run.
    """
    if report_from is not None:
        return report_again(report_from, others, click.get_current_context())
    values = {name: others.pop(name) for name in _PLANNED}
    faults = {name: others.pop(name) for name in list(others) if name.startswith("ingest_") and name in _FAULT_NAMES}
    plan = load_plan(plan_file, values, shape=shape, mix=mix, queue=queue, faults=faults, restarts=gateway_restart)
    thresholds = Thresholds(
        max_loss,
        max_duplicates,
        max_wrong,
        max_undropped,
        max_unanswered,
        max_billing_latency_p99,
        max_overhead,
        min_rate,
    )
    if min_rate is not None and min_rate.share is not None and plan.rate == 0:
        raise click.UsageError("--min-rate: at --rps 0 no rate is asked for; give requests a second")
    if plan.restarts and target == "url":
        raise click.UsageError("--gateway-restart: --target url is a gateway that somebody else runs")
    files = report_files(others)
    asked = asked_for(target, others)
    deployment = choose_deployment(target, profile, asked, lambda place, port: _standing(plan, place, port))
    if deployment is None:
        return 0
    if target == "emulator":
        deployment = _emulator(deployment.profile)
    directory = _directory(out)
    return _run(plan, thresholds, deployment, directory, drain, files, as_json)


#: Options that a plan has under the same name.
_PLANNED = ("metering", "rate", "duration", "users", "subjects", "seed", "processes")
#: The options of faults; others that begin alike are about where the ingest endpoint is.
_FAULT_NAMES = frozenset({"ingest_down", "ingest_slow", "ingest_hang", "ingest_429", "ingest_reset_after_accept"})


def _run(
    plan: LoadPlan,
    thresholds: Thresholds,
    deployment: Deployment,
    directory: Path,
    drain: float,
    files: LoadReportFiles,
    as_json: bool,
) -> int:
    # Imported here: a help text and a mistake in the options need none of it.
    from harness.targets.fake_ingest import IngestPlace
    from harness.targets.standing_configuration import LANE
    from loadtests.assessment import NoAccountError
    from loadtests.progress import progress
    from loadtests.session import Order, run_load
    from loadtests.summary import print_summary

    standing = deployment.standing
    try:
        with orderly_end(), progress(plan) as tell:
            report = run_load(
                Order(
                    plan=plan,
                    thresholds=thresholds,
                    directory=directory,
                    make_target=deployment.make_target,
                    place=deployment.place or IngestPlace(),
                    lane="load" if standing is None else LANE,
                    token=secrets.token_urlsafe(24) if standing is None else standing.token,
                    longest_drain=drain,
                    tell=tell,
                )
            )
    except (TargetUnavailableError, NotApplicableError, NoAccountError) as error:
        raise CannotContinue(f"{error} (logs: {directory})") from None
    except ConfigurationRefusedError as error:
        raise CannotContinue(f"the gateway refused the configuration of the load: {error}") from None
    _, comparison = files.write(directory)
    if as_json:
        click.echo(json.dumps(report.document))
    else:
        print_summary(report, directory, comparison)
    for verdict in report.verdicts:
        if not verdict.kept:
            line = f"{verdict.option} {verdict.limit}: {verdict.seen} {verdict.about}"
            click.echo(f"kong-metering: {line}", err=True)
    return 0 if all(verdict.kept for verdict in report.verdicts) else EXIT_WRONG


def _emulator(profile: str) -> Deployment:
    """Return the emulated gateway on a port that it keeps when it is restarted."""
    from harness.targets.emulator import EmulatorTarget
    from loadtests.ports import lasting_port

    return Deployment(lambda: EmulatorTarget(profile, lasting_port()), profile)


def _standing(plan: LoadPlan, place: IngestPlace, upstream_port: int) -> StandingWish:
    """Return the configuration that the plan needs, for a gateway that only its owner configures."""
    from harness.targets.echo_upstream import with_upstream
    from harness.targets.standing_configuration import LANE, new_token
    from loadtests.gateway_state import gateway_state

    plugin = LOADED_PLUGINS[plan.metering]
    if plugin.options(""):
        raise CannotContinue(f"--target url cannot be told where {plugin.name} sends to: use --target emulator")
    endpoint = f"http://{place.host}:{place.port}/lane/{LANE}{plugin.endpoint_path}"
    state = gateway_state(plan, ingest_endpoint=endpoint, api_token=new_token())
    return StandingWish(
        with_upstream(state, place.host.strip("[]"), upstream_port, balanced=True),
        "It is for loads with these queue parameters, subjects and seed, and this mix.",
    )


def _directory(out: Path | None) -> Path:
    """Return the directory of the run, made and empty. Raises CannotContinue."""
    directory = out or _RUNS / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}-{secrets.token_hex(2)}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise CannotContinue(f"{directory} is not empty: choose another directory with --out")
    except OSError as error:
        raise CannotContinue(f"{directory}: cannot be used: {error.strerror}") from None
    return directory
