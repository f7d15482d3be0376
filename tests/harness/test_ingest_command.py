"""What a user can get wrong with ``kong-metering ingest``, and what it prints; no process needed."""

from __future__ import annotations

import io
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.capture.store import CaptureWriter
from harness.cli.main import main
from harness.ingest.apis import APIS
from harness.ingest.console import IngestConsole
from harness.ingest.core import IngestSettings
from harness.ingest.faults import FaultScript
from harness.ingest.lanes import Lanes
from harness.ingest.messages import IngestRequest


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["ingest", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code, capsys.readouterr().err


def test_a_token_variable_that_is_not_set_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, error = run(capsys, "--token-env", "NO_SUCH_VARIABLE_HERE")
    assert code == 2
    assert "NO_SUCH_VARIABLE_HERE is not set" in error and error.count("\n") == 1


@pytest.mark.parametrize("name", ["missing/c.jsonl", "notes.txt"])
def test_a_capture_that_cannot_be_used_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    (tmp_path / "notes.txt").write_text("mine\n")
    code, error = run(capsys, "--capture", str(tmp_path / name))
    assert code == 2
    assert error.startswith(f"kong-metering: {tmp_path / name}: ") and error.count("\n") == 1


def test_a_mistake_in_the_fault_script_is_reported_before_anything_is_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = tmp_path / "faults.yaml"
    script.write_text("- 503\n- {hnag: true}\n")
    capture = tmp_path / "c.jsonl"
    code, error = run(capsys, "--capture", str(capture), "--faults", str(script))
    assert code == 2
    assert error.startswith(f"kong-metering: {script}:2: ") and "did you mean 'hang'?" in error
    assert not capture.exists()


def printed(
    tmp_path: Path,
    *bodies: bytes,
    as_json: bool = False,
    full: bool = False,
    aspects: bool = False,
    profile: str = "v3",
) -> list[str]:
    out = io.StringIO()
    console = IngestConsole(Console(file=out, highlight=False), as_json, aspects=aspects)
    api = APIS[profile]
    path = api.path_suffixes[0]
    with CaptureWriter(tmp_path / "c.jsonl") as capture:
        lanes = Lanes(capture, IngestSettings(api=api), FaultScript(), console.request)
        if full:
            capture.append = fail  # type: ignore[method-assign]
        for body in bodies:
            headers = (("Authorization", "Bearer x"), ("X-API-KEY", "x"), ("Content-Type", "application/json"))
            receipt = lanes.receive(lanes.arrive(path), IngestRequest("POST", path, headers, body))
            if full:
                assert receipt.answer is not None
                out.write(f"{receipt.answer.status} {lanes.capture_failure}\n")
        console.summary(lanes.counts)
    return out.getvalue().splitlines()


def fail(*_: Any) -> int:
    from harness.capture.store import CaptureError

    raise CaptureError("c.jsonl: cannot be written: No space left on device")


def event(**members: Any) -> bytes:
    base = {"specversion": "1.0", "id": "1", "source": "k", "type": "kong.api_request", "subject": "alice"}
    return json.dumps(base | members).encode()


def test_each_request_is_one_line_with_subject_type_and_verdict(tmp_path: Path) -> None:
    lines = printed(tmp_path, event(), event(), event(subject=""), b"[" + event(id="2") + b"," + event(id="3") + b"]")
    assert lines[0] == "#1 202  alice  kong.api_request  accepted"
    assert lines[1] == "#2 202  alice  kong.api_request  duplicate"
    assert lines[2].startswith("#3 400") and "invalid  DRP-2 /subject" in lines[2]
    assert lines[3] == "#4 202 2 events  alice ×2  kong.api_request ×2  accepted ×2"
    assert lines[4] == "4 requests, 5 events: 3 accepted, 1 duplicates, 1 invalid, 0 refused"


def record(**members: Any) -> bytes:
    base = {
        "uniqueId": "5c10fade-1c9e-4d6c-8275-c52c36731d3c",
        "meterApiName": "api-calls",
        "customerId": "alice",
        "meterValue": 1,
        "meterTimeInMillis": 1767229261001,
    }
    return json.dumps([base | members]).encode()


def test_a_meter_record_is_shown_by_customer_and_meter_and_its_value_when_it_is_not_1(tmp_path: Path) -> None:
    lines = printed(tmp_path, record(), record(uniqueId=str(uuid.uuid4()), meterValue=2.5), profile="amberflo")
    assert lines[0] == "#1 200  alice  api-calls  accepted"
    assert lines[1].startswith("#2 400  alice  api-calls  2.5 in all  invalid  AMB-2 /0/meterValue: ")


def test_with_aspects_each_entry_has_a_line_with_its_five(tmp_path: Path) -> None:
    lines = printed(tmp_path, record(dimensions={"method": "GET"}), b"[7]", profile="amberflo", aspects=True)
    assert lines[1] == ("    what api-calls whom alice when 2026-01-01T01:01:01.001Z how much 1 where method=GET")
    assert lines[3] == "   neither event nor record"
    (line,) = [line for line in printed(tmp_path, event(time="2026-01-01T01:01:01Z"), aspects=True) if "what" in line]
    assert line == "    what kong.api_request whom alice when 2026-01-01T01:01:01.000Z how much 1 where -"


def test_json_lines_name_a_record_by_its_own_members(tmp_path: Path) -> None:
    first = json.loads(printed(tmp_path, record(), as_json=True, profile="amberflo")[0])
    shown = first["events"][0]
    assert (shown["uniqueId"], shown["customerId"], shown["aspects"]["whom"]) == (
        "5c10fade-1c9e-4d6c-8275-c52c36731d3c",
        "alice",
        "alice",
    )


def test_a_subject_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    line = printed(tmp_path, event(subject="a\n\x1b[31m[bold]" + "x" * 500))[0]
    assert "\x1b" not in line and "[bold]" in line and len(line) < 200


def test_json_lines_name_each_event(tmp_path: Path) -> None:
    first, last = (json.loads(line) for line in printed(tmp_path, event(), as_json=True))
    assert first["events"][0].pop("aspects") == {
        "what": "kong.api_request",
        "whom": "alice",
        "when": None,
        "how_much": 1,
        "where": {},
    }
    assert first["events"][0] | {"findings": []} == {
        "id": "1",
        "source": "k",
        "subject": "alice",
        "type": "kong.api_request",
        "verdict": "accepted",
        "findings": [],
    }
    assert last["summary"]["accepted"] == 1


def test_an_event_that_cannot_be_captured_is_answered_503_and_not_taken_in(tmp_path: Path) -> None:
    lines = printed(tmp_path, event(), event(), full=True)
    assert lines[:2] == ["503 c.jsonl: cannot be written: No space left on device"] * 2
    assert lines[2].startswith("0 requests, 0 events: 0 accepted")


def test_a_reader_who_leaves_does_not_disturb_the_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", io.StringIO())
    console = IngestConsole(Console(file=Gone()), as_json=True)
    with CaptureWriter(tmp_path / "c.jsonl") as capture:
        lanes = Lanes(capture, IngestSettings(), FaultScript(), console.request)
        headers = (("Authorization", "Bearer x"), ("Content-Type", "application/json"))
        for n in range(2):
            request = IngestRequest("POST", "/events", headers, event(id=str(n)))
            answer = lanes.receive(lanes.arrive("/events"), request).answer
            assert answer is not None and answer.status == 202
