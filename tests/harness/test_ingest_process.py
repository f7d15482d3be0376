"""``kong-metering ingest`` as a process: over HTTP, killed, misused."""

from __future__ import annotations

import http.client
import itertools
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ingest_as_process import TOKEN, Ingest
from stored_text import stored_text

from harness.capture.store import CaptureReader
from harness.ingest.control import ControlError

WRONG_TOKEN = "kpat-wrong-9876543210"
_ids = itertools.count(1)


SERVERS = ("mitmproxy", "fast")


@pytest.fixture(scope="module", params=SERVERS)
def ingest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingest]:
    running = Ingest(tmp_path_factory.mktemp("ingest"), "--quiet", "--server", request.param)
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture
def lane(ingest: Ingest, request: pytest.FixtureRequest) -> str:
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)[:100].strip("-")
    ingest.control.set_lane(name, token=TOKEN)
    return name


def event(**members: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"event-{next(_ids)}",
        "source": "kong",
        "type": "kong.api_request",
        "subject": "alice",
        **members,
    }


def post(
    port: int, lane: str, body: Any, token: str | None = TOKEN, timeout: float = 10.0
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    prefix = f"/lane/{lane}" if lane else ""
    try:
        connection.request("POST", f"{prefix}/v3/openmeter/events", json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def test_an_event_is_answered_202_and_captured_with_its_verdict(ingest: Ingest, lane: str) -> None:
    sent = event()
    status, headers, body = post(ingest.port, lane, sent)
    assert (status, headers["content-length"], body) == (202, "0", b"")
    (captured,) = ingest.control.requests(lane, wait=10)
    assert (captured.n, captured.lane, captured.status, captured.method) == (1, lane, 202, "POST")
    assert [(item.event, item.verdict.verdict) for item in captured.events()] == [(sent, "accepted")]
    assert ["Host", f"127.0.0.1:{ingest.port}"] in [list(header) for header in captured.headers]
    assert abs(captured.arrived_at - time.time()) < 60


def test_a_bad_event_is_answered_with_a_problem_document(ingest: Ingest, lane: str) -> None:
    status, headers, body = post(ingest.port, lane, event(subject=""))
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(body)["invalid_parameters"][0]["field"] == "subject"


def test_lanes_have_their_own_token_script_numbers_and_memory(ingest: Ingest, lane: str) -> None:
    other = f"{lane}.other"
    ingest.control.set_lane(other, token=WRONG_TOKEN, script=[503, 202])
    same = event()
    assert post(ingest.port, lane, same)[0] == 202
    assert [post(ingest.port, other, same, WRONG_TOKEN)[0] for _ in range(2)] == [503, 202]
    assert post(ingest.port, other, same)[0] == 403
    assert post(ingest.port, other, same, token=None)[0] == 401
    verdicts = [[v.verdict for v in item.verdicts] for item in ingest.control.requests(other)]
    assert verdicts == [["refused"], ["accepted"], ["refused"], ["refused"]]
    assert ingest.control.counts(other)["requests"] == 4
    assert [item.n for item in ingest.control.requests(lane)] == [1]


def post_records(port: int, lane: str, body: Any, key: str | None = TOKEN) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Content-Type": "application/json"} | ({"X-API-KEY": key} if key else {})
    try:
        connection.request("POST", f"/lane/{lane}/ingest", json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def record(**members: Any) -> dict[str, Any]:
    return {
        "uniqueId": f"5c10fade-1c9e-4d6c-8275-{next(_ids):012x}",
        "meterApiName": "api-calls",
        "customerId": "alice",
        "meterValue": 1,
        "meterTimeInMillis": 1767229261001,
        **members,
    }


def test_a_lane_can_stand_in_for_amberflo_beside_lanes_for_events(ingest: Ingest, lane: str) -> None:
    ingest.control.set_lane(lane, token=TOKEN, profile="amberflo", script=[503, {"times": 9, "status": 200}])
    sent = [record(), record()]
    assert post_records(ingest.port, lane, sent)[0] == 503
    assert post_records(ingest.port, lane, sent) == (200, b"")
    assert post_records(ingest.port, lane, sent)[0] == 200
    assert post_records(ingest.port, lane, [record(customerId="")])[0] == 400
    assert post_records(ingest.port, lane, sent, key=None)[0] == 401
    assert post_records(ingest.port, lane, sent, key=WRONG_TOKEN)[0] == 403
    ingest.control.remove_faults(lane)
    assert post_records(ingest.port, lane, [record()]) == (200, b"1 records were ingested")
    captured = ingest.control.requests(lane)
    assert [[verdict.verdict for verdict in request.verdicts] for request in captured] == [
        ["refused", "refused"],
        ["accepted", "accepted"],
        ["duplicate", "duplicate"],
        ["invalid"],
        ["refused", "refused"],
        ["refused", "refused"],
        ["accepted"],
    ]
    assert [item.event for item in captured[1].events()] == sent
    keys = {value for request in captured for name, value in request.headers if name.lower() == "x-api-key"}
    assert keys == {"[redacted]"}
    assert post(ingest.port, lane, event())[0] == 404


def test_setting_a_lane_again_starts_it_afresh(ingest: Ingest, lane: str) -> None:
    same = event()
    post(ingest.port, lane, same)
    ingest.control.set_lane(lane)
    assert ingest.control.requests(lane) == []
    post(ingest.port, lane, same, token="any")
    (captured,) = ingest.control.requests(lane)
    assert (captured.n, captured.verdicts[0].verdict) == (1, "accepted")


def test_a_lane_that_was_never_set_is_404(ingest: Ingest) -> None:
    assert post(ingest.port, "nobody", event())[0] == 404
    with pytest.raises(ControlError, match="no lane"):
        ingest.control.requests("nobody")


@pytest.mark.parametrize(
    ("step", "fault", "verdicts"),
    [
        ({"reset": "before"}, "reset before", []),
        ({"reset": "after"}, "reset after", ["refused"]),
        ({"drop_answer": True}, "drop_answer", ["accepted"]),
        ({"hang": 0.05}, "hang", ["refused"]),
    ],
)
def test_a_fault_closes_the_connection_without_an_answer(
    ingest: Ingest, lane: str, step: dict[str, Any], fault: str, verdicts: list[str]
) -> None:
    ingest.control.set_lane(lane, token=TOKEN, script=[step, 202])
    sent = event()
    with pytest.raises((http.client.HTTPException, OSError)):
        post(ingest.port, lane, sent)
    (captured,) = ingest.control.requests(lane, wait=10)
    assert (captured.status, captured.fault) == (None, fault)
    assert [verdict.verdict for verdict in captured.verdicts] == verdicts
    assert post(ingest.port, lane, sent)[0] == 202
    again = ingest.control.requests(lane, after=1, wait=10)[0].verdicts[0].verdict
    assert again == ("duplicate" if verdicts == ["accepted"] else "accepted")


def test_a_hanging_request_ends_when_its_client_leaves(ingest: Ingest, lane: str) -> None:
    ingest.control.set_lane(lane, token=TOKEN, script=[{"hang": True}, 202])
    with pytest.raises(TimeoutError):
        post(ingest.port, lane, event(), timeout=0.2)
    (captured,) = ingest.control.requests(lane, wait=10)
    assert captured.fault == "hang"


def test_a_hanging_request_is_let_go_when_its_lane_is_removed(ingest: Ingest, lane: str) -> None:
    ingest.control.set_lane(lane, token=TOKEN, script=[{"hang": True}])
    seen: list[str] = []

    def client() -> None:
        try:
            post(ingest.port, lane, event(), timeout=30)
        except (http.client.HTTPException, OSError) as error:
            seen.append(type(error).__name__)

    thread = threading.Thread(target=client)
    thread.start()
    assert ingest.control.requests(lane, wait=10)
    ingest.control.remove_lane(lane)
    thread.join(20)
    assert seen and seen != ["TimeoutError"]


def test_a_delayed_answer_comes_no_earlier_and_has_the_scripted_headers(ingest: Ingest, lane: str) -> None:
    ingest.control.set_lane(lane, token=TOKEN, script=[{"status": 429, "delay": 0.2, "retry_after": 7}])
    start = time.monotonic()
    status, headers, _ = post(ingest.port, lane, event())
    assert time.monotonic() - start >= 0.2
    assert (status, headers["retry-after"]) == (429, "7")


def test_waiting_for_requests_ends_when_one_comes(ingest: Ingest, lane: str) -> None:
    thread = threading.Thread(target=lambda: [post(ingest.port, lane, event()) for _ in range(3)])
    thread.start()
    found = ingest.control.wait_for(lane, lambda requests: len(requests) >= 3, timeout=20)
    thread.join()
    assert [item.n for item in found] == [1, 2, 3]


def test_waiting_in_vain_returns_what_there_is(ingest: Ingest, lane: str) -> None:
    post(ingest.port, lane, event())
    assert len(ingest.control.wait_for(lane, lambda requests: len(requests) >= 2, timeout=0.1)) == 1


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"script": [99]}, "/0"),
        ({"tokn": "x"}, "did you mean 'token'"),
        ({"token": ""}, "non-empty"),
        ({"profile": "v2"}, "v3"),
        ([], "object"),
    ],
)
def test_a_lane_that_cannot_be_set_up_is_refused_with_a_reason(ingest: Ingest, document: Any, words: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", ingest.ready["control_port"], timeout=10)
    connection.request("PUT", "/lanes/x", json.dumps(document))
    response = connection.getresponse()
    assert response.status == 400
    assert words in json.loads(response.read())["errors"][0]
    connection.close()


def test_a_client_that_leaves_in_its_body_is_recorded_as_incomplete(ingest: Ingest, lane: str) -> None:
    with socket.create_connection(("127.0.0.1", ingest.port)) as client:
        client.sendall(f"POST /lane/{lane}/events HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{{".encode())
    (captured,) = ingest.control.requests(lane, wait=10)
    assert (captured.status, captured.fault, captured.verdicts) == (None, "incomplete", ())


def test_nothing_upstream_is_ever_contacted(ingest: Ingest, lane: str) -> None:
    """Neither an absolute URL, a Host header nor CONNECT makes the endpoint open a connection."""
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        address = f"127.0.0.1:{upstream.getsockname()[1]}"
        for head in (
            f"GET http://{address}/x HTTP/1.1\r\nHost: {address}\r\n\r\n",
            f"POST /lane/{lane}/other HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n",
            f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", ingest.port)) as client:
                client.settimeout(10)
                client.sendall(head.encode())
                assert re.match(rb"HTTP/1\.1 40[0-9] ", client.recv(4096))
        upstream.settimeout(0.2)
        with pytest.raises(TimeoutError):
            upstream.accept()


def test_a_port_in_use_is_one_line_and_exit_code_2(ingest: Ingest, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness.cli.main", "ingest", "--port", str(ingest.port)]
    done = subprocess.run(
        [*command, "--capture", str(tmp_path / "c.jsonl")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    expected = f"kong-metering: cannot listen on 127.0.0.1:{ingest.port}: Address already in use"
    assert done.stderr.startswith(expected) and done.stderr.count("\n") == 1


def test_the_token_is_in_no_output(ingest: Ingest, lane: str) -> None:
    """Neither command line nor output nor capture has it; nor is there noise from a stop with open connections.

    Runs after the others: it ends their process to read all it wrote.
    """
    ingest.control.set_lane(lane, token=TOKEN, script=[202, 202, {"hang": True}])
    post(ingest.port, lane, event())
    post(ingest.port, lane, event(subject=""), WRONG_TOKEN)
    with pytest.raises(TimeoutError):
        post(ingest.port, lane, event(), timeout=0.2)
    idle = http.client.HTTPConnection("127.0.0.1", ingest.port, timeout=10)
    idle.request("GET", f"/lane/{lane}/events")
    command_line = Path(f"/proc/{ingest.process.pid}/cmdline").read_bytes().decode()
    output = ingest.stop()
    idle.close()
    assert ingest.process.returncode == 0
    summary = json.loads(output.splitlines()[-1])["summary"]
    assert summary["requests"] > 10 and summary["accepted"] > 5
    written = stored_text(ingest.capture)
    assert "Bearer [redacted]" in written
    for secret in (TOKEN, WRONG_TOKEN):
        for text in (command_line, output, written, ingest.error_file.read_text()):
            assert secret not in text
    assert ingest.error_file.read_text() == ""


@pytest.mark.parametrize("server", SERVERS)
def test_kill_9_loses_no_event_that_was_answered_202(tmp_path: Path, server: str) -> None:
    running = Ingest(tmp_path, "--quiet", "--server", server)
    answered: list[str] = []
    enough = threading.Event()

    def client() -> None:
        with suppress(http.client.HTTPException, OSError):
            while True:
                events = [event() for _ in range(20)]
                status, _, _ = post(running.port, "", events)
                if status == 202:
                    answered.extend(item["id"] for item in events)
                if len(answered) >= 1000:
                    enough.set()

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    running.process.kill()
    for thread in threads:
        thread.join(20)
    running.process.communicate(timeout=20)
    captured = [item for item in CaptureReader(running.capture).events() if item.verdict.verdict == "accepted"]
    ids = [item.event["id"] for item in captured]
    assert len(answered) >= 1000
    assert set(answered) <= set(ids)
    assert len(ids) == len(set(ids))
