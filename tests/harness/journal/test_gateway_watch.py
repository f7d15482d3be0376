"""``kong-metering gateway --journal`` and ``--watch``, and ``kong-metering explain``, as processes."""

from __future__ import annotations

import http.client
import io
import json
import os
import pty
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mystery import FOLDER, state_file
from rich.console import Console

from harness.capture.store import CaptureWriter
from harness.cli.main import main
from harness.journal.file import encode
from harness.journal.live_view import LiveView
from harness.journal.writer import JournalWriter
from plugin_emulator.journal import Configured, Ended, Instance, Metered, PassedOver, Sending, SubjectReading, Tried


@contextmanager
def gateway(config: Path, *options: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "harness.cli.main", "gateway", "--config", str(config), "--echo-upstream"]
    process = subprocess.Popen(
        [*command, "--proxy-port", "0", "--no-admin", *options],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def line_with(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line.rstrip("\n")
    raise AssertionError(f"the gateway ended without a line with {text!r}")


def ask(url: str, **headers: str) -> str:
    """Send a request; return its id."""
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.headers["X-Kong-Request-Id"])


def wait_for(journal: Path, text: bytes, count: int) -> None:
    """Wait until a journal holds ``text`` that often."""
    end = time.monotonic() + 20
    while journal.read_bytes().count(text) < count:
        assert time.monotonic() < end, f"{text!r} is not there {count} times"
        time.sleep(0.01)


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["explain", *arguments])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def test_without_a_terminal_watch_prints_a_line_for_each_request(tmp_path: Path) -> None:
    with gateway(FOLDER / "header-misspelt.yaml", "--watch") as process:
        proxy = line_with(process, "proxy").split()[1]
        ask(f"{proxy}/orders", x_tennant_id="acme")
        line = line_with(process, "GET /orders")
    expected = (
        "GET /orders 200  not billed: no header 'x-tenant-id' in the request, but a similar one: 'X-Tennant-Id'"
    )
    assert expected in line


def test_watch_shows_batches_tries_and_losses_in_the_order_in_which_they_happen(tmp_path: Path) -> None:
    with gateway(state_file("entries-overflow", tmp_path, 1), "--watch") as process:
        proxy = line_with(process, "proxy").split()[1]
        ask(f"{proxy}/orders", x_tenant_id="acme")
        assert "subject 'acme'  kong.api_request" in line_with(process, "GET /orders")
        assert "plugin billing: batch 1 of 1 event(s) leaves" in line_with(process, "batch")
        assert "batch 1, try 1: the ingest endpoint http://127.0.0.1:1" in line_with(process, "try")
        for _ in range(3):
            ask(f"{proxy}/orders", x_tenant_id="acme")
        assert "lost 1 event(s): max_entries are waiting, the oldest had to go [CAP-1]" in line_with(process, "lost")


def test_control_characters_of_a_request_do_not_reach_the_terminal(tmp_path: Path) -> None:
    with gateway(FOLDER / "batch-delay-3600.yaml", "--watch") as process:
        proxy = line_with(process, "proxy").split()[1]
        ask(f"{proxy}/orders", x_tenant_id="a\x9b31mb")
        line = line_with(process, "GET /orders")
    assert line.isprintable()


def test_with_json_every_fact_is_a_line_and_the_first_line_says_that_the_gateway_is_ready(tmp_path: Path) -> None:
    with gateway(FOLDER / "condition-false.yaml", "--watch", "--json") as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        request = ask(f"{ready['proxy']}/orders", x_tenant_id="acme")
        facts = [json.loads(process.stdout.readline()) for _ in range(3)]
    assert [fact["fact"] for fact in facts] == ["gateway", "configuration", "request"]
    assert facts[2]["request"] == request
    assert facts[2]["passed_over"][0]["rule"] == "FLT-6"


