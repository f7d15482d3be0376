"""Secrets in every place where one may come, relayed to an endpoint that repeats them: none is in any byte after."""

from __future__ import annotations

import base64
import gzip
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
import requests
from ingest_as_process import TOKEN, Ingest
from mitmproxy_as_process import Mitmproxy
from stored_text import stored_text
from test_ingest_relay import Endpoint, event

from harness.capture.store import CaptureReader
from harness.ingest.stand_in import free_port

PATH = "/v3/openmeter/events"
BEARER = TOKEN
API_KEY = 'key/with+odd"signs&0011223344'
PASSWORD, COOKIE = "basic-password-2468101214", "cookie-secret-1357911131517"
CUSTOM, QUERY, FRAGMENT = "custom-secret-a1b2c3d4e5", "query-secret-f6a7b8c9d0", "sig-secret-1029384756"
TRAILER, NAMED, BROKEN, USERINFO = (
    "trailer-secret-99887766",
    "lane-secret-554433",
    "broken-secret-aabbccdd",
    "userinfo-secret-77",
)
SERVER_COOKIE, SERVER_TOKEN, SERVER_QUERY = "set-cookie-secret-4242", "issued-secret-6363636", "redirect-secret-8484"
SENT = (BEARER, API_KEY, PASSWORD, COOKIE, CUSTOM, QUERY, FRAGMENT)
SECRETS = (*SENT, TRAILER, NAMED, BROKEN, USERINFO, SERVER_COOKIE, SERVER_TOKEN, SERVER_QUERY)

HEADERS = {
    "Authorization": f"Bearer {BEARER}",
    "X-API-KEY": API_KEY,
    "Proxy-Authorization": "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode(),
    "Cookie": f'lang=en; sid="{COOKIE}"',
    "X-Custom-Token": CUSTOM,
    "X-Forwarded-For-Debug": f"was Bearer {BEARER}",
    "User-Agent": f"agent/{CUSTOM}",
    "Content-Type": "application/cloudevents-batch+json",
}
QUERIES = f"?api_key={QUERY}&page=2&sig={FRAGMENT}"


def forms(secret: str) -> set[bytes]:
    """Return the ways in which a secret could be read by who searches for it."""
    return {one.encode() for one in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1])}


def answers() -> list[tuple[int, dict[str, str], bytes]]:
    """Return what the endpoint answers: each repeats what it was sent, in another way."""
    echo = json.dumps({"unknown": SENT}).encode()
    location = f"https://elsewhere.example/{quote(BEARER)}/events?token={SERVER_QUERY}&was={quote(API_KEY, safe='')}"
    return [
        (202, {"X-Echo": " ".join(SENT), "Set-Cookie": f"sid={SERVER_COOKIE}", "X-Auth-Token": SERVER_TOKEN}, echo),
        (401, {"Content-Type": "application/problem+json"}, echo),
        (200, {"Content-Encoding": "gzip", "Content-Type": "application/json"}, gzip.compress(echo)),
        (307, {"Location": location}, b""),
        (500, {"Content-Type": "text/html"}, b"<p>" + " ".join(SENT).encode()),
    ]


