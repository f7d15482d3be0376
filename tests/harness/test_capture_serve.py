"""``kong-metering capture serve`` without a browser: its answers, whom it answers, what it follows, how it ends."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from capture_serve_process import START, Served, Writing, event, small
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.capture.life import life_at, lives
from harness.capture.reader import CaptureReader
from harness.capture_page.filter import Filter
from harness.capture_page.search_text import PIECE, SearchText, Superseded
from harness.capture_page.source import CaptureSource
from harness.capture_page.timeline import MOST_BATCHES, timeline
from harness.cli.main import main

OLD = Path(__file__).with_name("captures") / "version-1.jsonl"
NEVER = threading.Event()


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "ingest.capture"
    with Writing(path) as write:
        small(write)
    return path


@pytest.fixture(scope="module")
def served(capture: Path) -> Iterator[Served]:
    with Served(capture) as running:
        running.read(8)
        yield running


@pytest.mark.parametrize("content", ["nothing of the kind\n", "no line", '{"fact":"started"}\n', None])
def test_what_is_no_journal_is_one_line(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    journal = tmp_path / "journal"
    if content is None:
        journal.mkdir()
    else:
        journal.write_text(content)
    with pytest.raises(SystemExit) as ended:
        main(["capture", "serve", "--capture", str(capture), "--journal", str(journal)])
    assert ended.value.code == 2
    out, errors = capsys.readouterr()
    assert out == "" and str(journal) in errors and len(errors.splitlines()) == 1


def ids(answer: Any) -> list[str]:
    return [row[9] for row in answer["rows"]]


EVERYTHING = ["e-1", "e-2", "e-1", "e-2", "e-1", "e-2", "e-3", "e-4", "e-1", "e-5", "e-6"]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, EVERYTHING),
        ({"text": "E-3"}, ["e-3"]),
        ({"text": "CAROL"}, ["e-3"]),
        ({"text": "llm_req"}, ["e-3"]),
        ({"text": "1234"}, ["e-3"]),
        ({"text": "gpt true null"}, ["e-3"]),
        ({"text": "/üNÏ"}, ["e-2", "e-2", "e-2"]),
        ({"text": "orders/1 bob"}, []),
        ({"text": "onerror="}, ["e-4"]),
        ({"subject": '"bob"'}, ["e-2", "e-2", "e-2", "e-6"]),
        ({"subject": "null"}, ["e-5"]),
        ({"subject": ['"carol"', "null"]}, ["e-3", "e-5"]),
        ({"type": '"kong.llm_request"'}, ["e-3"]),
        ({"verdict": "invalid"}, ["e-4"]),
        ({"verdict": ["duplicate", "refused"]}, ["e-1", "e-2", "e-1", "e-2", "e-1"]),
        ({"verdict": "mixed"}, ["e-4", "e-1"]),
        ({"lane": "other"}, ["e-5"]),
        ({"lane": ""}, [one for one in EVERYTHING if one != "e-5"]),
        ({"since": START + 5}, ["e-5", "e-6"]),
        ({"until": START + 1}, ["e-1", "e-2"]),
        ({"request": 3}, ["e-1", "e-2"]),
        ({"text": "alice", "verdict": "accepted"}, ["e-1"]),
        ({"start": 9}, ["e-5", "e-6"]),
        ({"count": 2}, ["e-1", "e-2"]),
        ({"count": 2, "newest": ""}, ["e-5", "e-6"]),
    ],
)
def test_events_are_those_that_the_filter_asks_for(served: Served, parameters: Any, expected: list[str]) -> None:
    answer = served.ask(f"events?{urlencode(parameters, doseq=True)}")
    assert ids(answer) == expected
    if "count" not in parameters and "start" not in parameters:
        assert answer["found"] == len(expected)


def test_a_row_has_what_the_list_shows(served: Served) -> None:
    (row,) = served.ask("events?text=e-5")["rows"]
    assert row == [6, 0, 6, "other", START + 5, "accepted", 202, None, "kong.api_request", "e-5", None]


def test_counts_of_a_filter_leave_out_its_own_condition(served: Served) -> None:
    answer = served.ask(f"events?counts=&{urlencode({'subject': json.dumps('bob'), 'verdict': 'accepted'})}")
    assert answer["found"] == 2
    assert answer["subjects"] == [["bob", 2], ["alice", 1], ["carol", 1], [None, 1]]
    assert answer["verdicts"] == {"accepted": 2, "duplicate": 0, "invalid": 0, "refused": 2, "mixed": 0}
    nobody = served.ask(f"events?counts=&{urlencode({'subject': json.dumps('nobody')})}")
    assert ["nobody", 0] in nobody["subjects"]


def test_the_timeline_joins_the_tries_of_a_batch_and_has_requests_without_events(served: Served) -> None:
    answer = served.ask("timeline")
    assert (answer["start"], answer["end"], answer["total"]) == (START, START + 7, 6)
    assert [sum(bars) for bars in answer["bars"]] == [5, 1, 1, 4]
    first, *_, last = answer["batches"]
    assert first[:2] == ["", 2]
    assert [(place, status, fault) for place, _, _, status, fault in first[2]] == [
        (1, 503, "503"),
        (2, 503, "503"),
        (3, 202, None),
    ]
    assert last == ["", 0, [[8, 8, START + 7, 400, None]]]
    narrow = served.ask(f"timeline?since={START + 1.5}&until={START + 2.5}")
    assert len(narrow["batches"][0][2]) == 3, "all tries, whatever the filter leaves of them"


def test_an_event_is_explained_with_all_its_deliveries(served: Served) -> None:
    (life,) = served.ask("event?place=3&position=0")["lives"]
    assert life["conclusion"].startswith("billed: accepted with delivery 3 of 4 deliveries, then 1 more")
    assert [one["request"] for one in life["deliveries"]] == [1, 2, 3, 5]
    assert life["subject"] == "alice"
    assert json.loads(life["entry"])["data"] == {"path": "/orders/1"}
    (invalid,) = served.ask("event?place=5&position=0")["lives"]
    assert invalid["conclusion"] == "not billed: invalid (EVT-1 /subject: is no text)"
    assert served.ask("event?place=5&position=2", 404)["problem"] == "the capture has no such event"


def test_a_key_is_an_id_or_a_value(served: Served) -> None:
    assert [life["id"] for life in served.ask("key?key=e-3")["lives"]] == ["e-3"]
    assert [life["id"] for life in served.ask(f"key?key={quote('/orders/1')}")["lives"]] == ["e-1"]
    assert served.ask("key?key=nothing") == {"lives": [], "gateway": None}


def test_a_request_is_told_with_its_findings_and_the_other_tries(served: Served) -> None:
    told = served.ask("request?place=2")
    assert [place for place, *_ in told["tries"]] == [1, 2, 3]
    assert (told["status"], told["fault"], told["verdicts"]) == (503, "503", {"refused": 2})
    unread = served.ask("request?place=8")
    assert (unread["entries"], unread["body"]) == (0, "{no json")
    assert unread["findings"][0][1]["message"] == "is no JSON"
    assert served.ask("request?place=7")["status"] is None
    served.ask("request?place=99", 404)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("events?verdict=odd", "verdict 'odd' is none of: accepted, duplicate, invalid, refused, mixed"),
        ("events?subject=bob", "subject is a text in JSON, or null"),
        ("events?since=now", "since is in seconds since 1970, not 'now'"),
        ("timeline?until=nan", "until is in seconds since 1970, not 'nan'"),
        ("events?start=-1", "start is a whole number from 0, not '-1'"),
        ("event?place=1", "position is a whole number from 0, not None"),
        ("key", "key is an id or a value"),
    ],
)
def test_a_question_that_makes_no_sense_is_answered_in_words(served: Served, path: str, words: str) -> None:
    assert served.ask(path, 400) == {"problem": words}


def test_only_its_own_address_is_answered(served: Served) -> None:
    """A foreign name that leads here is how another page would get to read the capture."""
    for host in (f"127.0.0.1:{served.port}", f"localhost:{served.port}", f"LOCALHOST:{served.port}"):
        assert served.raw("/api/state", Host=host)[0] == 200, host
    for host in ("evil.example", f"evil.example:{served.port}", "127.0.0.1", "localhost:1", "", "[", "127.0.0.1:x"):
        status, _, body = served.raw("/api/state", Host=host)
        assert status in (400, 403), host
        assert b"events" not in body


@pytest.mark.parametrize(
    "path", ["/", "/app.js", "/capture.css", "/api/state", "/api/nothing", "/api/events?start=x"]
)
def test_every_answer_forbids_what_the_page_does_not_need(served: Served, path: str) -> None:
    _, headers, _ = served.raw(path, Origin="http://evil.example")
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_only_get_is_answered(served: Served, method: str) -> None:
    status, headers, _ = served.raw("/api/state", method)
    assert (status, headers["allow"]) == (405, "GET")


def test_no_file_of_the_page_names_another_address(served: Served) -> None:
    static = Path(__file__).parents[2] / "harness" / "capture_page" / "static"
    for file in static.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, file
        assert "innerHTML" not in text and "insertAdjacentHTML" not in text, file
        status, headers, body = served.raw(f"/{file.name}")
        assert (status, body.decode()) == (200, file.read_text(encoding="utf-8"))
        assert headers["content-type"].endswith("; charset=utf-8")
    assert served.raw("/../server.py")[0] == 404


def test_it_follows_a_capture_that_is_being_written_and_one_that_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "ingest.capture"
    path.touch()
    with Served(path) as served:
        assert served.ask("state")["events"] == 0
        assert served.ask("timeline") is None
        path.unlink()
        with Writing(path) as write:
            write(event("one"))
            served.read(1)
            assert ids(served.ask("events?text=o")) == ["one"]
            write(event("two"))
            served.read(2)
            assert ids(served.ask("events?text=o")) == ["one", "two"]
        before = served.ask("state")["generation"]
        with Writing(tmp_path / "another") as write:
            write(event("three"))
        (tmp_path / "another").replace(path)
        while (state := served.ask("state"))["generation"] == before:
            pass
        served.read(1)
        assert ids(served.ask("events")) == ["three"]
        path.unlink()
        while (state := served.ask("state"))["problem"] is None:
            pass
        assert state["problem"].endswith("cannot be read: No such file or directory")
        assert state["events"] == 1, "what is known stays"


def test_a_capture_of_version_1_is_shown(tmp_path: Path) -> None:
    with Served(OLD) as served:
        served.read(5)
        assert served.ask("state")["name"] == "version-1.jsonl"
        assert served.ask("events?verdict=invalid")["found"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_quietly_with_a_signal(capture: Path, number: int) -> None:
    with Served(capture) as served:
        assert served.ready == {
            "ready": True,
            "url": f"http://127.0.0.1:{served.port}/",
            "host": "127.0.0.1",
            "port": served.port,
            "capture": str(capture),
        }
        assert served.end(number) == (0, "", "")


def test_without_json_the_only_line_is_the_address(capture: Path) -> None:
    command = [sys.executable, "-m", "harness.cli.main", "capture", "serve", "--capture", str(capture)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=20)
    assert line.startswith("http://127.0.0.1:") and line.endswith("/\n")
    assert (process.returncode, *rest) == (0, "", "")


def test_what_cannot_be_served_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text"
    text.write_text("no capture")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        small_one = tmp_path / "small"
        with Writing(small_one) as write:
            small(write)
        for arguments, words in (
            (["--capture", str(tmp_path / "none")], "none: cannot be read: No such file or directory"),
            (["--capture", str(text)], "text: is not a capture file"),
            (["--capture", str(small_one), "--port", port], f"cannot listen on 127.0.0.1:{port}: "),
            (
                ["--capture", str(small_one), "--host", "no.such.host.invalid"],
                "cannot listen on no.such.host.invalid",
            ),
        ):
            with pytest.raises(SystemExit) as ended:
                main(["capture", "serve", *arguments])
            error = capsys.readouterr().err
            assert ended.value.code == 2
            assert words in error and error.count("\n") == 1, error


def test_an_entry_is_looked_up_where_it_can_only_be(capture: Path) -> None:
    """With the places of all its deliveries the life is whole, with fewer it has those."""
    for path in (capture, OLD):
        reader = CaptureReader(path)
        (whole,) = (life for life in lives(reader, "e-1") if not life.deliveries[0].lane)
        first = whole.deliveries[0]
        places = [one.request for one in whole.deliveries]
        assert life_at(reader, first.request, first.position, places) == whole
        alone = life_at(reader, first.request, first.position, ())
        assert alone is not None and alone.deliveries == whole.deliveries[:1]
        assert life_at(reader, first.request, 99, ()) is None
        assert lives(reader, "e-1", [9999]) == []


def test_an_entry_without_an_id_has_the_one_delivery(tmp_path: Path) -> None:
    with Writing(tmp_path / "capture") as write:
        write(event(None), event(None))
    life = life_at(CaptureReader(tmp_path / "capture"), 1, 1, ())
    assert life is not None and life.id is None and [one.position for one in life.deliveries] == [1]


WORDS = st.text(st.sampled_from("abAB1é \n\x1f"), max_size=6)


@given(
    st.lists(st.lists(WORDS, min_size=1, max_size=3), max_size=40),
    WORDS.filter(lambda words: bool(words.split())),
    st.integers(0, 40),
)
@settings(max_examples=150, derandomize=True, deadline=None)
def test_a_search_finds_what_looking_at_every_text_finds(texts: list[list[str]], words: str, since: int) -> None:
    terms = words.split()
    text = SearchText()
    for parts in texts:
        text.add(parts)
    found = text.searched().holding(terms, since, NEVER).tolist()
    lines = ["\x1f".join(parts).lower().replace("\n", " ") for parts in texts]
    assert found == [n for n, line in enumerate(lines) if n >= since and all(one.lower() in line for one in terms)]


@pytest.mark.parametrize("plain", [0, 1 << 25])
def test_a_search_goes_through_all_pieces_of_a_large_text(monkeypatch: pytest.MonkeyPatch, plain: int) -> None:
    """Rare and common terms, compressed pieces and plain ones."""
    monkeypatch.setattr("harness.capture_page.search_text.PLAIN", plain)
    dice = random.Random(1)
    text = SearchText()
    lines = [f"{dice.getrandbits(4000):x} number {n % 7}" for n in range(3 * PIECE // 1000)]
    for line in lines:
        text.add([line])
    searched = text.searched()
    assert len(searched.pieces) == 4
    for terms in (["number"], ["number", "3"], ["abcd"], ["abcd", "number 3"], ["not there"]):
        expected = [n for n, line in enumerate(lines) if all(term in line for term in terms)]
        assert searched.holding(terms, 0, NEVER).tolist() == expected
    stop = threading.Event()
    stop.set()
    with pytest.raises(Superseded):
        searched.holding(["number"], 0, stop)


def test_what_was_searched_before_is_not_searched_again_as_the_capture_grows(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    source, wanted = CaptureSource(path), Filter(terms=("even",))
    with Writing(path) as write:
        for n in range(6):
            write(event(f"e-{n}", word="even" if n % 2 == 0 else "odd"))
            source.grow(NEVER)
            found = source.now().find(wanted, NEVER)
            assert found.events.tolist() == [one for one in range(n + 1) if one % 2 == 0]
            if n == 2:
                earlier = source.now()
    assert earlier.find(wanted, NEVER).events.tolist() == [0, 2], "as it was then"


def test_where_there_are_too_many_batches_the_timeline_has_those_with_trouble(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    with Writing(path) as write:
        for n in range(MOST_BATCHES + 50):
            failed = n % 10 == 0
            for status in (503, 202) if failed else (202,):
                write(event(f"e-{n}"), status=status)
    source = CaptureSource(path)
    source.grow(NEVER)
    now = source.now()
    drawn = timeline(now.contents, Filter(), now.find(Filter(), NEVER))
    assert drawn is not None and drawn.total == MOST_BATCHES + 50
    assert len(drawn.batches) == (MOST_BATCHES + 50) // 10
    assert {len(tries) for _, _, tries in drawn.batches} == {2}
