"""The account of a run that locust made by itself, from its ledger and the ingest endpoint's capture."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from harness.capture.record import CapturedRequest
from harness.capture.store import CaptureWriter
from harness.capture.verdict import Verdict
from loadtests.account import main
from loadtests.expectations import Expectation, Expectations, ExpectedEvent
from loadtests.ledger import LedgerWriter, ledger_path
from loadtests.numbers import NUMBER_PROPERTY, label

RUN = "0123abcd"
ALICE = Expectation("alice", (ExpectedEvent("kong.api_request", "alice", (("data.request_method", "GET"),)),))


def sent(directory: Path, workers: int = 2, requests: int = 3) -> None:
    """Write the ledgers of workers that have sent so many requests each, all answered."""
    directory.mkdir()
    Expectations([ALICE]).write(directory)
    for worker in range(workers):
        with LedgerWriter(ledger_path(directory, worker), RUN, worker) as ledger:
            for _ in range(requests):
                ledger.end(ledger.begin(0, 100.0), 200, 101.0)


def captured(path: Path, numbers: list[tuple[int, int]], **more: Any) -> Path:
    """Write a capture of one POST with an event for each worker and number."""
    events: list[dict[str, Any]] = [
        {
            "specversion": "1.0",
            "id": f"{worker}-{n}",
            "source": "kong",
            "type": "kong.api_request",
            "subject": "alice",
            **more,
            "data": {"request_method": "GET", NUMBER_PROPERTY: label(RUN, worker, n)},
        }
        for worker, n in numbers
    ]
    body = json.dumps(events)
    record = CapturedRequest(
        n=1,
        lane="",
        arrived_at=101.5,
        monotonic=1.5,
        connection="c",
        method="POST",
        path="/events",
        headers=[],
        size=len(body),
        content_type="application/cloudevents-batch+json",
        body=body,
        status=202,
        verdicts=tuple(Verdict("accepted") for _ in events),
    )
    with CaptureWriter(path) as writer:
        writer.append(record)
    return path


ALL = [(worker, n) for worker in range(2) for n in range(3)]


def test_a_run_that_was_billed_ends_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sent(tmp_path / "run")
    assert main([str(tmp_path / "run"), "--capture", str(captured(tmp_path / "capture", ALL))]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "6 billed once" in printed
    assert "6 billed of 6 that were due" in printed
    assert "p50 500 ms" in printed


def test_a_request_that_was_not_billed_is_named_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent(tmp_path / "run")
    assert main([str(tmp_path / "run"), "--capture", str(captured(tmp_path / "capture", ALL[:-1]))]) == 1
    assert f"missing: {label(RUN, 1, 2)} (alice)" in capsys.readouterr().out


def paced(directory: Path, worker: int, asked: int, sent: int) -> None:
    """Write how a worker kept its pace."""
    record = {"asked": asked, "sent": sent, "behind_seconds": 0.25}
    (directory / f"pace-{worker}.json").write_text(json.dumps(record))


def test_a_request_that_was_not_answered_as_expected_ends_with_1_unless_it_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says nothing about billing; what was answered 502 might have been billed or not."""
    sent(tmp_path / "run", workers=1)
    with LedgerWriter(ledger_path(tmp_path / "run", 0), RUN, 0) as ledger:
        ledger.end(ledger.begin(0, 100.0), 502, 101.0)
        ledger.begin(0, 100.0)
    capture = captured(tmp_path / "capture", [(0, n) for n in range(3)])
    assert main([str(tmp_path / "run"), "--capture", str(capture)]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert "answers   2 not as expected (by status: none 1, 200 3, 502 1)" in printed
    assert printed[-1] == "not right: not answered as expected 2 (--max-unanswered 0)"
    assert main([str(tmp_path / "run"), "--max-unanswered", "1"]) == 1
    assert main([str(tmp_path / "run"), "--max-unanswered", "40%"]) == 0


def test_a_run_in_which_nothing_fell_due_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sent(tmp_path / "run", workers=0)
    with LedgerWriter(ledger_path(tmp_path / "run", 0), RUN, 0) as ledger:
        ledger.end(ledger.begin(0, 100.0), 502, 101.0)
    capture = captured(tmp_path / "capture", [])
    assert main([str(tmp_path / "run"), "--capture", str(capture), "--max-unanswered", "100%"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "not right: not a single event was due"


def test_a_run_that_sent_less_than_asked_for_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Six requests in a second, of ten that were due."""
    sent(tmp_path / "run")
    paced(tmp_path / "run", 0, 5, 3)
    paced(tmp_path / "run", 1, 5, 3)
    run = [str(tmp_path / "run")]
    assert main([*run, "--capture", str(captured(tmp_path / "capture", ALL))]) == 0
    assert "sent      6 of 10 that were due, at most 250 ms late, 6 a second" in capsys.readouterr().out
    assert main([*run, "--min-rate", "60%"]) == main([*run, "--min-rate", "6"]) == 0
    capsys.readouterr()
    assert main([*run, "--min-rate", "61%"]) == 1
    assert "not right: sent of the requests that were due 60% (--min-rate 61%)" in capsys.readouterr().out
    assert main([*run, "--min-rate", "6.5", "--json"]) == 1
    account = json.loads(capsys.readouterr().out)
    assert account["reasons"] == ["sent 6 a second (--min-rate 6.5 a second)"]
    assert account["sent"] == {"requests": 6, "rate": 6.0, "due": 10, "behind": 0.25, "share": 0.6}


def test_of_a_worker_that_was_killed_nobody_knows_what_was_due(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent(tmp_path / "run")
    paced(tmp_path / "run", 0, 3, 3)
    capture = str(captured(tmp_path / "capture", ALL))
    assert main([str(tmp_path / "run"), "--capture", capture, "--min-rate", "50%"]) == 1
    printed = capsys.readouterr().out
    assert "6, 6 a second; how many were due is not known: a worker did not end" in printed
    assert "sent of the requests that were due not known (--min-rate 50%)" in printed
    with pytest.raises(SystemExit):
        main([str(tmp_path / "run"), "--min-rate", "fast"])
    assert "'fast' is no rate: write requests a second such as 450" in capsys.readouterr().err


def test_clocks_may_be_apart_by_what_is_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Events without a time are wrong where a time is expected; one far off is right with a tolerance as large."""
    sent(tmp_path / "run", workers=1, requests=1)
    timed = ExpectedEvent("kong.api_request", "alice", timed=True)
    Expectations([Expectation("alice", (timed,))]).write(tmp_path / "run")
    capture = captured(tmp_path / "capture", [(0, 0)], time="1970-01-01T00:01:43.5Z")
    assert main([str(tmp_path / "run"), "--capture", str(capture)]) == 1
    assert "not right: wrong 1; wrong by field: time 1" in capsys.readouterr().out
    assert main([str(tmp_path / "run"), "--clock-tolerance", "2.5"]) == 0
    with pytest.raises(SystemExit):
        main([str(tmp_path / "run"), "--clock-tolerance", "-1"])


def test_why_an_account_is_not_right_is_said_and_how_many_are_not_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent(tmp_path / "run", workers=1, requests=8)
    capture = captured(tmp_path / "capture", [(0, 0), (3, 0)])
    assert main([str(tmp_path / "run"), "--capture", str(capture)]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert "missing: and 2 more" in printed
    assert "strangers 1 with a number that was never given out" in printed
    assert printed[-1] == "not right: missing 7; events that bill for no request: 1"


def test_ledgers_of_other_machines_are_put_together_by_copying(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for machine in ("one", "other"):
        sent(tmp_path / machine)
    (tmp_path / "one" / "ledger-1.bin").unlink()
    shutil.copy(tmp_path / "other" / "ledger-1.bin", tmp_path / "one")
    capture = captured(tmp_path / "capture", ALL)
    assert main([str(tmp_path / "one"), "--capture", str(capture), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"]["billed_once"] == 6


def test_an_account_can_be_asked_for_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sent(tmp_path / "run")
    capture = captured(tmp_path / "capture", ALL)
    assert main([str(tmp_path / "run"), "--capture", str(capture), "--json"]) == 0
    first = capsys.readouterr().out
    assert main([str(tmp_path / "run"), "--json"]) == 0
    assert capsys.readouterr().out == first
    assert main([str(tmp_path / "run"), "--capture", str(capture)]) == 2
    assert "holds arrivals already" in capsys.readouterr().err


def test_of_several_runs_the_last_is_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index, name in enumerate(("b", "c", "a")):
        sent(tmp_path / name, requests=index + 1)
        for ledger in (tmp_path / name).glob("ledger-*"):
            os.utime(ledger, (index, index))
    assert main([str(tmp_path), "--capture", str(captured(tmp_path / "capture", ALL)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["requests"] == 6


def test_what_is_missing_is_said_in_a_line_with_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent(tmp_path / "run")
    assert main([str(tmp_path / "run")]) == 2
    assert "nothing says what arrived" in capsys.readouterr().err
    assert main([str(tmp_path / "run"), "--capture", str(tmp_path / "none")]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err
    assert main([str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_half_a_capture_leaves_no_arrivals_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sent(tmp_path / "run")
    before = sorted((tmp_path / "run").iterdir())
    capture = captured(tmp_path / "capture", ALL)
    with sqlite3.connect(capture) as connection:
        connection.execute("UPDATE requests SET content = x'00' WHERE place = (SELECT max(place) FROM requests)")
    assert main([str(tmp_path / "run"), "--capture", str(capture)]) == 2
    assert sorted((tmp_path / "run").iterdir()) == before
    assert len(capsys.readouterr().err.splitlines()) == 1
