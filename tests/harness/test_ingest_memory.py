"""What an ingest process holds in memory does not grow with what it has received."""

from __future__ import annotations

import http.client
import itertools
import json
from pathlib import Path

import psutil
import pytest
from ingest_as_process import TOKEN, Ingest
from mitmproxy_as_process import Mitmproxy
from test_mitmproxy_addon import event, send

SERVERS = ("mitmproxy", "fast")
_ids = itertools.count(1)


def post(client: http.client.HTTPConnection, *ids: str) -> int:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/cloudevents-batch+json"}
    client.request("POST", "/v3/openmeter/events", json.dumps([event(one) for one in ids]), headers)
    answer = client.getresponse()
    answer.read()
    return answer.status


@pytest.mark.parametrize("server", SERVERS)
def test_an_event_is_known_again_for_as_long_as_it_is_to_be_remembered(tmp_path: Path, server: str) -> None:
    running = Ingest(tmp_path, "--server", server, "--remember", "2")
    try:
        client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
        for one in ("a", "b", "a", "c", "d", "e", "f", "a"):
            assert post(client, one) == 202
        verdicts = [request.verdicts[0].verdict for request in running.control.requests()]
    finally:
        running.stop()
    assert verdicts == ["accepted", "accepted", "duplicate", *["accepted"] * 5]


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_a_process_that_remembers_little_does_not_grow_with_what_it_receives(tmp_path: Path, server: str) -> None:
    """Two rounds of 50,000 events; to remember them would take 5 MB each."""
    running = Ingest(tmp_path, "--server", server, "--quiet", "--remember", "1000")
    try:
        process = psutil.Process(running.process.pid)
        client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)

        def after_a_round() -> int:
            for _ in range(1000):
                assert post(client, *(f"e-{next(_ids)}" for _ in range(50))) == 202
            return process.memory_info().rss

        first = after_a_round()
        assert after_a_round() - first < 3_000_000
    finally:
        running.stop()


def test_the_addon_remembers_as_many_events_as_it_is_told(tmp_path: Path) -> None:
    running = Mitmproxy(tmp_path, metering_remember="1")
    try:
        assert [send(running, event(one)) for one in ("a", "a", "b", "c", "a")] == [202] * 5
        told = [line[2] for line in running.command("metering.explain a")]
        with pytest.raises(RuntimeError, match="metering_remember: must be at least 1"):
            running.command("set metering_remember 0")
    finally:
        running.stop()
    assert told == ["accepted, answer 202", "duplicate, answer 202", "accepted, answer 202"]
