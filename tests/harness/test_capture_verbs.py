"""``kong-metering capture``: every verb on a capture of version 1, and on the same one converted to version 2."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.capture.outline import outline_of, outline_of_body
from harness.capture.record import CapturedRequest, body_members
from harness.capture.selection import Selection
from harness.capture.store import CaptureReader, CaptureWriter
from harness.capture.verdict import Finding, Verdict
from harness.cli.main import main
from harness.ingest.amberflo.quick_yes import quick_records

OLD = Path(__file__).with_name("captures") / "version-1.jsonl"


@pytest.fixture(params=["version 1", "version 2"])
def capture(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return OLD if request.param == "version 1" else converted(tmp_path)


def converted(directory: Path) -> Path:
    path = directory / "new.capture"
    with CaptureWriter(path) as writer:
        for item in CaptureReader(OLD).requests():
            writer.append(item)
    return path


class Run:
    """Runs a verb in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["capture", *arguments])
        out, error = self._capsys.readouterr()
        assert ended.value.code == code, error
        return out if code != 2 else error

    def lines(self, *arguments: str, code: int = 0) -> list[Any]:
        return [json.loads(line) for line in self(*arguments, "--json", code=code).splitlines()]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ["1/0", "1/1", "2/0", "2/1", "3/0", "4/0", "4/1", "5/0"]),
        (("--subject", "bob"), ["1/1", "2/1"]),
        (("--subject", "bob", "--subject", ""), ["1/1", "2/1", "3/0"]),
        (("--type", "kong.llm_request"), ["4/0"]),
        (("--id", "e-1", "--accepted"), ["2/0", "5/0"]),
        (("--invalid",), ["3/0"]),
        (("--duplicate",), ["4/1"]),
        (("--refused",), ["1/0", "1/1"]),
        (("--lane", "other"), ["5/0"]),
        (("--lane", "", "--id", "e-1"), ["1/0", "2/0", "4/1"]),
        (("--since", "2026-05-04T10:00:02Z", "--until", "1777888804"), ["3/0", "4/0", "4/1"]),
        (("--limit", "3"), ["1/0", "1/1", "2/0"]),
        (("--subject", "nobody"), []),
    ],
)
def test_list_has_the_events_that_the_filters_leave(
    run: Run, capture: Path, options: tuple[str, ...], expected: list[str]
) -> None:
    found = run.lines("list", "--capture", str(capture), *options)
    assert [f"{entry['request']}/{entry['position']}" for entry in found] == expected


def test_list_prints_a_line_for_each_event(run: Run, capture: Path) -> None:
    lines = run("list", "--capture", str(capture), "--id", "e-2").splitlines()
    assert lines[1].split() == ["2026-05-04T10:00:01.250Z", "#2", "accepted", "bob", "kong.api_request", "e-2"]


def test_explain_has_every_delivery_with_its_wait_and_says_what_became_of_the_event(run: Run, capture: Path) -> None:
    for key in ("e-1", "r-1"):  # its id, and a value it carries
        (document,) = run.lines("explain", key, "--capture", str(capture))
        first, other = document["entries"]
        assert [(one["status"], one["wait"], one["verdict"]) for one in first["deliveries"]] == [
            (503, None, "refused"),
            (202, 1.0, "accepted"),
            (202, 2.0, "duplicate"),
        ]
        assert first["conclusion"].startswith("billed: accepted with delivery 2 of 3")
        assert [one["lane"] for one in other["deliveries"]] == ["other"]


def test_explain_names_the_finding_of_an_event_that_was_not_billed(run: Run, capture: Path) -> None:
    lines = run("explain", "e-4", "--capture", str(capture)).splitlines()
    assert lines[0] == "event e-4: not billed: invalid (EVT-1 /0/subject: must not be empty)"


def test_explain_tells_a_second_delivery_from_another_event_with_the_same_id(run: Run, tmp_path: Path) -> None:
    again = [("1", Verdict("accepted")), ("1", Verdict("duplicate")), ("2", Verdict("duplicate"))]
    with CaptureWriter(tmp_path / "capture") as writer:
        for r, verdict in again:
            writer.append(
                msgspec.structs.replace(request(json.dumps(event("7", r=r)).encode(), 1), verdicts=(verdict,))
            )
        elsewhere = json.dumps({**event("7", r="3"), "source": "another"}).encode()
        writer.append(request(elsewhere, 1))
    capture = str(tmp_path / "capture")
    one, other = run.lines("explain", "7", "--capture", capture)[0]["entries"]
    assert [each.get("differs", []) for each in one["deliveries"]] == [[], [], ["data.r"]]
    assert "2 more that counted as duplicate (1 of them not the same but with its id" in one["conclusion"]
    assert [each["verdict"] for each in other["deliveries"]] == ["accepted"]
    assert "duplicate, but not the same: data.r" in run("explain", "7", "--capture", capture)


