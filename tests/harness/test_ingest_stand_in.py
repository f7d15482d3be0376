"""The ingest process in the place of Amberflo's hosts: real TLS, a real proxy, clients that verify certificates."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from ingest_as_process import TOKEN, Ingest
from stored_text import stored_text

from harness.capture.record import CapturedRequest
from harness.cli.main import main
from harness.ingest.certificate_authority import AuthorityError, open_authority

HOSTS = ("app.amberflo.io", "ingest.amberflo.io")
_ids = itertools.count(1)


@pytest.fixture(scope="module")
def ingest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingest]:
    directory = tmp_path_factory.mktemp("stand-in")
    authority = str(directory / "ca")
    running = Ingest(directory, "--quiet", "--profile", "amberflo", "--ca-dir", authority, "--proxy-port", "0")
    yield running
    if running.process.poll() is None:
        running.stop()


def records(customer: str = "alice") -> list[dict[str, Any]]:
    return [
        {
            "uniqueId": f"5c10fade-1c9e-4d6c-8275-{next(_ids):012x}",
            "meterApiName": "api-calls",
            "customerId": customer,
            "meterValue": 1,
            "meterTimeInMillis": 1767229261001,
        }
    ]


def session(ingest: Ingest) -> requests.Session:
    """A client that asks nobody but our proxy, and trusts nobody but our authority."""
    client = requests.Session()
    client.trust_env = False
    client.verify = ingest.ready["ca"]
    client.proxies = dict.fromkeys(("http", "https"), f"http://127.0.0.1:{ingest.ready['proxy_port']}")
    client.headers["X-API-KEY"] = TOKEN
    return client


def captured_since(ingest: Ingest, before: int) -> CapturedRequest:
    (captured,) = ingest.control.requests("", after=before, wait=10)
    return captured


def curl(ingest: Ingest, url: str, body: Any, *options: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("curl")
    if program is None:
        pytest.skip("there is no curl")
    headers = ("-H", "X-API-KEY: " + TOKEN, "-H", "Content-Type: application/json")
    command = [program, "-sS", "--cacert", ingest.ready["ca"], "--max-time", "20", *headers, *options]
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run(
        [*command, "-d", json.dumps(body), url], capture_output=True, text=True, timeout=60, check=False, env=clean
    )


@pytest.mark.parametrize("host", HOSTS)
def test_a_client_of_the_proxy_reaches_the_stand_in_over_verified_tls(ingest: Ingest, host: str) -> None:
    before, sent = ingest.control.counts()["requests"], records()
    with session(ingest) as client:
        answer = client.post(f"https://{host}/ingest", json=sent, timeout=20)
    assert (answer.status_code, answer.text) == (200, "1 records were ingested")
    captured = captured_since(ingest, before)
    assert (captured.method, captured.path) == ("POST", "/ingest")
    assert [(item.event, item.verdict.verdict) for item in captured.events()] == [(sent[0], "accepted")]
    headers = {name.lower(): value for name, value in captured.headers}
    assert (headers["host"], headers["x-api-key"]) == (host, "[redacted]")


def test_one_connection_through_the_proxy_serves_many_requests(ingest: Ingest) -> None:
    before = ingest.control.counts()["requests"]
    with session(ingest) as client:
        for _ in range(3):
            assert client.post("https://app.amberflo.io/ingest", json=records(), timeout=20).ok
    assert len({captured.connection for captured in ingest.control.requests("", after=before)}) == 1


def test_curl_reaches_the_stand_in_by_the_proxy(ingest: Ingest) -> None:
    before = ingest.control.counts()["requests"]
    proxy = ("--proxy", f"http://127.0.0.1:{ingest.ready['proxy_port']}")
    done = curl(ingest, "https://ingest.amberflo.io/ingest", records(), *proxy)
    assert (done.returncode, done.stdout) == (0, "1 records were ingested"), done.stderr
    assert captured_since(ingest, before).verdicts[0].verdict == "accepted"


@pytest.mark.parametrize("host", HOSTS)
def test_curl_reaches_the_stand_in_by_an_alias_of_the_host(ingest: Ingest, host: str) -> None:
    before = ingest.control.counts()["requests"]
    alias = ("--resolve", f"{host}:{ingest.port}:127.0.0.1")
    done = curl(ingest, f"https://{host}:{ingest.port}/ingest", records(), *alias)
    assert (done.returncode, done.stdout) == (0, "1 records were ingested"), done.stderr
    assert captured_since(ingest, before).verdicts[0].verdict == "accepted"


def test_the_script_of_the_docs_leads_a_process_that_knows_the_real_address_alone_to_the_stand_in(
    ingest: Ingest, tmp_path: Path
) -> None:
    """In the plugin's place is a program that is told nothing: neither proxy nor authority nor another address."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("there is no curl")
    page = (Path(__file__).parents[2] / "docs" / "amberflo-capture.md").read_text(encoding="utf-8")
    script = page.partition("```sh\n#!/bin/sh\n")[2].partition("```")[0]
    plugin, wrapper = tmp_path / "amberflo", tmp_path / "amberflo-captured"
    for said, meant in (
        ("http://127.0.0.1:8090", f"http://127.0.0.1:{ingest.ready['proxy_port']}"),
        ("/etc/kong/kong-metering-ca.pem", ingest.ready["ca"]),
        ("/usr/local/bin/amberflo", str(plugin)),
    ):
        assert said in script
        script = script.replace(said, meant)
    wrapper.write_text("#!/bin/sh\n" + script)
    plugin.write_text(f'#!/bin/sh\nexec {program} -sS --max-time 20 "$@" https://app.amberflo.io/ingest\n')
    for file in (wrapper, plugin):
        file.chmod(0o755)
    before = ingest.control.counts()["requests"]
    arguments = ["-H", f"X-API-KEY: {TOKEN}", "-H", "Content-Type: application/json", "-d", json.dumps(records())]
    done = subprocess.run(
        [wrapper, *arguments], capture_output=True, text=True, timeout=60, check=False, env={"PATH": os.defpath}
    )
    assert (done.returncode, done.stdout) == (0, "1 records were ingested"), done.stderr
    assert captured_since(ingest, before).verdicts[0].verdict == "accepted"


