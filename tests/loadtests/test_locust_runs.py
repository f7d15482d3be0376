"""Runs of locust itself: what reaches the gateway is what the ledgers say, whatever becomes of the answers."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from locust_process import locust, run_locust
from recording_gateway import RecordingGateway, recording_gateway

from loadtests.assignment import Assignment
from loadtests.expectations import Expectations
from loadtests.ledger import Ledger
from loadtests.numbers import label, parse
from loadtests.plan import LoadPlan
from loadtests.ports import lasting_port
from loadtests.sending import read_pace
from loadtests.traffic import Traffic

#: Modules that tests import: none of them may bring locust, and with it gevent, into the process.
WITHOUT_LOCUST = ("assignment", "gateway_state", "pacing", "plan", "sending", "traffic")


def rows(directory: Path) -> dict[str, tuple[int, int, float]]:
    """Return expectation, status and end of each request of a run, by the number it carried."""
    ledger = Ledger.read(directory)
    return {
        label(ledger.run, worker, first + index): (
            int(row["expectation"]),
            int(row["status"]),
            float(row["ended_at"]),
        )
        for worker, first, chunk in ledger.chunks()
        for index, row in enumerate(chunk)
    }


def only_run(directory: Path) -> Path:
    """Return the directory of the one run that locust, told nothing else, made below ``directory``."""
    (run,) = (directory / "load-run").iterdir()
    return run


def wait_until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_the_ledger_has_exactly_what_reached_the_gateway(tmp_path: Path) -> None:
    """Plain locust with its own options: every request once, under its number, as its expectation has it."""
    with recording_gateway() as gateway:
        done = run_locust("--host", gateway.url, "-u", "6", "-r", "6", "-t", "2s", "--rate", "60", directory=tmp_path)
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path)
    ledger = rows(run)
    assert sorted(gateway.numbers()) == sorted(ledger)
    assert len(ledger) > 30
    assert {status for _, status, _ in ledger.values()} == {200}
    assert all(ended_at > 0 for _, _, ended_at in ledger.values())
    requests = {request.expectation: request for made in Traffic.of(LoadPlan()).requests.values() for request in made}
    for received in gateway.received:
        expectation, _, _ = ledger[received.headers["X-Load-Number"]]
        planned = requests[expectation]
        assert (received.method, received.target) == (planned.method, planned.target)
        for name in ("apikey", "X-Tenant"):
            assert received.headers[name] == dict(planned.headers).get(name)
    assert Expectations.read(run) == Traffic.of(LoadPlan()).expectations
    pace = read_pace(run)
    assert pace.sent == len(ledger)


def test_a_request_goes_out_once_whatever_becomes_of_it(tmp_path: Path) -> None:
    """Every third connection is closed without an answer: the gateway never sees a number twice, nor misses one."""
    answers: Callable[[int], int | None] = lambda count: (200, 503, None)[count % 3]  # noqa: E731
    with recording_gateway(RecordingGateway(answer=answers)) as gateway:
        done = run_locust("--host", gateway.url, "-u", "4", "-r", "4", "-t", "2s", "--rate", "60", directory=tmp_path)
    assert done.returncode == 1  # as ever when locust saw failures
    ledger = rows(only_run(tmp_path))
    assert sorted(gateway.numbers()) == sorted(ledger)
    answered = {number: answers(count) or 0 for count, number in enumerate(gateway.numbers())}
    assert {number: status for number, (_, status, _) in ledger.items()} == answered
    assert set(answered.values()) == {0, 200, 503}
    assert all(ended_at > 0 for _, _, ended_at in ledger.values())


def test_a_gateway_that_is_not_there_leaves_requests_without_an_answer(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{lasting_port()}"
    run_locust("--host", url, "-u", "2", "-r", "2", "-t", "1s", "--rate", "20", directory=tmp_path)
    ledger = rows(only_run(tmp_path))
    assert ledger
    assert {status for _, status, _ in ledger.values()} == {0}


def test_answers_under_way_at_the_end_are_waited_for(tmp_path: Path) -> None:
    with recording_gateway(RecordingGateway(delay=0.7)) as gateway:
        run_locust("--host", gateway.url, "-u", "5", "-r", "5", "-t", "1s", "--rate", "0", directory=tmp_path)
    ledger = rows(only_run(tmp_path))
    assert {status for _, status, _ in ledger.values()} == {200}


@contextmanager
def feed(pages: list[dict[str, Any]]) -> Iterator[tuple[str, list[int]]]:
    """Serve billing latencies: a page after the other, then empty ones. Yields URL and what was asked ``after``."""
    asked: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            after = int(self.path.partition("after=")[2])
            asked.append(after)
            page = pages[after] if after < len(pages) else {"next": after, "latencies": [], "batches": []}
            body = json.dumps(page).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/load/latencies", asked
    finally:
        server.shutdown()
        server.server_close()


def test_two_workers_share_a_run_and_billing_has_rows_of_its_own(tmp_path: Path) -> None:
    """Two forked workers, as assigned: one run id, dense numbers in each ledger, the feed in locust's CSV file."""
    port = str(lasting_port())
    pages = [
        {"next": 1, "latencies": [[0.5, 3], [0.25, 1]], "batches": [[4, 1]]},
        {"next": 2, "latencies": [[1.5, 6]], "batches": [[2, 3]]},
    ]
    with recording_gateway() as gateway, feed(pages) as (url, asked):
        plan = LoadPlan.from_json({"duration": 2, "users": 6, "rate": 60, "processes": 2, "feed_url": url})
        assignment = Assignment(plan, gateway.url, tmp_path / "run", "00c0ffee")
        assignment.write(tmp_path / "assignment.json")
        done = run_locust(
            *("--processes", "2", "--master-port", port, "--master-bind-port", port),
            *("--csv", str(tmp_path / "locust"), "--csv-full-history", "--json-file", str(tmp_path / "stats")),
            directory=tmp_path,
            assignment=tmp_path / "assignment.json",
        )
    assert done.returncode == 0, done.stderr
    ledger = rows(tmp_path / "run")
    assert sorted(gateway.numbers()) == sorted(ledger)
    numbers = [parse(number, "00c0ffee") for number in ledger]
    sent = Counter(number[0] for number in numbers if number is not None)
    assert set(sent) == {0, 1}
    assert {number for number in numbers if number} == {(worker, n) for worker in sent for n in range(sent[worker])}
    assert read_pace(tmp_path / "run").sent == len(ledger)
    assert asked[:3] == [0, 1, 2]
    table = {(row["method"], row["name"]): row for row in json.loads((tmp_path / "stats.json").read_text())}
    latency, batch = table["BILL", "latency"], table["BILL", "batch size"]
    assert latency["num_requests"] == 10
    assert latency["response_times"] == {"500": 3, "250": 1, "1500": 6}
    assert (latency["min_response_time"], latency["max_response_time"]) == (250, 1500)
    assert latency["total_response_time"] == 10_750
    assert sum(latency["num_reqs_per_sec"].values()) == 10
    assert (batch["num_requests"], batch["max_response_time"]) == (4, 4)
    for name in ("locust_stats.csv", "locust_stats_history.csv"):
        with (tmp_path / name).open() as file:
            lines = list(csv.DictReader(file))
        assert {row["Name"] for row in lines if row["Type"] == "BILL"} == {"latency", "batch size"}
        counts = [int(row.get("Request Count") or row["Total Request Count"]) for row in lines if not row["Type"]]
        assert max(counts) <= len(ledger), "what was billed does not count as requests"