def test_explain_ends_with_1_for_what_is_not_there(run: Run, capture: Path) -> None:
    assert "no event in it has the id 'e-9'" in run("explain", "e-9", "--capture", str(capture), code=1)


def test_a_capture_and_its_conversion_differ_in_nothing(run: Run, tmp_path: Path) -> None:
    new = tmp_path / "new"
    assert run("convert", str(OLD), str(new)) == f"{new}: 6 requests\n"
    assert list(CaptureReader(new).requests()) == list(CaptureReader(OLD).requests())
    assert run("diff", str(OLD), str(new)) == ""
    assert "exists already" in run("convert", str(OLD), str(new), code=2)


def test_what_is_no_capture_is_not_converted_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    notes, new = tmp_path / "notes", tmp_path / "new"
    notes.write_text("my notes\n")
    assert "is not a capture file" in run("convert", str(notes), str(new), code=2)
    assert not new.exists()


def test_diff_names_events_added_and_missing_and_fields_changed(run: Run, tmp_path: Path) -> None:
    def captured(name: str, *events: dict[str, Any]) -> str:
        body = json.dumps(events).encode()
        with CaptureWriter(tmp_path / name) as writer:
            writer.append(request(body, len(events)))
        return str(tmp_path / name)

    a = captured("a", event("1", r="x", n=1), event("2", r="y"), event("3", r="z"))
    b = captured("b", event("7", r="x", n=2), event("8", r="y"), event("9", r="w"))
    found = run.lines("diff", a, b, "--key", "data.r", code=1)
    assert [(one["kind"], one["key"], one["fields"]) for one in found] == [
        ("changed", ["x"], {"data.n": [1, 2]}),
        ("missing", ["z"], {}),
        ("added", ["w"], {}),
    ]
    assert len(run.lines("diff", a, b, "--key", "data.r", "--ignore", "data.n", code=1)) == 2
    assert [one["kind"] for one in run.lines("diff", a, b, code=1)] == ["missing"] * 3 + ["added"] * 3
    assert run("diff", a, a) == ""


def test_diff_pairs_no_event_without_the_key_and_refuses_one_that_no_event_has(
    capsys: pytest.CaptureFixture[str], run: Run, tmp_path: Path
) -> None:
    for name, events in (("a", [event("1", r="x"), event("2")]), ("b", [event("3", r="x"), event("4")])):
        with CaptureWriter(tmp_path / name) as writer:
            writer.append(request(json.dumps(events).encode(), len(events)))
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    with pytest.raises(SystemExit) as ended:
        main(["capture", "diff", a, b, "--key", "data.r", "--json"])
    out, errors = capsys.readouterr()
    assert ended.value.code == 1
    assert [json.loads(line)["kind"] for line in out.splitlines()] == ["missing", "added"]
    assert errors == "kong-metering: 2 events have no data.r and are paired with none\n"
    words = run("diff", a, b, "--key", "data.request_id", code=2)
    assert "no accepted event" in words and "data.request_id" in words and len(words.splitlines()) == 1


