"""Gateways in containers, for real: they come up, are tested, and leave nothing behind however a run ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import docker
import docker_engine
import pytest
from docker_engine import CHECKOUT, containers_of
from interrupted_run import WAITING

from harness.targets import docker_kong
from harness.targets.admin_api import AdminApi
from harness.targets.containers import ContainerWish, Engine, GatewayContainer
from harness.targets.docker_kong import DockerKongTarget, DockerWish
from harness.targets.image_name import is_enterprise
from harness.targets.licence import parse_licence
from harness.targets.target import TargetUnavailableError
from harness.targets.wait_strategies import AdminStatus, LogLine, wait_until_ready

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FAILING = """\
id: never-so
title: An expectation that cannot be met
rules: [EVT-1]
auth: key-auth
plugin: {name: metering-and-billing, config: {subject: {look_up_value_in: consumer}}}
traffic: [{id: one, path: /anything, headers: {apikey: alice-key}}]
expect: {within: WITHIN, events: [{of: one, type: kong.api_request, subject: nobody}]}
"""
STATE = {
    "_format_version": "3.0",
    "services": [{"name": "example", "url": "http://httpbin.konghq.com/anything"}],
    "routes": [{"name": "example", "paths": ["/anything"], "service": {"name": "example"}}],
}


@pytest.fixture(scope="module")
def image() -> str:
    return docker_engine.gateway_image()


@pytest.fixture
def engine() -> Engine:
    return docker_engine.engine()


@pytest.fixture
def started(engine: Engine, image: str) -> Iterator[Callable[..., GatewayContainer]]:
    """Starts containers of the image with variables of the test's; they are removed after it."""
    made: list[GatewayContainer] = []

    def start(**environment: str) -> GatewayContainer:
        made.append(engine.start(ContainerWish(image, environment)))
        return made[-1]

    yield start
    for container in made:
        container.remove()


def command(image: str, *options: str) -> list[str]:
    verb = [sys.executable, "-m", "harness.cli.main", "conformance"]
    return [*verb, "--target", "docker", "--image", image, "--workers", "1", *options]


def surroundings() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(CHECKOUT)}


def run(image: str, *options: str, cwd: Path) -> tuple[subprocess.Popen[str], str, str]:
    process = subprocess.Popen(command(image, *options), cwd=cwd, env=surroundings(), stdout=-1, stderr=-1, text=True)
    out, err = process.communicate(timeout=200)
    return process, out, err


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come about in time"
        time.sleep(0.05)


@dataclass(frozen=True)
class Done:
    """A run that has ended, with what it said and the folder it was in."""

    process: subprocess.Popen[str]
    out: str
    err: str
    folder: Path


@pytest.fixture(scope="module")
def done(image: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Done]:
    """Runs that need no attention, side by side, as they mostly wait: by network, "stopped" and "failed"."""
    scenarios = ["tutorial-track-requests-by-consumer", "evt-6-fields-and-types", "dlv-3-untrusted-certificate"]
    chosen = [word for scenario in scenarios for word in ("--scenario", scenario)]
    wanted = {
        "stopped": ["--rules", "LIF-1,LIF-2", "--workers", "2"],
        "host": ["--network", "host", "--subject-form", "auto", *chosen],
        "bridge": ["--network", "bridge", "--subject-form", "prefixed-id", *chosen],
        "failed": ["mine.yaml"],
    }

    def ended(name: str) -> Done:
        folder = tmp_path_factory.mktemp(name)
        (folder / "mine.yaml").write_text(FAILING.replace("WITHIN", "1"))
        return Done(*run(image, *wanted[name], cwd=folder), folder)

    with ThreadPoolExecutor(2) as runs:
        return dict(zip(wanted, runs.map(ended, wanted), strict=True))


@pytest.mark.parametrize(("network", "form"), [("host", "auto"), ("bridge", "prefixed-id")])
def test_scenarios_pass_on_either_network_and_nothing_is_left(
    network: str, form: str, done: Mapping[str, Done]
) -> None:
    passed, out = done[network], done[network].out
    assert passed.process.returncode == 0, out + passed.err
    assert "3 scenarios in" in out and "against docker" in out and "3 pass" in out
    seen = "username" if form == "auto" else form
    assert f"Form of Consumers' names: {seen} (required: {form})." in out
    assert containers_of(passed.process.pid) == []
    assert not list((passed.folder / "reports").glob("gateway-*.log"))


def test_a_gateway_in_a_container_is_stopped_gracefully_at_once_and_killed(done: Mapping[str, Done]) -> None:
    """LIF-1 and LIF-2 need signals that reach the gateway, and its start with the same configuration."""
    stopped = done["stopped"]
    assert stopped.process.returncode == 0, stopped.out + stopped.err
    assert containers_of(stopped.process.pid) == []