def test_workers_of_their_own_give_what_one_process_gives(tmp_path: Path) -> None:
    """A master and two workers that only know the master: plan, run and directory come from it."""
    port = str(lasting_port())
    (tmp_path / "plan.yaml").write_text("{rate: 60, users: 6, duration: 2, subjects: 3, weights: {missing: 3}}")
    at = ("--master-host", "127.0.0.1", "--master-port", port)
    with (
        recording_gateway() as gateway,
        locust("--worker", *at, directory=tmp_path) as first,
        locust("--worker", *at, directory=tmp_path) as second,
    ):
        done = run_locust(
            *("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", "2"),
            *("--plan", "plan.yaml", "--host", gateway.url),
            directory=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        assert (first.wait(30), second.wait(30)) == (0, 0)
    run = only_run(tmp_path)
    assert sorted(path.name for path in run.glob("ledger-*")) == ["ledger-0.bin", "ledger-1.bin"]
    ledger = rows(run)
    assert sorted(gateway.numbers()) == sorted(ledger)
    plan = LoadPlan.read(tmp_path / "plan.yaml")
    assert LoadPlan.read(run / "plan.json") == plan
    assert Expectations.read(run) == Traffic.of(plan).expectations
    pace = read_pace(run)
    assert pace.sent == len(ledger)
    # Users start within a second of each other and stop within a second of the end.
    assert 60 <= pace.asked <= 190


def test_each_start_in_the_web_interface_is_a_run_of_its_own(tmp_path: Path) -> None:
    port = lasting_port()
    url = f"http://127.0.0.1:{port}"
    with recording_gateway() as gateway:
        options = ("--web-host", "127.0.0.1", "--web-port", str(port), "--host", gateway.url, "--rate", "50")
        with locust(*options, directory=tmp_path):
            wait_until(lambda: answers(url))
            for times in (1, 2):
                before = len(gateway.received)
                form = {"user_count": "3", "spawn_rate": "3", "host": gateway.url}
                assert requests.post(f"{url}/swarm", form, timeout=10).json()["success"]
                wait_until(lambda: len(gateway.received) > before + 10)  # noqa: B023 - called at once
                requests.post(f"{url}/stop", timeout=10).raise_for_status()
                wait_until(lambda: len(list(tmp_path.glob("load-run/*/pace-0.json"))) == times)  # noqa: B023
    runs = list((tmp_path / "load-run").iterdir())
    assert len({Ledger.read(run).run for run in runs}) == 2
    assert sorted(gateway.numbers()) == sorted(number for run in runs for number in rows(run))


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--plan", "plan.yaml"), "plan.yaml:1: /rate: expected a number, got a string"),
        (("--plan", "gone.yaml"), "gone.yaml: cannot be read: No such file or directory"),
        (("--rate", "-1"), "/rate: expected a value between 0 and"),
        (("AiChatUser",), "AiChatUser has no weight in the plan"),
        (("--ledger", "plan.yaml", "-t", "1s"), "plan.yaml/"),
    ],
)
def test_what_cannot_be_is_said_in_a_line_with_exit_code_2(
    options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    (tmp_path / "plan.yaml").write_text("rate: fast")
    done = run_locust("--host", "http://127.0.0.1:9", *options, directory=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_tests_never_share_a_process_with_locust() -> None:
    modules = ", ".join(f"loadtests.{name}" for name in WITHOUT_LOCUST)
    script = f"import sys, {modules}; sys.exit('gevent' in sys.modules or 'locust' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0
    assert "gevent" not in sys.modules
