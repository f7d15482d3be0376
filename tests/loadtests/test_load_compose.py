"""The containers of a distributed load: what their file names is there, and Compose takes it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from loadtests.plan import LoadPlan

ROOT = Path(__file__).parents[2]
FILE = ROOT / "compose.load.yaml"
SERVICES = yaml.safe_load(FILE.read_text())["services"]


def compose() -> list[str]:
    """Return the command of Compose; without one the test is skipped."""
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if (
        shutil.which("docker")
        and subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    ):
        return ["docker", "compose"]
    pytest.skip("no docker compose")


def test_compose_takes_the_file() -> None:
    done = subprocess.run(
        [*compose(), "-f", str(FILE), "config"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {"master", "worker-1", "worker-2", "gateway", "ingest", "upstream"} <= set(
        yaml.safe_load(done.stdout)["services"]
    )


def test_every_image_is_a_stage_of_the_dockerfile() -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert {service["build"]["target"] for service in SERVICES.values()} <= stages


def test_nothing_listens_beyond_the_containers() -> None:
    assert not [name for name, service in SERVICES.items() if "ports" in service]


def test_gateway_and_master_are_given_the_same_plan() -> None:
    plans = [
        next(volume for volume in SERVICES[name]["volumes"] if volume.endswith(":/plan.yaml:ro"))
        for name in ("gateway", "master")
    ]
    assert plans[0] == plans[1]
    default = re.search(r":-(\./\S+?)\}", plans[0])
    assert default is not None
    assert LoadPlan.read(ROOT / default[1]).rate > 0
