"""The wheel by itself: built, unpacked and run outside the checkout, it has everything it needs inside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with what is installed: no network."""
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory), str(CHECKOUT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = directory.glob("*.whl")
    return built


class Installed:
    """An unpacked wheel. The checkout, which the environment has on its path, is kept out of the child's."""

    def __init__(self, wheel: Path, directory: Path) -> None:
        self.site = directory / "site"
        self.away = directory / "away"
        self.away.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.site)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self.environment["PYTHONPATH"] = str(self.site)

    def run(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command,
            input=text,
            cwd=self.away,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def verb(self, *arguments: str, text: str = "") -> str:
        """Run ``kong-metering`` from the wheel; return what it prints."""
        done = self.run("-m", "harness.cli.main", *arguments, text=text)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(wheel, tmp_path_factory.mktemp("installed"))


def test_children_run_the_wheels_copy(installed: Installed) -> None:
    """The premise of the tests below: modules and their files come from the unpacked wheel."""
    program = (
        "import harness, harness.resources, plugin_emulator, loadtests;"
        "print(harness.__file__, plugin_emulator.__file__, loadtests.__file__, harness.resources.scenarios())"
    )
    done = installed.run("-c", program)
    assert done.returncode == 0, done.stderr
    places = done.stdout.split()
    assert len(places) == 4
    for place in places:
        assert Path(place).resolve().is_relative_to(installed.site.resolve())


def test_every_file_that_the_packages_read_is_in_the_wheel(wheel: Path) -> None:
    """Schemas, scenarios, rules, sample state files; and no test, no report, no capture."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout: no list of files to compare with")
    expected = set()
    for name in tracked.stdout.splitlines():
        top = name.split("/", 1)[0]
        if not (CHECKOUT / name).exists():
            continue
        if top in ("harness", "plugin_emulator", "loadtests"):
            expected.add(name)
        elif top == "fixtures":
            expected.add(f"harness/{name}")
    assert len(expected) > 100
    assert expected <= held
    assert not [name for name in held if name.startswith("tests/") or name.endswith((".pyc", ".capture.jsonl"))]


def test_it_tells_its_version(installed: Installed) -> None:
    assert installed.verb("--version") == f"kong-metering, version {version('kong-metering-harness')}\n"


def test_the_command_is_declared(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        assert "kong-metering = harness.cli.main:main" in archive.read(name).decode()


def test_events_finds_its_schemas(installed: Installed) -> None:
    exchange = {
        "request": {"method": "GET", "path": "/", "headers": [["x-tenant-id", "acme"]], "started_at": 1.0},
        "response": {"status": 200, "ended_at": 2.0},
    }
    config = installed.away / "plugin.yml"
    config.write_text("subject: {look_up_value_in: header, field: x-tenant-id}\n")
    line = installed.verb("events", "--config", "plugin.yml", text=json.dumps(exchange))
    assert [event["subject"] for event in json.loads(line)["events"]] == ["acme"]


def test_the_sample_state_files_are_valid_where_they_are(installed: Installed) -> None:
    samples = sorted((installed.site / "harness" / "fixtures" / "kong").glob("*.yaml"))
    assert samples
    installed.environment["DECK_AUTH_TOKEN"] = "any"
    for sample in samples:
        assert "ok" in installed.verb("gateway", "--config", str(sample), "--check")


def test_conformance_lists_the_scenarios_inside(installed: Installed) -> None:
    listed = installed.verb("conformance", "--list")
    shipped = list((CHECKOUT / "fixtures" / "scenarios").glob("tutorials/*.yaml"))
    assert len(shipped) >= 2
    assert "tutorials" not in {path.name for path in installed.away.iterdir()}
    for path in shipped:
        (identifier,) = (line[4:] for line in path.read_text().splitlines() if line.startswith("id: "))
        assert identifier in listed


def test_conformance_runs_in_virtual_time_and_over_http(installed: Installed) -> None:
    """One scenario that needs no process, and one that starts gateway and ingest: both from the wheel."""
    chosen = ["--scenario", "bat-3-full-batch-leaves-at-once", "--scenario", "drp-1-no-consumer"]
    output = installed.verb("conformance", *chosen, "--workers", "1", "--report-dir", "reports")
    assert "2 pass" in output
    report = json.loads((installed.away / "reports" / "conformance.json").read_text())
    assert str(CHECKOUT) not in json.dumps(report)
