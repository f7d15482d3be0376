"""Relayed through a stand-in: a client speaks TLS to the endpoint's real name, by our proxy, and is passed on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from ingest_as_process import TOKEN, Ingest
from mitmproxy_as_process import TOKEN as OWN_TOKEN
from mitmproxy_as_process import Mitmproxy
from stored_text import stored_text
from test_ingest_relay import Endpoint, event, last
from test_ingest_stand_in import records, session

from harness.capture.store import CaptureReader

V3 = ("https://us.api.konghq.com/v3/openmeter/events", "Authorization", f"Bearer {TOKEN}")
AMBERFLO = ("https://app.amberflo.io/ingest", "X-API-KEY", TOKEN)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    running = Endpoint(tmp_path_factory.mktemp("endpoint"))
    yield running
    running.stop()


class Led:
    """A client that is led by the proxy to an endpoint which relays; ``url`` is the only one it knows."""

    def __init__(self, directory: Path, endpoint: Endpoint, profile: str) -> None:
        self.url, header, value = V3 if profile == "v3" else AMBERFLO
        hosts = ("--stand-in-for", "us.api.konghq.com") if profile == "v3" else ()
        relay = ("--relay", endpoint.url, "--relay-ca", str(endpoint.ca))
        stand_in = ("--ca-dir", str(directory / "ca"), "--proxy-port", "0", *hosts)
        self.ingest = Ingest(directory, "--profile", profile, *stand_in, *relay)
        self.client = session(self.ingest)
        self.client.headers.pop("X-API-KEY")
        self.client.headers[header] = value
        self.sent_header = (header.lower(), value)
        self.entries: Callable[[], list[dict[str, Any]]] = records if profile == "amberflo" else self._events
        self._number = 0

    def _events(self) -> list[dict[str, Any]]:
        self._number += 1
        return [event(f"e-{self._number}")]

    def post(self, entries: list[dict[str, Any]], path: str = "") -> requests.Response:
        """Send a batch to the real name."""
        return self.client.post(self.url + path, json=entries, timeout=20, allow_redirects=False)


@pytest.fixture(scope="module", params=["v3", "amberflo"])
def led(
    request: pytest.FixtureRequest, endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Led]:
    running = Led(tmp_path_factory.mktemp(str(request.param)), endpoint, request.param)
    yield running
    running.client.close()
    running.ingest.stop()


def test_a_batch_for_the_real_name_reaches_the_relay_s_endpoint_and_its_answer_comes_back(
    led: Led, endpoint: Endpoint
) -> None:
    endpoint.answers.append((200, {"X-Request-Id": "real"}, b"taken by the real one"))
    sent = led.entries()
    answer = led.post(sent, "?trace=1")
    assert (answer.status_code, answer.text, answer.headers["X-Request-Id"]) == (200, "taken by the real one", "real")
    path, headers, body = endpoint.seen[-1]
    assert path == led.url.partition("//")[2].partition("/")[1] + led.url.split("/", 3)[3] + "?trace=1"
    assert json.loads(body) == sent and led.sent_header in headers.items()
    assert headers["host"] == endpoint.url.removeprefix("https://")
    captured = last(led.ingest)
    assert (captured.status, captured.verdicts[0].verdict) == (200, "accepted")
    assert (captured.relayed.host, captured.relayed.status, captured.relayed.size) == ("localhost", 200, 21)


def test_a_retry_after_a_fault_and_a_failure_of_the_endpoint_is_told_from_a_first_try(
    led: Led, endpoint: Endpoint
) -> None:
    sent = led.entries()
    led.ingest.control.add_faults("", [503, 200])
    before = len(endpoint.seen)
    endpoint.answers.append((500, {}, b"{}"))
    assert [led.post(sent).status_code for _ in range(3)] == [503, 500, 202]
    assert len(endpoint.seen) == before + 2
    tries = led.ingest.control.requests()[-3:]
    assert [one.verdicts[0].verdict for one in tries] == ["refused", "refused", "accepted"]
    assert [None if one.relayed is None else one.relayed.status for one in tries] == [None, 500, 202]


def test_another_host_is_refused_by_the_proxy_and_not_relayed(led: Led, endpoint: Endpoint) -> None:
    before = len(endpoint.seen)
    with pytest.raises(requests.exceptions.ProxyError, match="403"):
        led.client.post("https://example.com/ingest", json=led.entries(), timeout=20)
    assert len(endpoint.seen) == before


def test_the_credential_is_in_no_stored_byte(led: Led, endpoint: Endpoint) -> None:
    endpoint.answers.append((403, {}, f"unknown key {TOKEN}".encode()))
    assert led.post(led.entries()).text == "unknown key [redacted]"
    assert endpoint.seen[-1][1][led.sent_header[0]] == led.sent_header[1]
    assert TOKEN not in stored_text(led.ingest.capture)


def test_a_mitmproxy_of_one_s_own_that_is_a_forward_proxy_relays_for_the_real_name_too(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    settings = {"metering_hosts": "us.api.konghq.com", "metering_relay": endpoint.url}
    running = Mitmproxy(tmp_path, "mitmdump", "--mode", "regular", metering_relay_ca=str(endpoint.ca), **settings)
    url, header, _ = V3
    before = len(endpoint.seen)
    try:
        with requests.Session() as client:
            client.trust_env = False
            client.proxies = {"https": f"http://127.0.0.1:{running.port}"}
            client.verify = str(tmp_path / "confdir" / "mitmproxy-ca-cert.pem")
            answer = client.post(url, json=[event("own")], headers={header: f"Bearer {OWN_TOKEN}"}, timeout=20)
    finally:
        output = running.stop()
    assert answer.status_code == 202 and len(endpoint.seen) == before + 1
    assert endpoint.seen[-1][1]["authorization"] == f"Bearer {OWN_TOKEN}"
    (captured,) = CaptureReader(running.capture).requests()
    assert captured.relayed is not None and captured.relayed.status == 202
    assert OWN_TOKEN not in output + stored_text(running.capture)
