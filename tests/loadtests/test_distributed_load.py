"""A load sent by a master and its workers is accounted for as one sent by one process is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from locust_process import locust, run_locust

from harness.ingest.control import IngestControl
from harness.targets.emulator import EmulatorTarget
from loadtests.assignment import Assignment
from loadtests.child_process import ChildProcess
from loadtests.gateway_state import gateway_state
from loadtests.ledger import Ledger
from loadtests.numbers import new_run
from loadtests.plan import LoadPlan
from loadtests.ports import lasting_port
from loadtests.reconciliation import Reconciliation, reconcile
from loadtests.sending import read_pace
from loadtests.traffic import Traffic

PLAN = LoadPlan.from_json(
    {
        "rate": 150,
        "users": 6,
        "duration": 2,
        "subjects": 3,
        "queue": {"max_batch_size": 20, "max_coalescing_delay": 0.1, "max_entries": 10_000},
    }
)


@pytest.fixture(scope="module")
def gateway() -> Iterator[EmulatorTarget]:
    """The emulated gateway, up for all tests of this file."""
    target = EmulatorTarget("kong-3.16")
    target.start()
    try:
        yield target
    finally:
        target.stop()


@contextmanager
def billed(gateway: EmulatorTarget, directory: Path, run: str) -> Iterator[Path]:
    """Meter what is sent meanwhile, and wait at the end until all of it is billed. Yields the assignment's file."""
    watched = [argument for path in Traffic.of(PLAN).expectations.watched() for argument in ("--watch", path)]
    command = [sys.executable, "-m", "loadtests.ingest_process", "--directory", str(directory), "--run", run]
    ingest = ChildProcess("ingest", [*command, *watched], directory / "ingest.log")
    ready = ingest.start_and_read_ready()
    try:
        IngestControl(int(ready["control_port"])).set_lane("load", token="t")
        endpoint = f"http://127.0.0.1:{ready['port']}/lane/load/v3/openmeter/events"
        gateway.apply(gateway_state(PLAN, ingest_endpoint=endpoint, api_token="t"))
        Assignment(PLAN, gateway.proxy_url, directory, run).write(directory / "assignment.json")
        yield directory / "assignment.json"
        gateway.settle(20)
        assert gateway.idle()
    finally:
        ingest.stop()


def check(found: Reconciliation, directory: Path, workers: int) -> None:
    """Every request of every worker is accounted for, with nothing amiss; events came in batches."""
    assert found.right
    assert len(Ledger.read(directory).workers) == workers
    assert found.requests == read_pace(directory).sent > 100
    assert {name for name, count in found.classes.items() if count} == {"billed_once", "dropped_right"}
    assert sum(found.classes.values()) == found.requests
    assert (found.events.billed, len(found.strangers)) == (found.classes["billed_once"], 0)
    assert sum(sum(counts.values()) for counts in found.by_expectation.values()) == found.requests
    assert found.deliveries.requests < found.requests / 3


@pytest.mark.parametrize("workers", [1, 2])
def test_a_load_is_accounted_for_whoever_sends_it(workers: int, gateway: EmulatorTarget, tmp_path: Path) -> None:
    """One process by itself; or a master, told the run, and two workers told nothing but where the master is."""
    run = new_run()
    with billed(gateway, tmp_path, run) as assignment:
        if workers == 1:
            done = run_locust(directory=tmp_path, assignment=assignment)
        else:
            port = str(lasting_port())
            at = ("--worker", "--master-host", "127.0.0.1", "--master-port", port)
            bind = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port)
            with locust(*at, directory=tmp_path) as first, locust(*at, directory=tmp_path) as second:
                done = run_locust(*bind, "--expect-workers", "2", directory=tmp_path, assignment=assignment)
                assert (first.wait(30), second.wait(30)) == (0, 0)
        assert done.returncode == 0, done.stderr
    check(reconcile(tmp_path), tmp_path, workers)
    assert Ledger.read(tmp_path).run == run
