"""``kong-metering simulate``: figures that can be worked out by hand, and lines answered as they come."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main

COMMAND = [sys.executable, "-m", "harness.cli.main", "simulate"]


def schedule(number: int) -> dict[str, Any]:
    return {"queue": {}, "arrivals": [{"t": float(number), "id": f"e{number}"}], "ingest": [{"status": 202}]}


def summary(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Run steady traffic; return the JSON summary without what is 0 or empty."""
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--json", *arguments])
    assert ended.value.code == 0
    figures: dict[str, Any] = json.loads(capsys.readouterr().out)
    return {name: value for name, value in figures.items() if value}


def peak_kilobytes(*arguments: str) -> int:
    """Return the largest memory of a run, as its parent, a process made for that, is told."""
    program = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    measured = [sys.executable, "-c", program, *COMMAND, *arguments]
    return int(subprocess.run(measured, check=True, capture_output=True, timeout=60).stdout)


def test_a_schedule_is_answered_before_the_next_one_is_given() -> None:
    """A program at the other end of both pipes can ask, read the answer, and ask again."""
    with subprocess.Popen([*COMMAND, "--schedules", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        for number in range(3):
            process.stdin.write(json.dumps(schedule(number)).encode() + b"\n")
            process.stdin.flush()
            trace = json.loads(process.stdout.readline())
            assert trace["delivered"] == [{"id": f"e{number}", "t": float(number)}]
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0


def test_schedules_are_answered_in_order_one_line_each_blank_lines_passed_over(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [json.dumps(schedule(number)) for number in range(3000)]
    source.write_text("\n\r\n".join(lines))  # no end of line after the last
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--schedules", str(source), "-o", str(target)])
    assert ended.value.code == 0
    traces = [json.loads(line) for line in target.read_text().splitlines()]
    assert [trace["ended_at"] for trace in traces] == [float(number) for number in range(3000)]


def test_a_trace_holds_what_was_tried_delivered_and_lost_and_why(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = {
        "queue": {"max_batch_size": 2, "max_retry_time": 1, "initial_retry_delay": 2},
        "arrivals": [{"t": 0, "id": "a"}, {"t": 0.5, "id": "b"}, {"t": 5, "id": "c"}],
        "ingest": [{"status": 500, "duration": 0.25}, {"status": 0, "duration": 0.25}, {"status": 204}],
    }
    (tmp_path / "in.jsonl").write_text(json.dumps(given))
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--schedules", str(tmp_path / "in.jsonl")])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out) == {
        # full at 0.5; failed at 0.75, waits 2 s, fails again at 3.0: 2.5 s after the first try, over max_retry_time
        "tries": [
            {"t": 0.5, "entries": ["a", "b"], "status": 500, "duration": 0.25},
            {"t": 2.75, "entries": ["a", "b"], "status": 0, "duration": 0.25},
            {"t": 6.0, "entries": ["c"], "status": 204, "duration": 0.0},
        ],
        "delivered": [{"id": "c", "t": 6.0}],
        "lost": [{"id": "a", "t": 3.0, "reason": "gave_up"}, {"id": "b", "t": 3.0, "reason": "gave_up"}],
        "peak_entries": 2,
        "ended_at": 6.0,
    }


def test_steady_traffic_without_an_outage_is_delivered_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    figures = summary(capsys, "--rate", "4", "--duration", "10", "--rtt", "0.125")
    assert figures == {
        "arrived": 40,
        "delivered": 40,
        "posts": 40,
        "peak_entries": 1,
        "mean_delay": 0.125,
        "max_delay": 0.125,
        "ended_at": 9.875,  # the last arrives at 39 / 4
    }


def test_a_full_batch_waits_for_its_last_entry(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten batches of 8 at 8 a second, each sent when its eighth entry, 0.875 s after its first, is in."""
    figures = summary(capsys, "--rate", "8", "--duration", "10", "--rtt", "0", "-q", "max_batch_size=8")
    assert (figures["posts"], figures["delivered"], figures["max_delay"]) == (10, 80, 0.875)
    assert figures["mean_delay"] == 0.4375


def test_an_outage_shorter_than_the_retries_delays_and_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """At 1/s with a POST of 0 s the event of t = 5 meets the outage: it is tried at 5, 6 and 8, when it goes through.

    Those of 6, 7 and 8 have waited behind it and leave at 8, so at most 3 waited and the delays are 3, 2, 1, 0.
    """
    retry = ["-q", "initial_retry_delay=1"]
    figures = summary(capsys, "--rate", "1", "--duration", "20", "--rtt", "0", "--outage", "5:3", *retry)
    assert figures == {
        "arrived": 20,
        "delivered": 20,
        "posts": 22,
        "failed_posts": 2,
        "peak_entries": 3,
        "mean_delay": 6 / 20,
        "max_delay": 3.0,
        "ended_at": 19.0,
    }


def test_an_outage_overflows_the_queue_and_outlasts_the_retries(capsys: pytest.CaptureFixture[str]) -> None:
    """At 1/s, a single try each of 0.5 s, room for 2, the ingest gone for good from t = 10 on.

    Events 0 to 9 are delivered. With max_retry_time 4 and waits of 2 s, a batch is tried at 0, 2.5 and 5 and given up
    at 5.5. So event 10 is under way until 15.5: 11 to 15 arrive behind it, 2 of them stay (14, 15) and 3 are lost.
    """
    queue = ["max_entries=2", "max_retry_time=4", "initial_retry_delay=2", "max_retry_delay=2"]
    settings = [word for one in queue for word in ("-q", one)]
    steady = ["--rate", "1", "--duration", "16", "--rtt", "0.5"]
    figures = summary(capsys, *steady, "--outage", "10:1000", *settings)
    assert figures["arrived"] == 16
    assert figures["delivered"] == 10
    assert figures["lost"] == {"overflow_entries": 3, "gave_up": 3}
    assert (figures["posts"], figures["failed_posts"]) == (10 + 3 * 3, 3 * 3)
    assert figures["ended_at"] == 10 + 3 * 5.5


def test_the_summary_in_words_has_the_figures_of_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--rate", "100", "--duration", "30", "--outage", "5:10", "-q", "max_entries=500"]
    figures = summary(capsys, *arguments)
    with pytest.raises(SystemExit):
        main(["simulate", *arguments])
    text = capsys.readouterr().out
    lost = figures["lost"]["overflow_entries"]
    assert lost > 0 and figures["arrived"] == 3000 == figures["delivered"] + lost
    assert f"arrived   {figures['arrived']:,}\n" in text
    assert f"delivered {figures['delivered']:,} in {figures['posts']:,} POSTs" in text
    assert f"lost      {lost:,} overflow_entries\n" in text
    assert f"at most {figures['peak_entries']:,} entries\n" in text


def test_memory_does_not_grow_with_the_number_of_arrivals() -> None:
    """200,000 arrivals take no more memory than 2,000."""
    traffic = ["--rate", "1000", "-q", "max_batch_size=100", "--outage", "1:0.5", "--duration"]
    assert peak_kilobytes(*traffic, "200") < peak_kilobytes(*traffic, "2") + 8_000


def test_many_schedules_take_the_memory_of_one(tmp_path: Path) -> None:
    arrivals = [{"t": number / 100, "id": f"entry-{number}", "bytes": 100} for number in range(1000)]
    line = json.dumps({"queue": {"max_batch_size": 100}, "arrivals": arrivals})
    one, many = tmp_path / "one.jsonl", tmp_path / "many.jsonl"
    one.write_text(f"{line}\n")
    many.write_text(f"{line}\n" * 200)
    assert peak_kilobytes("--schedules", str(many)) < peak_kilobytes("--schedules", str(one)) + 8_000
