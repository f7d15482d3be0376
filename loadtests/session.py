"""A load from beginning to end: the gateway, the stretches of load, the account, the verdict, the report."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.targets.fake_ingest import IngestPlace
from harness.targets.target import Target
from loadtests.assessment import assess
from loadtests.overhead import Overhead, measure_overhead, overhead_plan
from loadtests.plan import LoadPlan
from loadtests.result import REPORT, LoadReport, Surroundings
from loadtests.stage import Ground, Progress, run_stage
from loadtests.thresholds import Thresholds

GATEWAY_LOG = "gateway.log"
_OVERHEAD = "overhead"


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for: a plan, limits, a gateway, and a directory for everything that comes of it.

    ``token`` is what the plugin sends to ``lane`` of the ingest endpoint at ``place``; ``longest_drain`` is in
    seconds.
    """

    plan: LoadPlan
    thresholds: Thresholds
    directory: Path
    make_target: Callable[[], Target]
    place: IngestPlace
    lane: str
    token: str = field(repr=False)
    longest_drain: float
    tell: Callable[[Progress], None] = lambda progress: None


def run_load(order: Order) -> LoadReport:
    """Run the load and write its report into the directory; no process of it is left when this returns or raises.

    Raises TargetUnavailableError when something does not come up or ends too early, ConfigurationRefusedError and
    NotApplicableError as targets do, and NoAccountError.
    """
    target = order.make_target()
    order.tell(Progress("starting the gateway"))
    try:
        target.start()
        ground = Ground(target, order.place, order.lane, order.token, order.longest_drain, order.tell)
        try:
            overhead = None if order.thresholds.max_overhead is None else _overhead(order, ground)
            observed = run_stage(order.plan, order.directory, ground)
        finally:
            _keep_log(target, order)  # whatever went wrong, it may say why
        surroundings = _surroundings(target)
    finally:
        target.stop()
    order.tell(Progress("reconciling"))
    report = assess(order.directory, order.plan, order.thresholds, observed, surroundings, overhead)
    report.write(order.directory / REPORT)
    return report


def _overhead(order: Order, ground: Ground) -> Overhead:
    """Measure, on the same gateway and before the load, whether clients notice an ingest endpoint that hangs."""
    directory = order.directory / _OVERHEAD
    observed = run_stage(overhead_plan(order.plan), directory, ground)
    return measure_overhead(directory, observed.faults)


def _surroundings(target: Target) -> Surroundings:
    return Surroundings(
        target=target.name,
        gateway_version=target.version,
        genuine=target.genuine,
        harness_version=importlib.metadata.version("kong-metering-harness"),
        locust_version=importlib.metadata.version("locust"),
        python_version=platform.python_version(),
        system=platform.platform(terse=True),
        processors=os.cpu_count() or 1,
    )


def _keep_log(target: Target, order: Order) -> None:
    """Write what the gateway has logged, where it can be had; the token is nowhere in it."""
    if "log" in target.capabilities:
        lines = [line.replace(order.token, "(token)") for line in target.log_lines()]
        (order.directory / GATEWAY_LOG).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