def test_on_a_terminal_watch_draws_the_queues_and_the_requests() -> None:
    own, theirs = pty.openpty()
    shown = ""
    with gateway(FOLDER / "empty-header.yaml", "--watch", stdout=theirs):
        os.close(theirs)
        while "what became of it" not in shown:
            shown += os.read(own, 65536).decode("utf-8", "replace")
        (proxy,) = re.findall(r"http://127\.0\.0\.1:\d+", shown.split("waiting")[0])[:1]
        ask(f"{proxy}/orders", x_tenant_id="")
        while "not billed" not in shown:
            shown += os.read(own, 65536).decode("utf-8", "replace")
    os.close(own)


def test_explain_answers_from_a_journal_whose_gateway_was_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was queued in it is lost once another gateway has started on the journal."""
    journal = tmp_path / "journal.jsonl"
    config = FOLDER / "batch-delay-3600.yaml"
    with gateway(config, "--journal", str(journal), "--json") as process:
        assert process.stdout is not None
        request = ask(json.loads(process.stdout.readline())["proxy"] + "/orders", x_tenant_id="acme")
        wait_for(journal, b'"fact":"metered"', 1)
        code, out, _ = explained(capsys, "--journal", str(journal), request)
        assert (code, out.splitlines()[0].startswith("under way: the event is in the queue for")) == (0, True)
        process.kill()
        process.wait(10)
    with gateway(config, "--journal", str(journal), "--json") as process:
        assert process.stdout is not None
        process.stdout.readline()
        wait_for(journal, b'"fact":"gateway"', 2)
    code, out, _ = explained(capsys, "--journal", str(journal), "--not-billed", "--json")
    (answer,) = map(json.loads, out.splitlines())
    assert (code, answer["request"], answer["outcome"], answer["rule"]) == (0, request, "lost", "LIF-1")
    event = re.findall(r"event (\S+) \(kong", json.dumps(answer["steps"]))[0]
    assert explained(capsys, "--journal", str(journal), event) == explained(
        capsys, "--journal", str(journal), "--last"
    )


def test_a_gateway_that_is_stopped_at_once_says_which_events_it_took_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = tmp_path / "journal.jsonl"
    with gateway(FOLDER / "batch-delay-3600.yaml", "--journal", str(journal), "--json") as process:
        assert process.stdout is not None
        ask(json.loads(process.stdout.readline())["proxy"] + "/orders", x_tenant_id="acme")
    _, out, _ = explained(capsys, "--journal", str(journal), "--last")
    assert out.splitlines()[0] == "lost: the gateway was stopped [LIF-2]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--journal", "{folder}/none", "--last"], "none: cannot be read: No such file or directory"),
        (["--journal", "{folder}/empty", "--last"], "empty: has no request yet"),
        (["--journal", "{folder}/empty", "abc"], "empty: has neither a request nor an event with the id 'abc'"),
        (["--journal", "{folder}/other", "--not-billed"], "other:1: is no line of a journal: "),
        (["--journal", "{folder}/page.md", "--last"], "page.md: is not a journal; give what kong-metering gateway"),
        (["--journal", "{folder}/page.md", "abc"], "page.md: is not a journal"),
        (["--journal", "{folder}/page.md", "--not-billed"], "page.md: is not a journal"),
        (
            ["--journal", "{folder}/capture", "--last"],
            "capture: is not a journal but a capture, or another database: give it with --capture",
        ),
        (["--journal", "{folder}/newer", "--not-billed"], "newer:1: is of version 99, this program reads up to 1"),
        (["--journal", "{folder}/empty"], "give an ID, or --last, or --not-billed"),
        (["--journal", "{folder}/empty", "abc", "--last"], "an ID, --last and --not-billed exclude each other"),
    ],
)
def test_what_cannot_be_explained_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "page.md").write_text("# Readme\n")
    CaptureWriter(tmp_path / "capture").close()
    (tmp_path / "other").write_text('{"fact": "rumour"}\n')
    (tmp_path / "newer").write_text('{"fact": "gateway", "at": 1, "gateway": "3.16.0", "version": 99}\n')
    code, out, err = explained(capsys, *(argument.format(folder=tmp_path) for argument in arguments))
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert said in err


def test_a_journal_that_cannot_be_written_ends_the_gateway_before_it_serves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["gateway", "--config", str(FOLDER / "empty-header.yaml"), "--journal", str(tmp_path / "no" / "j")])
    assert end.value.code == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_a_second_gateway_on_the_same_journal_is_refused_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = tmp_path / "journal.jsonl"
    with JournalWriter(journal), pytest.raises(SystemExit) as end:
        main(["gateway", "--config", str(FOLDER / "empty-header.yaml"), "--journal", str(journal)])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("journal.jsonl: another process is writing this journal; choose another file")


def test_a_full_disk_is_said_once_and_the_gateway_goes_on_serving() -> None:
    with gateway(FOLDER / "header-misspelt.yaml", "--journal", "/dev/full", "--json") as process:
        assert process.stdout is not None and process.stderr is not None
        proxy = json.loads(process.stdout.readline())["proxy"]
        line = process.stderr.readline()
        assert (
            line == "kong-metering gateway: [warn] /dev/full: cannot be written any more: No space left on device\n"
        )
        for _ in range(3):
            ask(f"{proxy}/orders")
            time.sleep(0.06)  # more than a fact waits in memory
        process.terminate()
        assert process.stderr.read() == ""
        assert process.wait(20) == 0


def test_a_journal_with_a_limit_keeps_to_it_and_is_explained_from_both_of_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal, older = tmp_path / "journal.jsonl", tmp_path / "journal.jsonl.1"
    options = ["--journal", str(journal), "--journal-limit", "1MB", "--json"]
    with gateway(FOLDER / "header-misspelt.yaml", *options) as process:
        assert process.stdout is not None
        proxy = json.loads(process.stdout.readline())["proxy"].removeprefix("http://")
        connection = http.client.HTTPConnection(proxy, timeout=10)
        requests = []
        while not older.exists():
            connection.request("GET", "/orders", headers={"x-tennant-id": "acme"})
            answer = connection.getresponse()
            answer.read()
            requests.append(answer.getheader("X-Kong-Request-Id"))
    assert journal.stat().st_size + older.stat().st_size <= 1_000_000
    for request in (requests[0], requests[-1]):
        code, out, _ = explained(capsys, "--journal", str(journal), str(request))
        assert (code, out.splitlines()[0]) == (
            0,
            "not billed: no header 'x-tenant-id' in the request, but a similar one: 'x-tennant-id' [DRP-1]",
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--journal-limit", "1MB"], "--journal-limit needs --journal"),
        (["--journal", "j", "--journal-limit", "10KB"], "'10KB' is less than 1,000,000 bytes"),
        (["--journal", "/dev/null", "--journal-limit", "1MB"], "/dev/null: is no ordinary file"),
        (["--journal", "{config}"], "is not a journal; choose another file"),
    ],
)
def test_a_journal_that_cannot_be_as_asked_for_ends_the_gateway_with_one_line(
    capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    config = str(FOLDER / "empty-header.yaml")
    with pytest.raises(SystemExit) as end:
        main(["gateway", "--config", config, *(option.format(config=config) for option in options)])
    assert end.value.code == 2
    assert said in capsys.readouterr().err


def view(*facts: Any, width: int = 160) -> str:
    console = Console(width=width, height=30, record=True, file=io.StringIO())
    live = LiveView(console)
    for fact in facts:
        live.observe(fact)
    console.print(live.view(20.0))
    return console.export_text()


QUEUE = {"max_batch_size": 100, "max_coalescing_delay": 3600.0}
SETTINGS = {"ingest_endpoint": "http://127.0.0.1:1/events", "queue": QUEUE}
CONFIGURED = Configured(1.0, (Instance("p", "metering-and-billing", ("log",), SETTINGS, instance_name="billing"),))


def test_the_view_has_what_waits_what_is_retried_and_what_became_of_each_request() -> None:
    subject = SubjectReading("header", "x-tenant-id", "acme")
    shown = view(
        CONFIGURED,
        Ended(2.0, "r1", 1.9, "GET", "/one", 200, instances=("p",)),
        Metered(2.0, "r1", "p", subject, events=(("e1", "kong.api_request"),)),
        Sending(3.0, "p", 1, ("e1",)),
        Tried(3.1, "p", 1, 1, 0.1, ok=False, status=503, problem="answered 503"),
        Ended(4.0, "r2", 3.9, "GET", "/two", 200, instances=("p",)),
        Metered(4.0, "r2", "p", subject, events=(("e2", "kong.api_request"),)),
        Ended(5.0, "r3", 4.9, "GET", "/three", 404, passed_over=(PassedOver("x", "FLT-7", "no Route"),)),
    )
    (queue,) = [line for line in shown.splitlines() if "billing" in line]
    assert re.split(r"\s{2,}", queue.strip())[1:] == [
        "global",
        "1",
        "#1 of 1, try 2: answered 503",
        "0",
        "0",
        "1",
        "1",
    ]
    assert re.search(
        r"GET /one +200 +under way: try 1 failed and another one follows: .*answered 503 \[RET-6\]", shown
    )
    assert re.search(r"GET /two +200 +under way: the event is in the queue for 16.0 s, behind a batch", shown)
    assert re.search(r"GET /three +404 +not billed: no Route \[FLT-7\]", shown)


def test_markup_in_a_path_is_shown_as_it_is() -> None:
    assert "GET /[red]x" in view(CONFIGURED, Ended(2.0, "r", 1.9, "GET", "/[red]x", 200))


def test_on_a_narrow_terminal_the_whole_cause_is_to_be_read() -> None:
    reason = "no header 'x-tenant-id' in the request, but a similar one: 'x-tennant-id', and some words more"
    subject = SubjectReading("header", "x-tenant-id")
    ended = Ended(2.0, "0123456789abcdef", 1.9, "GET", "/one", 200, instances=("p",))
    metered = Metered(2.0, "0123456789abcdef", "p", subject, rule="DRP-1", reason=reason)
    shown = view(CONFIGURED, ended, metered, width=60)
    assert f"not billed: {reason} [DRP-1]" in " ".join(shown.split())
    assert " 01234567 200 GET /one" in shown


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    subject = SubjectReading("header", "x", "a\u202eb\x9b")
    facts = [CONFIGURED]
    for number, request in enumerate(("0123456789abcdef", "0123456788888888", "fedcba9876543210")):
        facts.append(Ended(2.0, request, 1.9, "GET", "/\u202e", 499, "-", instances=("p",)))
        facts.append(Metered(2.0, request, "p", subject, events=((f"event-{number}", "kong.api_request"),)))
    file = tmp_path / "journal.jsonl"
    file.write_bytes(b"".join(encode(fact) + b"\n" for fact in facts))
    return file


@pytest.mark.parametrize("beginning", ["012345678", "0123456789", "fedcba98", "event-0", "fedcba9"])
def test_a_request_is_known_by_the_beginning_of_its_id_where_no_other_begins_so(
    journal: Path, capsys: pytest.CaptureFixture[str], beginning: str
) -> None:
    code, out, err = explained(capsys, "--journal", str(journal), beginning)
    if beginning == "012345678":
        assert (code, out) == (2, "")
        assert "2 requests have an id that begins with '012345678': give all of it" in err
    elif beginning == "fedcba9":
        assert "has neither a request nor an event with the id 'fedcba9'" in err
    else:
        whole = "fedcba9876543210" if beginning == "fedcba98" else "0123456789abcdef"
        assert (code, f"request {whole}" in out) == (0, True)


def test_characters_that_would_change_a_terminal_are_escaped_in_every_line(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = explained(capsys, "--journal", str(journal), "--last")
    assert "GET /\\u202e" in out
    assert all(line.isprintable() for line in out.splitlines())


def test_a_client_that_went_away_is_said_to_have_done_so(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = explained(capsys, "--journal", str(journal), "--last")
    assert "the client went away before the answer (499)" in out
