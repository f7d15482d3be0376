"""The image of the emulated gateway in the place of Kong's: its health check and its ``kong``, in real containers."""

from __future__ import annotations

import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import docker
import docker_engine
import pytest

from harness.targets.containers import ContainerWish, GatewayContainer
from harness.targets.target import TargetUnavailableError
from harness.targets.wait_strategies import Healthy, LogLine, wait_until_ready

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: Said once the gateway takes requests and signals; its health check comes to know seconds later.
LISTENING = LogLine(re.compile("^Admin API "))
ANYWHERE = {"KONG_PROXY_LISTEN": "127.0.0.1:0", "KONG_ADMIN_LISTEN": "127.0.0.1:0"}


@pytest.fixture(scope="module")
def image() -> str:
    return docker_engine.gateway_image()


@pytest.fixture
def started() -> Iterator[Callable[..., GatewayContainer]]:
    """Starts containers of an image with variables of the test's; they are removed after it."""
    engine = docker_engine.engine()
    made: list[GatewayContainer] = []

    def start(image: str, **environment: str) -> GatewayContainer:
        made.append(engine.start(ContainerWish(image, {**ANYWHERE, **environment})))
        return made[-1]

    yield start
    for container in made:
        container.remove()


def inside(container: GatewayContainer, *command: str) -> tuple[int, str]:
    """Run a command in a container; returns its exit code and what it said."""
    done = docker.from_env().containers.get(container.name).exec_run(list(command))
    return done.exit_code, done.output.decode().strip()


def test_it_becomes_healthy_by_the_images_own_check(image: str, started: Callable[..., GatewayContainer]) -> None:
    """What compose's ``condition: service_healthy`` and ``conformance --wait-for health`` wait for."""
    container = started(image)
    wait_until_ready(container, Healthy(), 60)
    assert inside(container, "kong", "health") == (0, "Kong is healthy")
    assert inside(container, "kong", "version") == (0, "3.16.0")


def test_waiting_for_a_health_check_that_an_image_lacks_is_told(
    image: str, started: Callable[..., GatewayContainer]
) -> None:
    build = ["docker", "build", "--quiet", "--tag", f"{image}-without-health", "-"]
    subprocess.run(build, input=f"FROM {image}\nHEALTHCHECK NONE\n", text=True, check=True, capture_output=True)
    try:
        with pytest.raises(TargetUnavailableError, match="the image has no health check"):
            wait_until_ready(started(f"{image}-without-health"), Healthy(), 5)
    finally:
        subprocess.run(["docker", "rmi", "--force", f"{image}-without-health"], check=True, capture_output=True)


def test_a_container_with_a_journal_explains_its_requests(
    image: str, started: Callable[..., GatewayContainer]
) -> None:
    """As docs/docker.md says; a gateway without a configuration answers 404, and nothing is billed."""
    journal = "/tmp/journal.jsonl"
    container = started(image, KONG_METERING_JOURNAL=journal, KONG_METERING_JOURNAL_LIMIT="500MB")
    wait_until_ready(container, LISTENING, 60)
    (proxy,) = re.findall(r"^proxy +(\S+)", container.log(), re.MULTILINE)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{proxy}/anything", timeout=20)
    code, said = inside(container, "python3", "-m", "harness.cli.main", "explain", "--journal", journal, "--last")
    assert code == 0, said
    assert said.splitlines()[0].startswith("not billed: ") and "  +0.000  no Route matched" in said


@pytest.mark.parametrize("command", ["quit", "stop"])
def test_kong_stops_the_gateway_and_the_container_ends_well(
    command: str, image: str, started: Callable[..., GatewayContainer]
) -> None:
    container = started(image)
    wait_until_ready(container, LISTENING, 60)
    inside(container, "kong", command)
    ended = docker.from_env().containers.get(container.name).wait(timeout=30)
    assert ended["StatusCode"] == 0


def test_another_command_runs_in_the_gateways_place_as_in_kongs_image(image: str) -> None:
    def said(*command: str) -> tuple[int, str]:
        words = ["docker", "run", "--rm", "--network", "none", image, *command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, (done.stdout + done.stderr).strip()

    assert said("kong", "version") == (0, "3.16.0")
    assert said("kong", "health") == (1, "kong: the gateway is not running")
    assert said("no-such-program") == (2, "kong-metering gateway: no-such-program: No such file or directory")