def test_the_same_port_takes_plain_http(ingest: Ingest) -> None:
    url = f"http://127.0.0.1:{ingest.port}/ingest"
    assert requests.post(url, json=records(), headers={"X-API-KEY": TOKEN}, timeout=20).status_code == 200


def test_faults_reach_a_client_through_the_proxy(ingest: Ingest) -> None:
    sent = records()
    ingest.control.set_lane("faulty", token=TOKEN, profile="amberflo", script=[503, {"drop_answer": True}, 200])
    url = "https://app.amberflo.io/lane/faulty/ingest"
    with session(ingest) as client:
        assert client.post(url, json=sent, timeout=20).status_code == 503
        with pytest.raises(requests.ConnectionError):
            client.post(url, json=sent, timeout=20)
        assert client.post(url, json=sent, timeout=20).status_code == 200
    verdicts = [request.verdicts[0].verdict for request in ingest.control.requests("faulty")]
    assert verdicts == ["refused", "accepted", "duplicate"]


def test_another_host_is_refused_and_nobody_upstream_is_ever_contacted(ingest: Ingest) -> None:
    """Neither a tunnel, nor a request of the proxy's own kind, nor bytes in a tunnel that are no HTTP get out."""
    before = ingest.control.counts()["requests"]
    with socket.create_server(("127.0.0.1", 0)) as upstream, session(ingest) as client:
        address = f"127.0.0.1:{upstream.getsockname()[1]}"
        with pytest.raises(requests.exceptions.ProxyError, match="403"):
            client.post(f"https://{address}/ingest", json=records(), timeout=20)
        answer = client.post(f"http://{address}/ingest", json=records(), timeout=20)
        assert answer.status_code == 403 and "app.amberflo.io" in answer.json()["detail"]
        with socket.create_connection(("127.0.0.1", ingest.ready["proxy_port"])) as tunnel:
            tunnel.settimeout(20)
            tunnel.sendall(b"CONNECT app.amberflo.io:443 HTTP/1.1\r\nHost: app.amberflo.io:443\r\n\r\n")
            assert tunnel.recv(4096).startswith(b"HTTP/1.1 200")
            tunnel.sendall(b"\x00\x01no http\r\n\r\n")
            assert tunnel.recv(4096)[:12] in (b"", b"HTTP/1.1 400")
        upstream.settimeout(0.2)
        with pytest.raises(TimeoutError):
            upstream.accept()
    assert ingest.control.counts()["requests"] == before


