"""Relay mode against a real endpoint on this machine, over TLS with a CA of its own."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from ingest_as_process import TOKEN, Ingest
from mitmproxy_as_process import TOKEN as OWN_TOKEN
from mitmproxy_as_process import Mitmproxy

from harness.capture.store import CaptureReader
from harness.cli.main import main
from harness.ingest.certificate_authority import CERTIFICATE, open_authority
from harness.ingest.messages import IngestRequest
from harness.ingest.upstream import Upstream, UpstreamError


class Endpoint:
    """A small HTTPS server in the place of the real endpoint; ``answers`` are used up before the 202s begin."""

    def __init__(self, directory: Path) -> None:
        authority = open_authority(directory / "ca")
        self.ca = directory / "ca" / CERTIFICATE
        entry = authority.get_cert("localhost", [x509.DNSName("localhost")])
        pem = directory / "server.pem"
        pem.write_bytes(
            entry.privatekey.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + entry.cert.to_pem()
        )
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                status, headers, answer = endpoint.answers.pop(0) if endpoint.answers else (202, {}, b"")
                if status == 0:  # no answer at all
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pem)
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    running = Endpoint(tmp_path_factory.mktemp("endpoint"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def relay(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingest]:
    running = Ingest(tmp_path_factory.mktemp("relay"), "--relay", endpoint.url, "--relay-ca", str(endpoint.ca))
    yield running
    running.stop()


def event(identity: str, **members: Any) -> dict[str, Any]:
    base = {"specversion": "1.0", "source": "k", "type": "kong.api_request", "subject": "alice"}
    return {**base, "id": identity, "time": "2026-01-01T01:01:01Z", **members}


def send(port: int, *events: dict[str, Any], path: str = "/v3/openmeter/events?x=1", token: str = TOKEN) -> Any:
    return requests.post(
        f"http://127.0.0.1:{port}{path}",
        json=events,
        headers={"Authorization": f"Bearer {token}"},
        timeout=20,
        allow_redirects=False,
    )


def last(running: Ingest) -> Any:
    return list(CaptureReader(running.capture).requests())[-1]


def test_a_request_reaches_the_endpoint_as_it_was_sent_and_the_capture_has_both_directions(
    relay: Ingest, endpoint: Endpoint
) -> None:
    endpoint.answers.append((202, {"X-Kong-Request-Id": "r-1"}, b"taken"))
    answer = send(relay.port, event("a"))
    assert (answer.status_code, answer.content, answer.headers["X-Kong-Request-Id"]) == (202, b"taken", "r-1")
    path, headers, body = endpoint.seen[-1]
    assert path == "/v3/openmeter/events?x=1" and json.loads(body) == [event("a")]
    assert headers["authorization"] == f"Bearer {TOKEN}" and headers["host"] == endpoint.url.removeprefix("https://")
    captured = last(relay)
    assert [verdict.verdict for verdict in captured.verdicts] == ["accepted"] and captured.status == 202
    assert (captured.relayed.host, captured.relayed.status, captured.relayed.size) == ("localhost", 202, 5)
    assert captured.relayed.seconds > 0 and captured.relayed.failure is None


def test_the_endpoint_s_answer_is_final_and_the_verdicts_are_ours(relay: Ingest, endpoint: Endpoint) -> None:
    """What it took although it is wrong is invalid nevertheless; what it did not take is refused."""
    assert send(relay.port, event("b-1"), event("b-2", subject="")).status_code == 202
    assert [verdict.verdict for verdict in last(relay).verdicts] == ["accepted", "invalid"]
    assert send(relay.port, event("b-3")).status_code == 202
    assert send(relay.port, event("b-3")).status_code == 202
    assert [verdict.verdict for verdict in last(relay).verdicts] == ["duplicate"]
    endpoint.answers.append((429, {"Retry-After": "3"}, b"{}"))
    answer = send(relay.port, event("b-4"))
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
    assert [verdict.verdict for verdict in last(relay).verdicts] == ["refused"]


def test_a_fault_keeps_a_request_from_the_endpoint_unless_it_is_taken_in(relay: Ingest, endpoint: Endpoint) -> None:
    relay.control.add_faults("", [503, {"drop_answer": True}, 202])
    before = len(endpoint.seen)
    assert send(relay.port, event("c")).status_code == 503
    assert len(endpoint.seen) == before and last(relay).relayed is None
    with pytest.raises(requests.ConnectionError):
        send(relay.port, event("c"))
    assert len(endpoint.seen) == before + 1
    assert (last(relay).status, last(relay).fault, last(relay).relayed.status) == (None, "drop_answer", 202)
    assert send(relay.port, event("c")).status_code == 202
    assert [verdict.verdict for verdict in last(relay).verdicts] == ["duplicate"]


def test_a_redirect_is_passed_back_and_not_followed(relay: Ingest, endpoint: Endpoint) -> None:
    endpoint.answers.append((307, {"Location": f"{endpoint.url}/elsewhere/events", "Set-Cookie": "a=b"}, b""))
    before = len(endpoint.seen)
    answer = send(relay.port, event("d"))
    assert (answer.status_code, answer.headers["Location"]) == (307, f"{endpoint.url}/elsewhere/events")
    assert "Set-Cookie" not in answer.headers and len(endpoint.seen) == before + 1


@pytest.mark.parametrize("path", ["@127.0.0.1/events", "//127.0.0.1/events", "/\\127.0.0.1/events", ":1/events"])
def test_no_path_leads_to_another_host(endpoint: Endpoint, path: str) -> None:
    upstream = Upstream(endpoint.url, endpoint.ca)
    try:
        url = upstream._url(path)
    except UpstreamError as error:
        assert error.status == 400 and "\n" not in str(error)
    else:
        assert str(url.origin()) == endpoint.url


def test_an_endpoint_that_is_not_trusted_gets_no_token(endpoint: Endpoint, tmp_path: Path) -> None:
    """Without its CA the connection ends in the handshake; the client is told, and so is the operator, once."""
    before = len(endpoint.seen)
    running = Ingest(tmp_path, "--relay", endpoint.url)
    try:
        answers = [send(running.port, event("e")) for _ in range(2)]
    finally:
        running.stop()
    assert [answer.status_code for answer in answers] == [502, 502]
    assert "is not trusted" in answers[0].json()["detail"] and len(endpoint.seen) == before
    assert "is not trusted" in last(running).relayed.failure
    assert running.error_file.read_text().count("is not trusted") == 1


def test_what_was_never_sent_is_told_from_what_got_no_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = Endpoint(tmp_path)
    running = Ingest(tmp_path, "--relay", endpoint.url, "--relay-ca", str(endpoint.ca))
    try:
        endpoint.answers += [(0, {}, b"")] * 2
        answers = [send(running.port, event(one)) for one in ("silent", "twice")]
        endpoint.stop()
        answers += [send(running.port, event(one)) for one in ("refused", "twice")]
    finally:
        running.stop()
    silence, refusal = (
        "localhost: closed the connection without an answer",
        "localhost: could not be reached: connection refused",
    )
    assert [answer.json()["detail"] for answer in answers] == [
        f"The relay got no answer: {failure}" for failure in (silence, silence, refusal, refusal)
    ]
    assert running.error_file.read_text().splitlines() == [f"kong-metering: {each}" for each in (silence, refusal)]
    for key, conclusion in (
        ("silent", f"not known to be billed: 1 delivery, the last one passed on without an answer ({silence})"),
        ("refused", f"not billed: 1 delivery, the last one not passed on ({refusal})"),
        ("twice", f"not known to be billed: 2 deliveries, number 1 passed on without an answer ({silence})"),
    ):
        with pytest.raises(SystemExit):
            main(["capture", "explain", key, "--capture", str(running.capture)])
        assert capsys.readouterr().out.splitlines()[0] == f"event {key}: {conclusion}"


def test_a_name_that_cannot_be_resolved_is_told_in_words() -> None:
    request = IngestRequest("POST", "/events", (), b"{}")
    with pytest.raises(UpstreamError) as told:
        asyncio.run(Upstream("https://no-such-host.invalid").pass_on(request, "/events"))
    assert str(told.value) == "no-such-host.invalid: could not be reached: its name cannot be resolved"


def test_a_path_in_the_address_is_put_before_a_request_s_and_told() -> None:
    upstream = Upstream("https://us.api.konghq.com/meters/")
    assert upstream.address == "https://us.api.konghq.com/meters"
    assert str(upstream._url("/events?x=1")) == "https://us.api.konghq.com/meters/events?x=1"


def test_the_token_is_in_no_byte_that_is_stored_or_printed(endpoint: Endpoint, tmp_path: Path) -> None:
    """Not even when the endpoint repeats it."""
    running = Ingest(tmp_path, "--relay", endpoint.url, "--relay-ca", str(endpoint.ca))
    endpoint.answers.append((401, {"X-Echo": f"for {TOKEN}"}, f"unknown: {TOKEN}".encode()))
    answer = send(running.port, event("f"))
    output = running.stop()
    assert (answer.text, answer.headers["X-Echo"]) == ("unknown: [redacted]", "for [redacted]")
    assert '"relayed":{"host":"localhost"' in output and TOKEN not in output
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert running.capture in files
    assert [file for file in files if TOKEN.encode() in file.read_bytes()] == []


def test_a_mitmproxy_of_one_s_own_relays_too_and_shows_no_token(endpoint: Endpoint, tmp_path: Path) -> None:
    saved = tmp_path / "flows"
    settings = {"metering_relay": endpoint.url, "metering_relay_ca": str(endpoint.ca)}
    running = Mitmproxy(tmp_path, "mitmdump", "--flow-detail", "4", "-w", str(saved), **settings)
    try:
        assert send(running.port, event("g"), token=OWN_TOKEN).status_code == 202
        assert endpoint.seen[-1][1]["authorization"] == f"Bearer {OWN_TOKEN}"
        running.command("metering.fault 503")
        assert send(running.port, event("g"), token=OWN_TOKEN).status_code == 503
        told = [line[2] for line in running.command("metering.explain g")]
        assert told == ["accepted, answer 202", "refused, answer 503"]
    finally:
        output = running.stop()
    assert OWN_TOKEN not in output
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.suffix != ".py"]
    assert [file for file in files if OWN_TOKEN.encode() in file.read_bytes()] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--relay", "http://us.api.konghq.com"), "https://"),
        (("--relay", "us.api.konghq.com"), "https://"),
        (("--relay", "https://someone:secretword@us.api.konghq.com"), "nothing else"),
        (("--relay", "https://us.api.konghq.com", "--relay-ca", "/no/such/ca.pem"), "/no/such/ca.pem"),
        (("--relay", "https://us.api.konghq.com", "--server", "fast"), "--server mitmproxy"),
        (("--relay-ca", "ca.pem"), "--relay"),
    ],
)
def test_a_mistake_is_told_before_anything_is_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    capture = tmp_path / "c"
    with pytest.raises(SystemExit) as ended:
        main(["ingest", "--capture", str(capture), *arguments])
    told = capsys.readouterr().err
    assert ended.value.code == 2 and words in told and "secretword" not in told and not capture.exists()
