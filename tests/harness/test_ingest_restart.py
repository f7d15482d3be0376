"""An ingest endpoint that goes on with the capture of an earlier run, and one whose capture is taken from it."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import pytest
from ingest_as_process import TOKEN, Ingest
from rich.console import Console

from harness.capture.reader import CaptureReader
from harness.capture.store import CaptureWriter
from harness.cli.main import main
from harness.ingest import earlier_runs
from harness.ingest.apis import APIS
from harness.ingest.console import IngestConsole
from harness.ingest.core import IngestSettings
from harness.ingest.faults import FaultScript
from harness.ingest.lanes import Lanes
from harness.ingest.messages import IngestRequest, Receipt

PATHS = {"v3": "/v3/openmeter/events", "v1": "/api/v1/events", "amberflo": "/ingest"}


def event(id_: str, source: str = "kong", **members: Any) -> dict[str, Any]:
    known = {"specversion": "1.0", "id": id_, "source": source, "type": "kong.api_request", "subject": "alice"}
    return known | members


def record(unique_id: str) -> dict[str, Any]:
    named = {"uniqueId": unique_id, "meterApiName": "api-calls", "customerId": "alice"}
    return named | {"meterValue": 1, "meterTimeInMillis": 1767229261001}


def received(lanes: Lanes, *entries: Any, lane: str = "", profile: str = "v3") -> list[str]:
    path = (f"/lane/{lane}" if lane else "") + PATHS[profile]
    headers = (("Authorization", "Bearer x"), ("X-API-KEY", "x"), ("Content-Type", "application/json"))
    body = json.dumps(entries).encode()
    return verdicts(lanes.receive(lanes.arrive(path), IngestRequest("POST", path, headers, body)))


def verdicts(receipt: Receipt) -> list[str]:
    return [one.verdict for one in receipt.verdicts]


class Run:
    """One run of the endpoint over a capture."""

    def __init__(self, path: Path, settings: IngestSettings | None = None, script: FaultScript | None = None) -> None:
        self._capture = CaptureWriter(path)
        self.lanes = Lanes(self._capture, settings or IngestSettings(), script or FaultScript())

    def __enter__(self) -> Lanes:
        return self.lanes

    def __exit__(self, *_: object) -> None:
        self._capture.close()


def test_an_event_of_an_earlier_run_is_known_again_by_id_and_source(tmp_path: Path) -> None:
    with Run(tmp_path / "c") as lanes:
        assert received(lanes, event("1"), event("2")) == ["accepted"] * 2
        assert received(lanes, event("3", subject="unknown"), event("1")) == ["accepted", "duplicate"]
    for _ in range(2):
        with Run(tmp_path / "c") as lanes:
            assert received(lanes, event("1"), event("2"), event("3")) == ["duplicate"] * 3
    with Run(tmp_path / "c") as lanes:
        assert received(lanes, event("1", source="other")) == ["accepted"]


def test_what_an_earlier_run_refused_is_new(tmp_path: Path) -> None:
    with Run(tmp_path / "c", script=FaultScript.parse([503, 202])) as lanes:
        assert received(lanes, event("1")) == ["refused"]
        assert received(lanes, event("2"), event("3", subject="")) == ["refused", "invalid"]
    with Run(tmp_path / "c") as lanes:
        assert received(lanes, event("1"), event("2"), event("3")) == ["accepted"] * 3


def test_a_meter_record_of_an_earlier_run_is_known_again_by_its_unique_id(tmp_path: Path) -> None:
    one, other = "5c10fade-1c9e-4d6c-8275-c52c36731d3c", "5c10fade-1c9e-4d6c-8275-c52c36731d3d"
    with Run(tmp_path / "c", IngestSettings(api=APIS["amberflo"])) as lanes:
        assert received(lanes, record(one), profile="amberflo") == ["accepted"]
    with Run(tmp_path / "c", IngestSettings(api=APIS["amberflo"])) as lanes:
        assert received(lanes, record(one), record(other), profile="amberflo") == ["duplicate", "accepted"]
    with Run(tmp_path / "c") as lanes:
        assert received(lanes, event(one)) == ["accepted"]


def test_a_lane_knows_only_its_own_and_one_that_is_set_up_begins_afresh(tmp_path: Path) -> None:
    with Run(tmp_path / "c") as lanes:
        lanes.set("a", IngestSettings(), FaultScript())
        assert received(lanes, event("1"), lane="a") == ["accepted"]
    with Run(tmp_path / "c") as lanes:
        assert received(lanes, event("1")) == ["accepted"]
        lanes.set("a", IngestSettings(), FaultScript())
        assert received(lanes, event("1"), lane="a") == ["accepted"]


@pytest.mark.parametrize("bound", ["remembered", "most"])
def test_only_the_newest_are_looked_for(tmp_path: Path, bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Run(tmp_path / "c") as lanes:
        for number in range(10):
            received(lanes, event(f"{number}-a"), event(f"{number}-b"))
    settings = IngestSettings(remembered=3 if bound == "remembered" else 1000)
    if bound == "most":
        monkeypatch.setattr(earlier_runs, "MOST", 3)
    with Run(tmp_path / "c", settings) as lanes:
        assert received(lanes, event("9-b"), event("9-a"), event("8-b"), event("8-a")) == [
            *["duplicate"] * 3,
            "accepted",
        ]


def test_the_mark_of_an_entry_is_the_one_that_its_judge_makes() -> None:
    one = "5c10fade-1c9e-4d6c-8275-c52c36731d3c"
    for name, api in APIS.items():
        entry = record(one) if name == "amberflo" else event("1")
        mark = api.mark_of(entry.get("id"), entry.get("source"), entry.get("uniqueId"))
        for thorough in (False, True):
            judge = api.judge(lenient=False, thorough=thorough)
            for _ in range(2):  # the second time by what was learned the first time
                assert list(judge.judge(json.dumps([entry]).encode()).keys) == [mark]


def test_each_request_has_a_number_of_its_own_after_a_restart_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c"
    for id_ in ("1", "2"):
        with CaptureWriter(path) as capture:
            console = IngestConsole(Console(highlight=False))
            received(Lanes(capture, IngestSettings(), FaultScript(), console.request), event(id_))
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["#1", "#2"]
    for verb in (["list"], ["explain", "2"], ["replay", "--to", "http://127.0.0.1:9/events"]):
        with pytest.raises(SystemExit):
            main(["capture", *verb, "--capture", str(path)])
        assert "#2" in capsys.readouterr().out, verb
    with pytest.raises(SystemExit):
        main(["capture", "replay", "--to", "http://127.0.0.1:9/events", "--json", "--capture", str(path)])
    assert [json.loads(line)["request"] for line in capsys.readouterr().out.splitlines()] == [1, 2]


def post(port: int, body: Any) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        connection.request("POST", PATHS["v3"], json.dumps(body), headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("server", ["mitmproxy", "fast"])
def test_a_retry_after_a_restart_is_not_billed_twice(tmp_path: Path, server: str) -> None:
    for _ in range(2):
        running = Ingest(tmp_path, "--server", server)
        assert post(running.port, [event("1")]) == 202
        running.stop()
    rows = list(CaptureReader(tmp_path / "ingest.capture").rows())
    assert [row.verdict for row in rows] == ["accepted", "duplicate"]


@pytest.mark.parametrize("server", ["mitmproxy", "fast"])
def test_a_capture_that_is_taken_away_takes_no_event_until_it_is_back(tmp_path: Path, server: str) -> None:
    running = Ingest(tmp_path, "--server", server)
    path, away = running.capture, tmp_path / "away"
    assert post(running.port, [event("1")]) == 202
    path.rename(away)
    assert [post(running.port, [event("2")]) for _ in range(2)] == [503, 503]
    path.write_bytes(b"")
    assert post(running.port, [event("2")]) == 503
    away.replace(path)
    assert post(running.port, [event("2")]) == 202
    running.stop()
    assert [event.event["id"] for event in CaptureReader(path).events()] == ["1", "2"]
    what = f"{path}: was removed while it was written; put it back, or start again; events are answered 503"
    assert running.error_file.read_text().splitlines() == [f"kong-metering: {what}"]


def test_a_capture_that_was_replaced_takes_no_more(tmp_path: Path) -> None:
    path = tmp_path / "c"
    with Run(path) as lanes:
        assert received(lanes, event("1")) == ["accepted"]
        path.unlink()
        with Run(path):
            assert received(lanes, event("2")) == []
        assert lanes.capture_failure == (
            f"{path}: was replaced by another file while it was written; put it back, or start again"
        )
