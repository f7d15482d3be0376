"""``kong`` in the image: health, version, config parse. What stops a gateway is tested in a container."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from harness.cli import kong_command
from loadtests.ports import lasting_port

GATEWAY = "/usr/bin/python3\0-m\0harness.cli.kong_gateway\0kong\0docker-start\0"


def process(proc: Path, number: int, command: str, namespace: str | None = None) -> None:
    (proc / str(number) / "ns").mkdir(parents=True)
    (proc / str(number) / "cmdline").write_bytes(command.encode())
    (proc / str(number) / "ns" / "mnt").symlink_to(namespace or Path("/proc/self/ns/mnt").readlink())


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which the gateway runs."""
    process(tmp_path, 1, GATEWAY)
    monkeypatch.setattr(kong_command, "PROCESSES", tmp_path)


@pytest.fixture
def admin() -> Iterator[int]:
    """The port of an Admin API whose /status answers 500 when the path before it says so."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(self.server.status)  # type: ignore[attr-defined]
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    server.status = 200  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def said(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as ended:
        kong_command.run(list(arguments))
    told = capfd.readouterr()
    return ended.value.code, told.out.strip(), told.err.strip()


def test_the_gateway_is_found_among_the_processes_of_its_own_container(tmp_path: Path) -> None:
    process(tmp_path, 7, GATEWAY, namespace="mnt:[1]")
    process(tmp_path, 8, "/bin/sh\0-c\0exec python3 -m harness.cli.kong_gateway\0")
    assert kong_command.running_gateway(tmp_path) is None
    process(tmp_path, 9, GATEWAY)
    (tmp_path / "10").mkdir()  # one that ends while it is looked at
    assert kong_command.running_gateway(tmp_path) == 9


def test_no_gateway_is_not_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kong_command, "PROCESSES", tmp_path)
    assert said(capfd, "health") == (1, "", "kong: the gateway is not running")
    assert said(capfd, "quit") == (1, "", "kong: the gateway is not running")


@pytest.mark.usefixtures("running")
def test_healthy_is_a_gateway_whose_admin_api_answers(
    admin: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KONG_ADMIN_LISTEN", f"0.0.0.0:{admin}")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert said(capfd, "health") == (0, "Kong is healthy", "")


@pytest.mark.usefixtures("running")
def test_an_admin_api_that_does_not_answer_is_told_with_its_address() -> None:
    port = lasting_port()
    complaint = kong_command.unhealthy({"KONG_ADMIN_LISTEN": f"0.0.0.0:{port}"})
    assert complaint is not None
    assert complaint.startswith(f"the Admin API at 127.0.0.1:{port} does not answer: ")


@pytest.mark.usefixtures("running")
def test_without_an_admin_api_the_proxy_must_take_connections(admin: int) -> None:
    """Any listener takes a connection; nothing is asked of it."""
    off = {"KONG_ADMIN_LISTEN": "off"}
    assert kong_command.unhealthy({**off, "KONG_PROXY_LISTEN": f"0.0.0.0:{admin}"}) is None
    complaint = kong_command.unhealthy({**off, "KONG_PROXY_LISTEN": f"[::]:{lasting_port()}"})
    assert complaint is not None and complaint.startswith("the proxy at [::1]:")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["version"], 0, "3.15.0"),
        (["migrations", "bootstrap"], 2, "kong: No such command 'migrations'."),
        (["start", "-c", "kong.conf"], 2, "kong: options of start are not emulated: set KONG_… variables"),
    ],
)
def test_what_it_has_and_what_it_refuses(
    arguments: list[str],
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KONG_METERING_GATEWAY", "3.15")
    ended, out, err = said(capfd, *arguments)
    assert (ended, out or err) == (code, told)


def test_config_parse_checks_a_declarative_configuration(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "kong.yml"
    file.write_text('_format_version: "3.0"\n')
    assert said(capfd, "config", "parse", str(file))[0] == 0
    file.write_text('_format_version: "3.0"\nservices: [{name: s}]\n')
    code, _, err = said(capfd, "config", "parse", str(file))
    assert code == 2
    assert "/services/0/host: required field is missing" in err