@pytest.mark.parametrize("host", ["example.com", "notapp.amberflo.io", "app.amberflo.io.example.com"])
def test_no_certificate_is_made_for_another_host(ingest: Ingest, host: str) -> None:
    alias = ("--resolve", f"{host}:{ingest.port}:127.0.0.1")
    done = curl(ingest, f"https://{host}:{ingest.port}/ingest", records(), *alias)
    assert done.returncode == 35, done.stderr  # the handshake fails


def test_a_client_that_does_not_trust_the_authority_sends_nothing(ingest: Ingest) -> None:
    before = ingest.control.counts()["requests"]
    with session(ingest) as client:
        client.verify = True
        with pytest.raises(requests.exceptions.SSLError):
            client.post("https://app.amberflo.io/ingest", json=records(), timeout=20)
    assert ingest.control.counts()["requests"] == before


def test_what_goes_wrong_before_a_request_is_told_once_and_the_key_is_in_no_output(ingest: Ingest) -> None:
    """Runs after the others: it ends their process to read all it wrote."""
    proxy = ("--proxy", f"http://127.0.0.1:{ingest.ready['proxy_port']}")
    for _ in range(2):
        assert curl(ingest, "https://example.org/ingest", records(), *proxy).returncode != 0
        with session(ingest) as client, pytest.raises(requests.exceptions.SSLError):
            client.post("https://ingest.amberflo.io/ingest", json=records(), timeout=20, verify=True)
    output = ingest.stop()
    assert ingest.process.returncode == 0
    errors = ingest.error_file.read_text()
    assert errors.count("refused a tunnel to example.org:443: not in --stand-in-for\n") == 1
    assert errors.count("TLS for ingest.amberflo.io failed: ") == 1
    for text in (output, errors, stored_text(ingest.capture)):
        assert TOKEN not in text


def test_an_authority_is_made_once_and_only_its_owner_can_read_its_keys(tmp_path: Path) -> None:
    first = open_authority(tmp_path / "deep" / "ca")
    files = {file.name: file.read_bytes() for file in (tmp_path / "deep" / "ca").iterdir()}
    again = open_authority(tmp_path / "deep" / "ca")
    assert again.default_ca == first.default_ca
    assert {file.name: file.read_bytes() for file in (tmp_path / "deep" / "ca").iterdir()} == files
    secret = [file for file in (tmp_path / "deep" / "ca").iterdir() if b"PRIVATE KEY" in file.read_bytes()]
    assert [file.name for file in secret] == ["mitmproxy-ca.pem"]
    for file in [*secret, tmp_path / "deep" / "ca" / "mitmproxy-ca.p12"]:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_directory_with_a_part_of_an_authority_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mitmproxy-ca-cert.pem").write_text("mine\n")
    with pytest.raises(AuthorityError, match=r"mitmproxy-ca-cert\.pem: is there without"):
        open_authority(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mitmproxy-ca-cert.pem"]
    assert (tmp_path / "mitmproxy-ca-cert.pem").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda key: key.chmod(0o640), "chmod 600"),
        (lambda key: key.write_text("no key\n"), "no key with certificate"),
        (lambda key: key.write_text(key.read_text().partition("-----BEGIN CERT")[0]), "no key with certificate"),
    ],
)
def test_an_authority_that_cannot_be_used_is_one_line(tmp_path: Path, spoil: Any, words: str) -> None:
    open_authority(tmp_path)
    spoil(tmp_path / "mitmproxy-ca.pem")
    with pytest.raises(AuthorityError, match=words) as told:
        open_authority(tmp_path)
    assert str(tmp_path / "mitmproxy-ca.pem") in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--proxy-port", "0"], "need --ca-dir"),
        (["--stand-in-for", "a.example"], "need --ca-dir"),
        (["--ca-dir", "ca", "--server", "fast"], "--ca-dir needs --server mitmproxy"),
        (["--ca-dir", "ca"], "--ca-dir needs --stand-in-for HOST"),
        (["--ca-dir", "ca", "--stand-in-for", "https://a.example"], "not a host name"),
        (["--ca-dir", "file/ca", "--profile", "amberflo"], "file/ca: Not a directory"),
    ],
)
def test_a_user_s_mistake_is_told_and_leaves_nothing_behind(
    options: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        main(["ingest", *options])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
