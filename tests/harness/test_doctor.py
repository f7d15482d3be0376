"""``kong-metering doctor``: what is there, and what to do about the rest."""

from __future__ import annotations

import datetime
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from docker_engine import CHECKOUT
from test_licence import licence

from harness.cli import doctor as doctor_verb
from harness.targets.containers import EMULATED_LABEL, Engine
from harness.targets.surroundings import Check, good, look
from harness.targets.target import TargetUnavailableError

TODAY = datetime.date(2026, 6, 1)


class EngineOf(Engine):
    """An engine that has these images, with their labels."""

    def __init__(self, images: Mapping[str, Mapping[str, str]]) -> None:
        self._images = images

    def version(self) -> str:
        return "20.10"

    def images(self) -> list[str]:
        return sorted(self._images)

    def image_labels(self, image: str) -> Mapping[str, str] | None:
        return self._images.get(image)


def checks(
    images: Mapping[str, Mapping[str, str]] | None, environ: Mapping[str, str] | None = None
) -> dict[str, Check]:
    def reach() -> Engine:
        if images is None:
            raise TargetUnavailableError("no Docker engine answers (refused); start it")
        return EngineOf(images)

    return {check.name: check for check in look(environ or {}, reach=reach, today=TODAY)}


def fine(found: dict[str, Check], purpose: str) -> bool:
    return good(list(found.values()), purpose)  # type: ignore[arg-type]


def test_without_an_engine_the_emulator_is_fine_and_docker_is_not() -> None:
    found = checks(None)
    assert fine(found, "emulator") and not fine(found, "docker")
    assert found["docker engine"].advice == "no Docker engine answers (refused); start it"
    assert found["gateway images"].found == "unknown without an engine"


def test_an_engine_without_an_image_says_which_to_pull() -> None:
    found = checks({"postgres:16": {}})
    assert not fine(found, "docker")
    assert "docker pull kong/kong-gateway:3.14" in found["gateway images"].advice


@pytest.mark.parametrize("image", ["kong:3.9", "registry:5000/library/kong:3.9", "mine:1"])
def test_an_image_that_wants_no_licence_is_enough(image: str) -> None:
    found = checks({image: {EMULATED_LABEL: "true"} if image == "mine:1" else {}})
    assert found["gateway images"].found == image
    assert found["Kong licence"].state == "note"
    assert fine(found, "docker")


@pytest.mark.parametrize(
    ("images", "expires", "option"),
    [
        (["kong/kong-gateway:3.14", "kong:3.9"], "2027-01-31", ""),
        (["kong/kong-gateway:3.14", "kong:3.9"], None, "--image kong:3.9"),
        (["kong/kong-gateway:3.14", "kong:3.9"], "2026-05-31", "--image kong:3.9"),
        (["kong/kong-gateway:3.15", "kong:3.9"], "2027-01-31", "--image kong/kong-gateway:3.15"),
        (["a-gateway:1", "kong:3.9"], None, "--image kong:3.9"),
        (["a-gateway:1"], None, "--image a-gateway:1"),
        (["kong/kong-gateway:3.14"], None, ""),
    ],
)
def test_the_image_to_name_is_said_where_the_default_one_will_not_do(
    images: list[str], expires: str | None, option: str
) -> None:
    labels = {image: {EMULATED_LABEL: "true"} if image == "a-gateway:1" else {} for image in images}
    found = checks(labels, {} if expires is None else {"KONG_LICENSE_DATA": licence(expires)})
    assert found["gateway images"].option == option
    assert option in found["gateway images"].advice


def test_the_last_line_names_the_image_that_a_run_must_be_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor_verb, "look", lambda environ, file: list(checks({"kong:3.9": {}}).values()))
    assert doctor_verb.command.main(["--for", "docker"], standalone_mode=False) == 0
    assert capsys.readouterr().out.rstrip().endswith("For docker: everything is there, with --image kong:3.9.")


@pytest.mark.parametrize(
    ("expires", "state", "docker"),
    [("2026-05-31", "missing", False), ("2026-06-20", "note", True), ("2027-01-31", "ok", True)],
)
def test_a_licence_is_told_with_its_last_day_and_not_quoted(expires: str, state: str, docker: bool) -> None:
    found = checks({"kong/kong-gateway:3.14": {}}, {"KONG_LICENSE_DATA": licence(expires)})
    assert (found["Kong licence"].state, fine(found, "docker")) == (state, docker)
    assert expires in found["Kong licence"].found
    assert "KEY-0123456789" not in str(found)


def test_enterprise_images_alone_need_a_licence() -> None:
    found = checks({"kong/kong-gateway:3.14": {}})
    assert not fine(found, "docker")
    assert "KONG_LICENSE_DATA" in found["Kong licence"].advice


def test_a_port_that_is_taken_is_a_note_with_the_option_that_changes_it() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8088))
        except OSError:
            pass  # somebody else has it, which is as good
        else:
            taken.listen()
        found = checks({})
    assert (found["port 8088"].state, found["port 8088"].found) == ("note", "taken")
    assert "ingest --port" in found["port 8088"].advice


def doctor(*options: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli.main", "doctor", *options]
    whole = {**os.environ, "PYTHONPATH": str(CHECKOUT), **environ}
    return subprocess.run(command, env=whole, capture_output=True, text=True, timeout=60, check=False)


def test_the_exit_code_says_whether_the_purpose_can_be_met(tmp_path: Path) -> None:
    nowhere = {"DOCKER_HOST": "tcp://127.0.0.1:9"}
    assert doctor(environ=nowhere).returncode == 0
    done = doctor("--for", "docker", "--json", environ=nowhere)
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert (document["for"], document["ok"]) == ("docker", False)
    missing = [check["name"] for check in document["checks"] if check["state"] == "missing"]
    assert missing == ["docker engine", "gateway images"]
    table = doctor("--for", "docker", environ=nowhere)
    assert table.stdout.rstrip().endswith("For docker: something is missing.")