def test_list_says_on_the_side_that_there_is_nothing_to_list(
    capsys: pytest.CaptureFixture[str], capture: Path, tmp_path: Path
) -> None:
    CaptureWriter(tmp_path / "empty").close()
    with CaptureWriter(tmp_path / "none") as writer:
        writer.append(request(b"{", 0))
    for path, filters, words in (
        (capture, ["--subject", "nobody"], "no event matches the filters"),
        (tmp_path / "empty", [], "the capture is empty"),
        (tmp_path / "none", [], "no request in it has an event"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["capture", "list", "--capture", str(path), *filters])
        assert (ended.value.code, *capsys.readouterr()) == (0, "", f"kong-metering: {path}: {words}\n")


def test_explain_tells_findings_that_stay_the_same_once(run: Run, tmp_path: Path) -> None:
    wrong = Verdict("invalid", (Finding("DRP-2", "/0/subject", "is empty"),))
    with CaptureWriter(tmp_path / "c") as writer:
        for _ in range(3):
            sent = request(json.dumps([event("1")]).encode(), 1)
            writer.append(msgspec.structs.replace(sent, verdicts=(wrong,), status=400))
    lines = run("explain", "1", "--capture", str(tmp_path / "c")).splitlines()
    assert [line.strip() for line in lines[3::2]] == ["DRP-2 /0/subject: is empty", *["the same findings"] * 2]


@pytest.mark.parametrize("verb", [["list"], ["export", "--format", "jsonl"]])
def test_a_reader_who_leaves_ends_it_without_a_word(capture: Path, verb: list[str]) -> None:
    command = [sys.executable, "-m", "harness.cli.main", "capture", *verb, "--capture", str(capture)]
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_export_writes_the_same_events_in_every_format(run: Run, capture: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    files = {name: tmp_path / f"out.{name}" for name in ("jsonl", "csv", "parquet", "har")}
    for name, file in files.items():
        run("export", "--capture", str(capture), "--format", name, "--out", str(file), "--subject", "alice")
    lines = [json.loads(line) for line in files["jsonl"].read_text().splitlines()]
    assert [line["event"]["id"] for line in lines] == ["e-1", "e-1", "e-3", "e-1", "e-1"]
    with files["csv"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = parquet.read_table(files["parquet"]).to_pylist()
    for line, row, record in zip(lines, rows, table, strict=True):
        assert json.loads(row["data"]) == json.loads(record["data"]) == line.pop("event")["data"]
        record.pop("data")
        passed_on = [record.pop(name) for name in [*record] if name.startswith("relayed_")]
        assert passed_on == [None] * 5 and line.pop("relayed") is None
        assert record == line
        assert row["id"] == line["id"] and int(row["request"]) == line["request"]
    archive = json.loads(files["har"].read_text())["log"]
    assert archive["version"] == "1.2"
    assert [entry["response"]["status"] for entry in archive["entries"]] == [503, 202, 202, 202]
    assert json.loads(archive["entries"][0]["request"]["postData"]["text"])[0]["id"] == "e-1"


def test_a_har_without_a_filter_has_every_request(run: Run, capture: Path) -> None:
    entries = json.loads(run("export", "--capture", str(capture), "--format", "har"))["log"]["entries"]
    assert len(entries) == 6
    assert entries[-1]["request"]["postData"] == {
        "mimeType": "application/cloudevents-batch+json",
        "text": "/25vdCBqc29u",
        "encoding": "base64",
    }


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT count(*) AS n FROM requests", [{"n": 6}]),
        ("SELECT subject, count(*) AS n FROM events WHERE verdict='accepted' GROUP BY 1", [
            {"subject": "alice", "n": 3}, {"subject": "bob", "n": 1}]),
        ("SELECT event(request, position) ->> '$.data.request_id' AS r FROM events WHERE id='e-1' LIMIT 1", [
            {"r": "r-1"}]),
        ("SELECT place FROM requests WHERE body(place) LIKE '%bob%'", [{"place": 1}, {"place": 2}]),
        ("SELECT event(1, 7) AS a, event(9, 0) AS b, body(9) AS c", [{"a": None, "b": None, "c": None}]),
    ],
)  # fmt: skip
def test_query_answers_in_rows(run: Run, capture: Path, sql: str, rows: list[Any]) -> None:
    assert run.lines("query", sql, "--capture", str(capture)) == rows


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM requests",
        "DROP TABLE events",
        "CREATE TABLE t (a)",
        "ATTACH '/tmp/other.db' AS o",
        "PRAGMA journal_mode=DELETE",
        "SELECT load_extension('x')",
        "SELECT",
        "SELECT nothing FROM requests",
        "SELECT 1; DELETE FROM requests",
    ],
)
def test_a_question_that_is_none_or_would_change_something_is_one_line(run: Run, capture: Path, sql: str) -> None:
    before = capture.read_bytes()
    error = run("query", sql, "--capture", str(capture), code=2)
    assert error.startswith("kong-metering: query: ") and error.count("\n") == 1
    assert capture.read_bytes() == before