def test_a_failed_run_keeps_the_gateways_log_without_secrets_and_no_container(
    image: str, done: Mapping[str, Done]
) -> None:
    failed = done["failed"]
    assert failed.process.returncode == 1, failed.out + failed.err
    assert f"--target docker --image {image}" in failed.out
    assert containers_of(failed.process.pid) == []
    (log,) = (failed.folder / "reports").glob("gateway-*.log")
    assert str(log.relative_to(failed.folder)) in failed.err
    assert "Admin API" in log.read_text()
    assert "alice-key" not in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_container(number: signal.Signals, image: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(WAITING)
    process = subprocess.Popen(
        command(image, "mine.yaml"), cwd=tmp_path, env=surroundings(), stdout=-1, stderr=-1, text=True
    )
    until(lambda: bool(containers_of(process.pid)))
    process.send_signal(number)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 130, out + err
    assert containers_of(process.pid) == []


def test_what_a_killed_run_left_is_swept_away_and_what_lives_is_not(
    engine: Engine, started: Callable[..., GatewayContainer], image: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(WAITING)
    mine = started(KONG_PROXY_LISTEN="127.0.0.1:0", KONG_ADMIN_LISTEN="off")
    process = subprocess.Popen(
        command(image, "mine.yaml"), cwd=tmp_path, env=surroundings(), stdout=-1, stderr=-1, text=True
    )
    until(lambda: bool(containers_of(process.pid)))
    (left,) = containers_of(process.pid)
    assert left not in engine.sweep()
    process.kill()
    process.communicate()
    assert left in engine.sweep()
    assert containers_of(process.pid) == []
    assert mine.running


def test_a_container_that_is_not_ready_in_time_is_told_of_with_its_log_and_a_hint(
    started: Callable[..., GatewayContainer],
) -> None:
    container = started(KONG_PROXY_LISTEN="127.0.0.1:0", KONG_ADMIN_LISTEN="off", KONG_ROLE="data_plane")
    wait_until_ready(container, LogLine(re.compile("^proxy ")), 60)
    with pytest.raises(TargetUnavailableError) as caught:
        wait_until_ready(container, LogLine(re.compile("no such line")), 1)
    first, *rest = str(caught.value).splitlines()
    assert (
        first
        == f"container {container.name} was not ready after 1 s: waited for a log line that matches 'no such line'"
    )
    assert any("KONG_ROLE has no effect" in line for line in rest)
    assert rest[-1].strip().startswith("hint: ") and "--start-timeout" in rest[-1]


def test_a_container_that_ends_is_told_of_at_once_with_what_it_said(started: Callable[..., GatewayContainer]) -> None:
    container = started(KONG_DATABASE="postgres")
    with pytest.raises(TargetUnavailableError, match="ended with exit code 2 before it was ready") as caught:
        wait_until_ready(container, AdminStatus(AdminApi("http://127.0.0.1:9")), 60)
    assert "set KONG_DATABASE=off" in str(caught.value)


def test_a_port_that_somebody_takes_meanwhile_is_replaced_by_another(
    image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = docker_kong._free_ports
        choices = iter([[taken.getsockname()[1], *free(1)]])
        monkeypatch.setattr(docker_kong, "_free_ports", lambda count: next(choices, None) or free(count))
        target = DockerKongTarget("kong-3.16", DockerWish(image))
        try:
            target.start()
            assert not target.proxy_url.endswith(f":{taken.getsockname()[1]}")
            assert len(containers_of(os.getpid())) == 1
        finally:
            target.stop()
    assert containers_of(os.getpid()) == []


def test_a_port_that_is_never_free_is_told_of_with_what_to_do(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        free = docker_kong._free_ports
        monkeypatch.setattr(docker_kong, "_free_ports", lambda count: [port, *free(1)])
        target = DockerKongTarget("kong-3.16", DockerWish(image))
        with pytest.raises(TargetUnavailableError, match="hint: another process has the port"):
            target.start()
    assert containers_of(os.getpid()) == []


def test_a_kept_container_goes_on_and_the_user_is_told_how_to_reach_and_end_it(image: str) -> None:
    told: list[str] = []
    target = DockerKongTarget("kong-3.16", DockerWish(image, keep=True, tell=told.append))
    target.start()
    try:
        target.apply(STATE)
        target.stop()
        assert urlopen(f"{target.proxy_url}/anything/x").status == 200
        (name,) = containers_of(os.getpid())
        assert told[0].startswith(f"container {name}: proxy {target.proxy_url}, Admin API http://127.0.0.1:")
        assert told[1].endswith(f"docker rm -f {name}")
        assert name not in docker_engine.engine().sweep()
    finally:
        for name in containers_of(os.getpid()):
            docker.from_env().containers.get(name).remove(force=True)


def test_the_log_since_the_last_configuration_is_told_across_restarts(image: str) -> None:
    target = DockerKongTarget("kong-3.16", DockerWish(image))
    target.start()
    try:
        assert not target.genuine
        target.apply(STATE)
        assert target.log_lines() == []
        target.restart("graceful")
        assert [line for line in target.log_lines() if line.startswith("proxy ")]
        assert urlopen(f"{target.proxy_url}/anything").status == 200
        assert target.idle()
    finally:
        target.stop()


def test_a_licence_is_a_file_in_the_container_and_nothing_that_the_engine_tells(engine: Engine, image: str) -> None:
    wish = ContainerWish(image, {"KONG_ADMIN_LISTEN": "off"}, {"/opt/kong-metering/license.json": b"the-licence"})
    assert "the-licence" not in repr(wish)
    container = engine.start(wish)
    try:
        found = docker.from_env().containers.get(container.name)
        assert "the-licence" not in json.dumps(found.attrs)
        chunks, about = found.get_archive("/opt/kong-metering/license.json")
        assert b"the-licence" in b"".join(chunks)
        assert about["mode"] & 0o777 == 0o444
    finally:
        container.remove()


def test_an_enterprise_image_without_a_licence_is_refused_before_anything_starts(
    image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_kong.Engine, "image_labels", lambda self, name: {})
    target = DockerKongTarget("kong-3.14", DockerWish("kong/kong-gateway:3.14"))
    with pytest.raises(
        TargetUnavailableError, match=r"needs a licence: set KONG_LICENSE_DATA or give --license-file"
    ):
        target.start()
    assert containers_of(os.getpid()) == []


def test_the_stand_in_is_given_to_an_open_source_kong_and_not_to_an_enterprise_one() -> None:
    licence = parse_licence('{"license": {"payload": {"license_expiration_date": "2099-01-01"}}}', "here")
    folder = "/opt/kong-metering/kong/plugins/metering-and-billing"
    files, environment = DockerKongTarget("kong-3.16", DockerWish("kong:3.9"))._furnishing()
    assert {f"{folder}/handler.lua", f"{folder}/schema.lua"} <= files.keys()
    assert environment["KONG_PLUGINS"] == "bundled,metering-and-billing"
    assert environment["KONG_LUA_PACKAGE_PATH"] == "/opt/kong-metering/?.lua;;"
    wish = DockerWish("registry:5000/kong/kong-gateway:3.14", licence=licence)
    files, environment = DockerKongTarget("kong-3.14", wish)._furnishing()
    assert list(files) == ["/opt/kong-metering/license.json"]
    assert environment["KONG_LICENSE_PATH"] == "/opt/kong-metering/license.json"
    assert "KONG_PLUGINS" not in environment and "license_expiration_date" not in str(environment)


def test_the_image_runs_as_nobody_and_stops_gracefully_as_kong_does(
    image: str, started: Callable[..., GatewayContainer]
) -> None:
    attributes = docker.from_env().images.get(image).attrs["Config"]
    assert attributes["User"] == "65534:65534"
    assert attributes["StopSignal"] == "SIGQUIT"
    container = started(KONG_PROXY_LISTEN="127.0.0.1:0", KONG_ADMIN_LISTEN="off")
    wait_until_ready(container, LogLine(re.compile("^proxy ")), 60)
    assert container.end("SIGQUIT", 20)
    assert container.exit_code == 0


def test_an_image_that_is_not_to_be_had_ends_the_run_with_one_line(image: str, tmp_path: Path) -> None:
    absent = "127.0.0.1:9/no-such/image:none"
    process, out, err = run(absent, "--scenario", "sub-1-consumer-username", cwd=tmp_path)
    assert process.returncode == 2
    assert f"image {absent} is not there and cannot be pulled" in err
    assert "Traceback" not in out + err


def test_no_engine_ends_the_run_with_one_line(tmp_path: Path) -> None:
    verb = command("any", "--scenario", "sub-1-consumer-username")
    nowhere = {**surroundings(), "DOCKER_HOST": "tcp://127.0.0.1:9"}
    done = subprocess.run(verb, cwd=tmp_path, env=nowhere, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("kong-metering: no Docker engine answers")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["kong:3.9", "kong/kong-gateway:3.14"])
def test_the_tutorials_run_against_kong_itself(name: str, tmp_path: Path) -> None:
    if docker_engine.engine().image_labels(name) is None:
        pytest.skip(f"image {name} is not here: docker pull {name}")
    if is_enterprise(name) and not os.environ.get("KONG_LICENSE_DATA"):
        pytest.skip("KONG_LICENSE_DATA is not set")
    options = ["--scenario", "tutorial-track-requests-by-consumer", "--scenario", "tutorial-meter-by-tenant-header"]
    process, out, err = run(name, *options, cwd=tmp_path)
    assert process.returncode == 0, out + err
    assert containers_of(process.pid) == []