def raw(port: int, *lines: str, body: str = "") -> None:
    """Send bytes of one's own and read what comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall("\r\n".join([*lines, "", body]).encode("latin-1"))
        client.shutdown(socket.SHUT_WR)
        while client.recv(1 << 16):
            pass


def send_all(port: int, endpoint: Endpoint) -> None:
    """Send secrets in every place; what the endpoint sees of them is checked, too: they were passed on."""
    endpoint.answers[:] = answers()
    url = f"http://127.0.0.1:{port}{PATH}{QUERIES}"
    for number in range(5):
        batch = [event(f"t-{number}"), event(f"u-{number}", subject="" if number == 1 else "alice")]
        requests.post(url, json.dumps(batch), headers=HEADERS, timeout=20, allow_redirects=False)
        path, headers, _ = endpoint.seen[-1]
        assert path == PATH + QUERIES and headers["authorization"] == HEADERS["Authorization"]
        assert headers["x-api-key"] == API_KEY and headers["cookie"] == HEADERS["Cookie"]
    repeated = [event(BEARER, subject=API_KEY, data={"request_uri": f"/?k={BEARER}", "key": CUSTOM})]
    requests.post(url, json.dumps(repeated), headers=HEADERS, timeout=20)
    assert json.loads(endpoint.seen[-1][2]) == repeated
    requests.post(url, f"no JSON {BEARER} {API_KEY}", headers=HEADERS, timeout=20)
    requests.post(f"http://127.0.0.1:{port}/{BEARER}/none", "[]", headers=HEADERS, timeout=20)
    requests.get(url, headers=HEADERS, timeout=20)
    requests.post(f"http://127.0.0.1:{port}/lane/{BEARER}{PATH}", "[]", headers=HEADERS, timeout=20)
    head = ["Host: 127.0.0.1", f"Authorization: Bearer {BEARER}"]
    line = f"POST {PATH} HTTP/1.1"
    trailers = f"2\r\n[]\r\n0\r\nX-API-KEY: {TRAILER}\r\n\r\n"
    raw(port, line, *head, "Transfer-Encoding: chunked", "Trailer: X-API-KEY", body=trailers)
    raw(port, line, *head, "Content-Length: 900", body=f"[ cut off {BEARER}")
    for broken in (
        f"Authorization Bearer {BROKEN}",
        f"Authorization : Bearer {BROKEN}",
        f"Auth\0orization: {BROKEN}",
    ):
        raw(port, line, "Host: 127.0.0.1", broken, "Content-Length: 2", body="[]")
    raw(port, f"POST http://alice:{USERINFO}@127.0.0.1{PATH} HTTP/1.1", *head, "Content-Length: 2", body="[]")
    raw(port, line, f"Host: alice:{USERINFO}@127.0.0.1", *head[1:], "Content-Length: 2", body="[]")
    raw(port, f"POST {PATH}?api_key={BROKEN} HTTP/9.9 {BROKEN}", *head, "Content-Length: 2", body="[]")
    raw(port, line, *head, f"Expect: {BEARER}", f"Content-Length: {BEARER}", body="[]")


def verb(*words: str) -> bytes:
    """Run a verb; return all that it prints."""
    command = [sys.executable, "-m", "harness.cli.main", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60).stdout


def read_by_verbs(capture: Path, directory: Path) -> dict[str, bytes]:
    """Return what the verbs on a capture print and write."""
    of = ("--capture", str(capture))
    told = {"list": verb("capture", "list", *of), "list --json": verb("capture", "list", *of, "--json")}
    for form in ("jsonl", "csv", "parquet", "har"):
        file = directory / f"export.{form}"
        told[f"export {form}"] = verb("capture", "export", *of, "--format", form, "--out", str(file))
        told[file.name] = file.read_bytes()
        if form == "parquet":
            import pyarrow.parquet

            told[file.name] += str(pyarrow.parquet.read_table(file).to_pylist()).encode()
    for sql in ("SELECT * FROM requests", "SELECT *, body(request), event(request, position) FROM events"):
        told[sql] = verb("capture", "query", sql, *of)
    told["explain"] = verb("capture", "explain", "t-1", *of) + verb("capture", "explain", "t-1", *of, "--json")
    verb("capture", "report", *of, "--out", str(directory / "report.html"))
    told["report"] = (directory / "report.html").read_bytes()
    assert all(text for name, text in told.items() if not name.startswith("export "))
    return told


def files_in(directory: Path) -> dict[str, bytes]:
    return {str(file.relative_to(directory)): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def command_lines(process: int) -> bytes:
    family = [psutil.Process(process), *psutil.Process(process).children(recursive=True)]
    return b"\n".join(Path(f"/proc/{one.pid}/cmdline").read_bytes() for one in family)


def traces(told: dict[str, bytes]) -> list[tuple[str, str]]:
    """Return where which secret is."""
    found = [
        (name, one) for name, text in told.items() for one in SECRETS if any(form in text for form in forms(one))
    ]
    return sorted(found)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    running = Endpoint(tmp_path_factory.mktemp("endpoint"))
    yield running
    running.stop()


def test_no_secret_is_left_by_an_endpoint_that_relays(endpoint: Endpoint, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    running = Ingest(directory, "--relay", endpoint.url, "--relay-ca", str(endpoint.ca))
    try:
        send_all(running.port, endpoint)
        told = {f"while it runs: {name}": text for name, text in files_in(directory).items()}
        assert any(name.endswith("-wal") for name in told)
        control = requests.get(f"http://127.0.0.1:{running.ready['control_port']}/lanes//requests", timeout=20)
        told |= {"command lines": command_lines(running.process.pid), "control": control.content}
        told["control, by its client"] = repr(running.control.requests()).encode()
    finally:
        told["output"] = running.stop().encode()
    told |= files_in(directory)
    told["capture, decompressed"] = stored_text(running.capture).encode()
    told |= read_by_verbs(running.capture, tmp_path)
    assert b"[redacted]" in told["capture, decompressed"] and b"t-1" in told["list"]
    assert traces(told) == []


def test_no_secret_is_printed_for_a_person(endpoint: Endpoint, tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    options = ["--relay", endpoint.url, "--relay-ca", str(endpoint.ca), "--aspects", "--token-env", "INGEST_TOKEN"]
    command = [sys.executable, "-m", "harness.cli.main", "ingest", "--port", str(port), *options]
    environ = {**os.environ, "INGEST_TOKEN": BEARER}
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=output, env=environ)
    try:
        while b"listening" not in (tmp_path / "output").read_bytes():
            assert process.poll() is None, (tmp_path / "output").read_text()
            time.sleep(0.02)
        send_all(port, endpoint)
        told = {"command lines": command_lines(process.pid)}
    finally:
        process.terminate()
        process.wait(20)
    told |= files_in(tmp_path)
    assert b"repeats a credential" in told["output"] and b" 401, " in told["output"]
    assert traces(told) == []


def test_no_secret_is_left_by_a_mitmweb_that_relays(endpoint: Endpoint, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    web = free_port("127.0.0.1")
    options = ("--no-web-open-browser", "--web-port", str(web), "-w", str(directory / "flows"))
    settings: dict[str, Any] = {"metering_relay": endpoint.url, "metering_relay_ca": str(endpoint.ca)}
    running = Mitmproxy(directory, "mitmweb", *options, **settings)
    told: dict[str, bytes] = {}
    try:
        send_all(running.port, endpoint)
        running.command(f"metering.export {directory / 'export.jsonl'}")
        running.command(f"save.har @all {directory / 'all.har'}")
        told["events"] = json.dumps(running.command("metering.events")).encode()
        told["explain"] = json.dumps(running.command("metering.explain t-1")).encode()
        base = f"http://127.0.0.1:{web}"
        flows = requests.get(f"{base}/flows", timeout=20)
        told |= {"/flows": flows.content, "/events": requests.get(f"{base}/events", timeout=20).content}
        for flow in flows.json():
            for message in ("request", "response"):
                for part in ("content.data", "content/auto.json"):
                    place = f"/flows/{flow['id']}/{message}/{part}"
                    told[place] = requests.get(base + place, timeout=20).content
        told["command lines"] = command_lines(running.process.pid)
    finally:
        told["output"] = running.stop().encode()
    told |= files_in(directory)
    told["capture, decompressed"] = stored_text(running.capture).encode()
    assert len(flows.json()) > 10 and b"[redacted]" in told["flows"] and b"t-1" in told["export.jsonl"]
    assert traces(told) == []


@pytest.mark.parametrize("server", ["mitmproxy", "fast"])
def test_a_body_that_repeats_the_token_is_stored_without_it_and_says_so(tmp_path: Path, server: str) -> None:
    running = Ingest(tmp_path, "--server", server)
    try:
        batch = [event("a", subject=BEARER), event("b")]
        url = f"http://127.0.0.1:{running.port}{PATH}"
        headers = {"Authorization": f"Bearer {BEARER}"}
        answer = requests.post(url, json=batch, headers=headers, timeout=20)
        again = requests.post(url, json=batch, headers=headers, timeout=20)
    finally:
        output = running.stop()
    assert (answer.status_code, again.status_code) == (202, 202)
    first, second = CaptureReader(running.capture).requests()
    assert [one.event["subject"] for one in first.events()] == ["[redacted]", "alice"]
    assert [one.verdict for one in first.verdicts] == ["accepted"] * 2
    assert [one.verdict for one in second.verdicts] == ["duplicate"] * 2
    assert "repeats a credential" in first.findings[0].message and first.size == len(json.dumps(batch))
    assert BEARER not in output + stored_text(running.capture)