class Endpoint:
    """Records what is posted to it; answers 202, or 503 to every second request."""

    def __init__(self, flaky: bool = False) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.received.append((dict(self.headers), body))
                self.send_response(503 if flaky and len(outer.received) % 2 else 202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v3/openmeter/events"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_replay_sends_each_batch_as_it_came_with_the_token_from_the_environment(
    run: Run, capture: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEW_TOKEN", "kpat-of-today")
    out = run("replay", "--capture", str(capture), "--to", endpoint.url, "--token-env", "NEW_TOKEN", "--accepted")
    assert "kpat" not in out and out.splitlines()[-1] == "3 requests sent, 3 answered with success"
    sent = [item for item in CaptureReader(capture).requests() if item.status == 202]
    assert [body for _, body in endpoint.received] == [item.body_bytes() for item in sent]
    assert {headers["Authorization"] for headers, _ in endpoint.received} == {"Bearer kpat-of-today"}


def test_replay_without_a_token_sends_none_and_can_give_events_new_ids(
    run: Run, capture: Path, endpoint: Endpoint
) -> None:
    run("replay", "--capture", str(capture), "--to", endpoint.url, "--ids", "new", "--json")
    assert all("Authorization" not in headers for headers, _ in endpoint.received)
    ids = [event["id"] for _, body in endpoint.received for event in json.loads(body)]
    assert len(ids) == len(set(ids)) == 8 and not any(one.startswith("e-") for one in ids)


def test_replay_ends_with_1_when_a_request_is_not_taken(run: Run, capture: Path) -> None:
    flaky = Endpoint(flaky=True)
    found = run.lines("replay", "--capture", str(capture), "--to", flaky.url, code=1)
    flaky.server.shutdown()
    flaky.server.server_close()
    assert [one["status"] for one in found] == [503, 202, 503, 202, 503]
    found = run.lines("replay", "--capture", str(capture), "--to", flaky.url, code=1)
    assert {one["problem"] for one in found} == {"ConnectionError"}


def test_the_report_is_one_page_that_loads_nothing(run: Run, capture: Path, tmp_path: Path) -> None:
    run("report", "--capture", str(capture), "--out", str(tmp_path / "r.html"))
    page = (tmp_path / "r.html").read_text()
    assert "default-src 'none'" in page and "<script" not in page and "http://" not in page.replace("www.w3.org", "")
    plot = page.partition('<svg class="plot"')[2]
    marks = {name: plot.count(f'class="{name}"') for name in ("taken", "again", "unheard", "wrong", "refused")}
    assert marks == {"taken": 3, "again": 0, "unheard": 0, "wrong": 0, "refused": 3}
    assert "EVT-1 /0/subject: must not be empty" in page and "<td>alice</td><td>3</td>" in page


@pytest.mark.parametrize("verb", [["list"], ["explain", "x"], ["query", "SELECT 1"], ["report"]])
def test_a_capture_that_is_not_there_is_one_line(run: Run, tmp_path: Path, verb: list[str]) -> None:
    error = run(*verb, "--capture", str(tmp_path / "none"), code=2)
    assert "none" in error and error.count("\n") == 1


def event(id_: str, **data: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": id_, "source": "k", "type": "t", "subject": "s", "data": data}


def request(body: bytes, entries: int, **members: Any) -> CapturedRequest:
    verdicts = (Verdict("accepted"),) * entries
    fixed: dict[str, Any] = {"n": 1, "lane": "", "arrived_at": 1.0, "monotonic": 1.0, "connection": "c"}
    fixed |= {"method": "POST", "path": "/events", "headers": [], "size": len(body), "status": 202}
    return CapturedRequest(**{**fixed, "verdicts": verdicts, **body_members(body), **members})


subjects = st.sampled_from(["a", "b", 'with "quotes" \\ and ü', "", "\u2028"])
outcomes = st.sampled_from(["accepted", "duplicate", "invalid", "refused"])


@given(st.lists(st.lists(st.tuples(subjects, outcomes), min_size=1, max_size=30), max_size=8), subjects, outcomes)
@settings(max_examples=40, deadline=None)
def test_a_selection_finds_what_a_look_at_every_event_finds(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[list[tuple[str, Any]]], subject: str, outcome: Any
) -> None:
    """By subject and verdict, in outlines as text and compressed."""
    path = tmp_path_factory.mktemp("s") / "c"
    expected = []
    with CaptureWriter(path) as writer:
        for place, body in enumerate(bodies, 1):
            events = [event(f"{place}-{n}", subject=one) | {"subject": one} for n, (one, _) in enumerate(body)]
            verdicts = tuple(Verdict(one) for _, one in body)
            writer.append(request(json.dumps(events).encode(), len(body), verdicts=verdicts))
            expected += [f"{place}-{n}" for n, one in enumerate(body) if one == (subject, outcome)]
    found = Selection(subjects=[subject], verdicts=[outcome]).entries(CaptureReader(path))
    assert [entry.id for entry in found] == expected


def test_the_outline_of_a_meter_record_has_customer_meter_and_time() -> None:
    record = {
        "uniqueId": "0b7a9a3e-8f7b-4d8e-9c39-6c1f8a3f2b10",
        "customerId": "alice",
        "meterApiName": "api-calls",
        "meterValue": 1,
        "meterTimeInMillis": 1767229261001,
    }
    body = json.dumps([record]).encode()
    quick = quick_records(body)
    assert quick is not None
    assert outline_of(quick) == outline_of([record]) == outline_of_body(body, 1)
    assert outline_of(quick).subjects == ["alice"] and outline_of(quick).times == [1767229261001]
