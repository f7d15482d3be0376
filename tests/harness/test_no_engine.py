"""No engine, no image, no licence: the run ends with 2, in good time, and with one line that says what to do."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from docker_engine import CHECKOUT
from test_licence import licence

from harness.cli.deployment import choose_deployment
from harness.cli.main import CannotContinue
from harness.targets import containers
from harness.targets.containers import Engine
from harness.targets.surroundings import look
from harness.targets.target import TargetUnavailableError


class FakeEngine:
    """The part of Docker's API that is asked before anything is started; it has no image and reaches no registry."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.slow = 0.0
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                call = re.sub(r"^/v[\d.]+", "", self.path).partition("?")[0]
                engine.asked.append(f"{self.command} {call}")
                if call == "/images/json":
                    time.sleep(engine.slow)
                status, document = ANSWERS.get(call, (404, {"message": "No such image"}))
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815 - the names http.server calls

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"tcp://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


ANSWERS: dict[str, tuple[int, object]] = {
    "/version": (200, {"ApiVersion": "1.41", "Version": "20.10"}),
    "/_ping": (200, "OK"),
    "/containers/json": (200, []),
    "/images/json": (200, []),
    "/images/create": (500, {"message": "no route to the registry"}),
}


@pytest.fixture
def fake_engine() -> Iterator[FakeEngine]:
    engine = FakeEngine()
    yield engine
    engine.stop()


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a socket that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def dead(tmp_path: Path) -> str:
    """The address of a socket whose process is gone."""
    place = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place))
    return f"unix://{place}"


def run(image: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a scenario in a container of an image."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("KONG_", "DOCKER_"))}
    verb = [sys.executable, "-m", "harness.cli.main", "conformance", "--target", "docker", "--image", image]
    return subprocess.run(
        [*verb, "--scenario", "sub-1-consumer-username", "--workers", "1"],
        cwd=directory,
        env={**own, "PYTHONPATH": str(CHECKOUT), **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


Attempt = Callable[..., str]


@pytest.fixture
def attempt(fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Attempt:
    """Starts a gateway as the command line does, which must fail; gives what the user is told."""
    for name in [name for name in os.environ if name.startswith("KONG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_HOST", fake_engine.url)

    def attempt(image: str | None, plugin: str | None = None, **variables: str) -> str:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        asked = {name: value for name, value in (("image", image), ("plugin", plugin)) if value is not None}
        with pytest.raises((CannotContinue, TargetUnavailableError)) as caught:
            deployment = choose_deployment("docker", "kong-3.14", asked, lambda place, port: pytest.fail("not asked"))
            assert deployment is not None
            deployment.make_target().start()
        assert len(str(caught.value).splitlines()) == 1
        return str(caught.value)

    return attempt


def test_a_socket_without_a_process_is_told(dead: str, tmp_path: Path) -> None:
    done = run("kong:3.9", tmp_path, DOCKER_HOST=dead)
    assert done.returncode == 2
    assert done.stderr.startswith("kong-metering: no Docker engine answers (Connection refused); start it, or name")
    assert len(done.stderr.splitlines()) == 1


def test_an_image_that_is_nowhere_is_told(fake_engine: FakeEngine, tmp_path: Path) -> None:
    done = run("kong:3.9", tmp_path, DOCKER_HOST=fake_engine.url)
    assert done.returncode == 2
    assert done.stderr == (
        "kong-metering: image kong:3.9 is not there and cannot be pulled: no route to the registry\n"
    )


def test_an_engine_that_takes_the_connection_and_says_nothing_is_given_up(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten seconds are enough for a greeting; the test does not wait as long."""
    assert containers.REACH_TIMEOUT <= 10
    monkeypatch.setenv("DOCKER_HOST", silent)
    monkeypatch.setattr(containers, "REACH_TIMEOUT", 0.3)
    with pytest.raises(TargetUnavailableError, match=r"^no Docker engine answers \(no answer in time\); start it"):
        Engine.reach()
    found = {check.name: check for check in look({}, reach=Engine.reach)}
    assert found["docker engine"].state == "missing" and "no answer in time" in found["docker engine"].advice


def test_what_comes_after_the_greeting_may_take_longer(
    fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", fake_engine.url)
    monkeypatch.setattr(containers, "REACH_TIMEOUT", 0.5)
    fake_engine.slow = 1.0
    assert Engine.reach().images() == []


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, "kong/kong-gateway:3.14 needs a licence: set KONG_LICENSE_DATA or give --license-file FILE"),
        (
            {"KONG_LICENSE_DATA": licence("2020-01-31")},
            "the licence for kong/kong-gateway:3.14 expired on 2020-01-31 (KONG_LICENSE_DATA): renew it",
        ),
        ({"KONG_LICENSE_DATA": "garbage-KEY-0123456789"}, "KONG_LICENSE_DATA: is not a Kong licence: not JSON"),
        ({"KONG_LICENSE_PATH": "/no/such/file"}, "/no/such/file: cannot be read: No such file or directory"),
    ],
    ids=["none", "expired", "garbage", "no file"],
)
def test_an_enterprise_gateway_without_a_valid_licence_is_told_before_anything_is_fetched(
    attempt: Attempt, fake_engine: FakeEngine, variables: dict[str, str], told: str
) -> None:
    said = attempt("kong/kong-gateway:3.14", **variables)
    assert said.startswith(told)
    assert "POST /images/create" not in fake_engine.asked
    assert "KEY-0123456789" not in said


def test_where_the_default_image_will_not_do_one_that_is_here_is_named(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "images", lambda self: ["kong/kong-gateway:3.15", "kong:3.9", "postgres:16"])
    said = attempt(None)
    assert said.startswith("kong/kong-gateway:3.14 needs a licence: ")
    assert said.endswith("; one that is here is kong:3.9: --image kong:3.9")
    assert "one that is here" not in attempt("kong/kong-gateway:3.14")


def test_a_licence_that_is_none_does_not_stand_against_an_image_that_needs_none(
    attempt: Attempt, capsys: pytest.CaptureFixture[str]
) -> None:
    garbage = {"KONG_LICENSE_DATA": "garbage-KEY-0123456789"}
    assert "cannot be pulled" in attempt("kong:3.9", **garbage)
    note = "kong-metering: KONG_LICENSE_DATA: is not a Kong licence: not JSON; kong:3.9 needs none\n"
    assert capsys.readouterr().err == note
    assert attempt("kong:3.9", plugin="own", **garbage) == "KONG_LICENSE_DATA: is not a Kong licence: not JSON"
