"""What a relay's capture tells of both directions: what the client got, and how the real endpoint answered."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from ingest_as_process import Ingest
from pyarrow import parquet
from test_ingest_relay import Endpoint, event, send

from harness.capture.reader import CaptureReader
from harness.capture.record import CapturedRequest, Relayed
from harness.capture.store import CaptureWriter
from harness.cli.main import main


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Taken, refused by the real endpoint, refused by a fault, taken though invalid, and never sent."""
    directory = tmp_path_factory.mktemp("relayed")
    endpoint = Endpoint(directory)
    running = Ingest(directory, "--relay", endpoint.url, "--relay-ca", str(endpoint.ca))
    endpoint.answers += [(202, {}, b"taken"), (429, {}, b"slow down")]
    assert [send(running.port, event(one)).status_code for one in ("taken", "slowed")] == [202, 429]
    running.control.add_faults("", [503, 202])
    assert send(running.port, event("faulty")).status_code == 503
    assert send(running.port, event("wrong", subject="")).status_code == 202
    endpoint.stop()
    assert send(running.port, event("lost")).status_code == 502
    running.stop()
    return running.capture


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["capture", *words])
    printed = capsys.readouterr()
    assert ended.value.code == code, printed.err
    return printed.out


def test_list_shows_what_the_real_endpoint_answered(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = {line[90:].split()[0]: line for line in run(capsys, "list", "--capture", str(capture)).splitlines()}
    assert "taken  localhost 202, 5 bytes in " in lines["taken"] and lines["taken"].endswith(" ms")
    assert "localhost 429, 9 bytes in " in lines["slowed"]
    assert lines["faulty"].endswith("faulty") and "wrong  localhost 202, 0 bytes in " in lines["wrong"]
    assert "lost  relay: localhost: " in lines["lost"]
    entries = map(json.loads, run(capsys, "list", "--capture", str(capture), "--json").splitlines())
    relayed = {entry["id"]: entry["relayed"] for entry in entries}
    assert relayed["taken"]["status"] == 202 and relayed["taken"]["seconds"] > 0 and relayed["faulty"] is None


def test_explain_says_what_the_real_endpoint_did_with_an_event(
    capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(id_: str) -> str:
        return run(capsys, "explain", id_, "--capture", str(capture))

    assert "billed: accepted" in told("taken")
    document = json.loads(run(capsys, "explain", "taken", "--capture", str(capture), "--json"))
    relayed = document["entries"][0]["deliveries"][0]["relayed"]
    assert (relayed["host"], relayed["status"], relayed["size"]) == ("localhost", 202, 5)
    assert "taken by localhost, which answered 202: invalid (DRP-2 /0/subject" in told("wrong")
    assert "not billed: 1 delivery, the last one not passed on (localhost: could not be reached: " in told("lost")
    assert "not billed: 1 delivery, the last one answered 429" in told("slowed")


def test_tables_have_columns_for_it(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("csv", "parquet", "jsonl", "har"):
        run(capsys, "export", "--capture", str(capture), "--format", form, "--out", str(tmp_path / form))
    rows = {row["id"]: row for row in csv.DictReader((tmp_path / "csv").read_text().splitlines())}
    assert (rows["slowed"]["relayed_host"], rows["slowed"]["relayed_status"]) == ("localhost", "429")
    assert (rows["slowed"]["status"], rows["slowed"]["relayed_size"]) == ("429", "9")
    assert rows["faulty"]["relayed_status"] == "" and rows["lost"]["relayed_failure"].startswith("localhost: ")
    table = parquet.read_table(tmp_path / "parquet").to_pylist()
    assert [row["relayed_status"] for row in table] == [202, 429, None, 202, None]
    assert table[0]["relayed_seconds"] > 0 and table[2]["relayed_seconds"] is None
    lines = [json.loads(line) for line in (tmp_path / "jsonl").read_text().splitlines()]
    assert [line["relayed"] and line["relayed"].get("status") for line in lines] == [202, 429, None, 202, None]
    entries = json.loads((tmp_path / "har").read_text())["log"]["entries"]
    assert entries[1]["_relayed"]["status"] == 429 and entries[1]["time"] > 0 and entries[2]["_relayed"] is None


def test_a_question_can_ask_for_it(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT host, r.status, id FROM events e JOIN relayed r USING (request) WHERE r.status >= 400"
    assert run(capsys, "query", sql, "--capture", str(capture)).splitlines()[1:] == ["localhost\t429\tslowed"]


def test_the_report_tells_it_by_answer_and_by_request(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "report", "--capture", str(capture), "--out", str(tmp_path / "r.html"))
    page = (tmp_path / "r.html").read_text()
    table = page.partition("<h2>Real endpoint</h2>")[2].partition("</table>")[0]
    assert "<td>localhost</td><td>202</td><td>2</td>" in table and "<td>localhost</td><td>429</td><td>1</td>" in table
    assert "<td>localhost</td><td>no answer</td><td>1</td>" in table
    assert "localhost 429, 9 bytes in " in page and "relay: localhost: " in page


def test_a_report_on_a_capture_without_a_relay_speaks_of_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with CaptureWriter(tmp_path / "c") as writer:
        writer.append(CapturedRequest(1, "", 1.0, 1.0, "c", "POST", "/events", [], 0))
    run(capsys, "report", "--capture", str(tmp_path / "c"), "--out", str(tmp_path / "r.html"))
    assert "Real endpoint" not in (tmp_path / "r.html").read_text()


def test_a_file_of_before_there_were_relays_is_read_and_written_on(tmp_path: Path) -> None:
    path = tmp_path / "c"
    plain = CapturedRequest(1, "", 1.0, 1.0, "c", "POST", "/events", [], 0)
    passed = CapturedRequest(
        2, "", 1.0, 1.0, "c", "POST", "/events", [], 0, relayed=Relayed("h", 0.5, failure="h: gone")
    )
    with CaptureWriter(path) as writer:
        writer.append(plain)
        writer._connection.execute("DROP TABLE relayed")
    assert [row.relayed() for row in CaptureReader(path).rows()] == [None]
    with CaptureWriter(path) as writer:
        writer.append(passed)
    assert [row.relayed() for row in CaptureReader(path).rows()] == [None, passed.relayed]
