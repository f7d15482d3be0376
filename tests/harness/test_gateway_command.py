"""``kong-metering gateway`` as a process: readiness, signals, and what it says when it cannot run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main

TOKEN = "very-secret-token"


class Ingest:
    """An endpoint that answers ``status`` and keeps the bodies it was sent."""

    def __init__(self) -> None:
        self.status = 202
        self.bodies: list[bytes] = []
        self.arrived = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                outer.arrived.set()
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/events"


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    endpoint = Ingest()
    yield endpoint
    endpoint.server.shutdown()
    endpoint.server.server_close()


def state_file(directory: Path, ingest_url: str, queue: dict[str, Any] | None = None) -> Path:
    state = {
        "_format_version": "3.0",
        "services": [
            {
                "name": "example-service",
                "url": "http://httpbin.konghq.com/anything",
                "routes": [{"name": "example-route", "paths": ["/anything"]}],
                "plugins": [
                    {"name": "key-auth"},
                    {
                        "name": "metering-and-billing",
                        "config": {"ingest_endpoint": ingest_url, "api_token": TOKEN, "queue": queue or {}},
                    },
                ],
            }
        ],
        "consumers": [{"username": "alice", "keyauth_credentials": [{"key": "alice-key"}]}],
    }
    path = directory / "kong.yml"
    path.write_text(json.dumps(state, indent=1))
    return path


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "harness.cli.main", "gateway", *map(str, arguments)]


def refused(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=30, check=False)


class Running:
    """A gateway process that has said it is ready."""

    def __init__(self, *arguments: str | Path) -> None:
        self.process = subprocess.Popen(
            command(*arguments, "--proxy-port", "0", "--admin-port", "0", "--echo-upstream", "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.ready = json.loads(self.process.stdout.readline())

    def get(self, path: str, key: str = "alice-key") -> int:
        request = urllib.request.Request(self.ready["proxy"] + path, headers={"apikey": key})
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    def stop(self, which: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(which)
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors


@pytest.fixture
def running(tmp_path: Path, ingest: Ingest, request: pytest.FixtureRequest) -> Iterator[Running]:
    gateway = Running("--config", state_file(tmp_path, ingest.url, getattr(request, "param", None)))
    yield gateway
    if gateway.process.poll() is None:
        gateway.process.kill()
        gateway.process.communicate()


def test_a_ready_gateway_serves_and_each_request_makes_an_event(running: Running, ingest: Ingest) -> None:
    assert running.ready["pid"] == running.process.pid
    assert running.get("/anything") == 200
    assert running.get("/anything", "wrong") == 401
    assert ingest.arrived.wait(10)
    event = json.loads(ingest.bodies[0])
    event = event[0] if isinstance(event, list) else event
    assert (event["type"], event["subject"]) == ("kong.api_request", "alice")
    with urllib.request.urlopen(running.ready["admin"] + "/status", timeout=10) as response:
        assert json.load(response)["server"]["total_requests"] == 3  # itself too


@pytest.mark.parametrize("running", [{"max_batch_size": 100, "max_coalescing_delay": 3600}], indirect=True)
def test_sigquit_delivers_what_is_queued(running: Running, ingest: Ingest) -> None:
    for _ in range(3):
        running.get("/anything")
    code, errors = running.stop(signal.SIGQUIT)
    assert code == 0, errors
    assert sum(len(json.loads(body)) for body in ingest.bodies) == 3


@pytest.mark.parametrize("running", [{"max_batch_size": 100, "max_coalescing_delay": 3600}], indirect=True)
@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_and_sigint_lose_what_is_queued_and_say_how_much(
    running: Running, ingest: Ingest, which: signal.Signals
) -> None:
    for _ in range(3):
        running.get("/anything")
    code, errors = running.stop(which)
    assert code == 0
    assert "3 queued events were lost" in errors
    assert ingest.bodies == []


def test_no_secret_is_ever_printed(running: Running, ingest: Ingest) -> None:
    ingest.status = 500
    running.get("/anything")
    assert ingest.arrived.wait(10)
    _, errors = running.stop(signal.SIGTERM)
    assert "could not send" in errors or "lost" in errors
    assert TOKEN not in errors
    assert "alice-key" not in errors


def test_check_validates_and_starts_nothing(tmp_path: Path) -> None:
    result = refused("--config", state_file(tmp_path, "http://127.0.0.1:9/e"), "--check")
    assert (result.returncode, result.stderr) == (0, "")
    assert "ok" in result.stdout


@pytest.mark.parametrize("taken", ["--proxy-port", "--admin-port"])
def test_a_port_in_use_is_one_line_and_exit_code_2(tmp_path: Path, taken: str) -> None:
    other = "--admin-port" if taken == "--proxy-port" else "--proxy-port"
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        port = str(occupied.getsockname()[1])
        result = refused("--config", state_file(tmp_path, "http://127.0.0.1:9/e"), taken, port, other, "0")
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "in use" in line
    assert port in line


def test_a_bad_state_file_is_one_line_with_its_place_and_exit_code_2(tmp_path: Path) -> None:
    path = tmp_path / "kong.yml"
    path.write_text('_format_version: "3.0"\nservices:\n- name: s\n  url: http://h\n  nope: 1\n')
    result = refused("--config", path, "--proxy-port", "0", "--no-admin")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert f"{path}:5" in line
    assert "nope" in line


def test_a_regular_expression_that_cannot_be_used_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    path = tmp_path / "kong.yml"
    path.write_text(
        '_format_version: "3.0"\nservices:\n- name: s\n  url: http://h\n  routes:\n  - name: r\n    paths: ["~/a("]\n'
    )
    result = refused("--config", path, "--proxy-port", "0", "--no-admin")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


def test_a_missing_state_file_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    result = refused("--config", tmp_path / "none.yml")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may listen on any port")
def test_a_port_without_permission_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    result = refused("--config", state_file(tmp_path, "http://127.0.0.1:9/e"), "--proxy-port", "80", "--no-admin")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("amberflo.endpoint", "write PLUGIN.NAME=VALUE"),
        ("endpoint=http://127.0.0.1/", "write PLUGIN.NAME=VALUE"),
        ("stripe.endpoint=http://127.0.0.1/", "there is no metering plugin 'stripe'"),
        ("amberflo.url=http://127.0.0.1/", "unknown field"),
        ("amberflo.endpoint=127.0.0.1", "not an absolute http(s) URL"),
        ("amberflo.shared_client=perhaps", "bool"),
    ],
)
def test_a_plugin_option_that_is_none_is_a_mistake_in_one_line(
    tmp_path: Path, option: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = state_file(tmp_path, "http://127.0.0.1:9/")
    with pytest.raises(SystemExit) as ended:
        main(["gateway", "--check", "--config", str(config), "--plugin-option", option])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


def test_plugin_options_are_taken_as_text_for_their_types(tmp_path: Path) -> None:
    config = state_file(tmp_path, "http://127.0.0.1:9/")
    given = ["amberflo.endpoint=http://127.0.0.1:8088/i", "amberflo.shared_client=false", "amberflo.client=later"]
    options = [word for option in given for word in ("--plugin-option", option)]
    with pytest.raises(SystemExit) as ended:
        main(["gateway", "--check", "--config", str(config), *options])
    assert ended.value.code == 0
