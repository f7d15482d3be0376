"""Faults of gateways in containers, for real: frozen, paused, killed, the ingest endpoint gone and back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import docker_engine
import pytest
from docker_engine import CHECKOUT, containers_of
from interrupted_run import WAITING, attended, until

from harness.targets.admin_api import AdminApi, busy
from harness.targets.target import TargetUnavailableError

__all__ = ["attended"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("attended")]

#: Its event comes when the window of the batch closes; until then the gateway can be disturbed.
QUEUED = """\
id: queued-for-a-while
title: An event that waits for its batch arrives
rules: [EVT-3]
plugin:
  name: metering-and-billing
  config:
    subject: {look_up_value_in: header, field: x-tenant-id}
    queue: {max_batch_size: 9, max_coalescing_delay: 4}
traffic:
  - {id: one, path: /anything, headers: {x-tenant-id: acme}, repeat: 3}
expect: {within: 60, events: [{of: one, subject: acme, times: 3, id: {unique: true}}], batches: [3]}
"""

Start = Callable[..., subprocess.Popen[str]]


def begun(image: str, folder: Path, *words: str) -> subprocess.Popen[str]:
    """Begin a run of one gateway in a container."""
    verb = [sys.executable, "-m", "harness.cli.main", "conformance", "--target", "docker", "--image", image]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.Popen(
        [*verb, "--workers", "1", *words], cwd=folder, env=environment, stdout=-1, stderr=-1, text=True
    )


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A run that needs no attention; it goes on beside the tests that disturb theirs, as it mostly waits."""
    scenarios = ["bat-4-frozen-gateway", "bat-7-frozen-while-sending", "ret-6-every-failure-is-retried"]
    chosen = [word for scenario in scenarios for word in ("--scenario", scenario)]
    run = begun(docker_engine.gateway_image(), tmp_path_factory.mktemp("frozen"), *chosen)
    yield run
    if run.poll() is None:
        run.kill()
    run.communicate()
    docker_engine.engine().sweep()


@pytest.fixture
def start(tmp_path: Path, frozen: subprocess.Popen[str]) -> Iterator[Start]:
    """Starts a run of one gateway in a container."""
    image = docker_engine.gateway_image()
    (tmp_path / "waiting.yaml").write_text(WAITING)
    (tmp_path / "queued.yaml").write_text(QUEUED)
    runs: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        runs.append(begun(image, tmp_path, *words))
        return runs[-1]

    yield start
    for run in runs:
        if run.poll() is None:
            run.kill()
        run.communicate()
    docker_engine.engine().sweep()


def metering_container(run: subprocess.Popen[str]) -> Any:
    """Wait until the run's gateway has a metered event to deliver; return its container."""
    client = docker.from_env()
    found: list[Any] = []

    def metering() -> bool:
        found[:] = [client.containers.get(name) for name in containers_of(run.pid)]
        return bool(found) and any(map(busy, (queues_of(found[0]) or {}).values()))

    until(metering)
    return found[0]


def queues_of(container: Any) -> Mapping[str, Mapping[str, Any]] | None:
    variables = dict(entry.split("=", 1) for entry in container.attrs["Config"]["Env"])
    try:
        return AdminApi(f"http://{variables['KONG_ADMIN_LISTEN']}").metering()
    except TargetUnavailableError:
        return None  # not up yet


def test_a_container_that_is_paused_and_goes_on_in_the_midst_of_a_scenario_delivers_what_it_had(start: Start) -> None:
    run = start("queued.yaml")
    container = metering_container(run)
    container.pause()
    time.sleep(1)  # how long it stands still, with its window open
    container.unpause()
    out, err = run.communicate(timeout=200)
    assert run.returncode == 0, out + err
    assert containers_of(run.pid) == []


def test_a_container_that_is_killed_is_told_of_and_the_next_scenario_gets_another(
    start: Start, tmp_path: Path
) -> None:
    run = start("waiting.yaml", "queued.yaml", "--json", "report.json")
    container = metering_container(run)
    container.kill()
    out, err = run.communicate(timeout=200)
    assert run.returncode == 1, out + err
    assert "Traceback" not in out + err
    report = json.loads((tmp_path / "report.json").read_text())
    verdicts = {one["id"]: (one["verdict"], one.get("reason", "")) for one in report["scenarios"]}
    killed = (
        f"container {container.name} ended in the midst of a scenario, with exit code 137 (it was killed, by hand or "
        "for want of memory); another one takes its place"
    )
    assert verdicts == {"never-so": ("error", killed), "queued-for-a-while": ("pass", "")}
    assert killed in " ".join(out.split()) or killed in out
    assert containers_of(run.pid) == []
    logs = list((tmp_path / "reports").glob("gateway-*.log"))
    assert any(container.name in log.name for log in logs)


def test_a_run_that_is_interrupted_while_its_container_is_paused_removes_it(start: Start) -> None:
    run = start("waiting.yaml")
    metering_container(run).pause()
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=100)
    assert run.returncode == 130, out + err
    assert containers_of(run.pid) == []


def test_a_gateway_that_is_frozen_loses_and_doubles_nothing_and_an_ingest_endpoint_that_was_gone_gets_all(
    frozen: subprocess.Popen[str],
) -> None:
    out, err = frozen.communicate(timeout=200)
    assert frozen.returncode == 0, out + err
    assert "3 pass" in out
    assert containers_of(frozen.pid) == []
