"""The capture file: what was written is read back, whatever happened to its writer."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_text import stored_text

from harness.capture.record import CapturedRequest, body_members
from harness.capture.redaction import redacted
from harness.capture.store import CaptureError, CaptureFormatError, CaptureReader, CaptureWriter
from harness.capture.verdict import ACCEPTED, Finding, Verdict
from harness.ingest.core import IngestSettings
from harness.ingest.faults import FaultScript
from harness.ingest.lanes import Lanes
from harness.ingest.messages import IngestRequest


def record(n: int = 1, body: bytes = b'{"id": "1"}', **members: Any) -> CapturedRequest:
    fixed = {"lane": "", "arrived_at": 1.5, "monotonic": 0.5, "connection": "c", "method": "POST", "path": "/events"}
    usual = {"headers": [("A", "b")], "verdicts": (ACCEPTED,)}
    return CapturedRequest(**{"n": n, "size": len(body), **fixed, **usual, **body_members(body), **members})


def read(path: Path) -> list[CapturedRequest]:
    return list(CaptureReader(path).requests())


def test_a_record_is_read_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    finding = Finding("EVT-6", "/data/tokens", "x", "is_integer")
    written = [record(1), record(2, verdicts=(Verdict("invalid", (finding,)),), status=400, findings=(finding,))]
    with CaptureWriter(path) as writer:
        for item in written:
            writer.append(item)
    assert read(path) == written


@given(st.binary(max_size=40) | st.text(max_size=20).map(str.encode))
@settings(max_examples=100, deadline=None)
def test_a_body_is_kept_byte_for_byte(body: bytes) -> None:
    assert record(body=body).body_bytes() == body
    assert json.loads(json.dumps(body_members(body)))  # either way it is JSON


def test_a_request_can_be_read_back_by_its_place_as_json(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "c") as writer:
        places = [writer.append(record(n)) for n in (1, 2, 3)]
        assert [json.loads(writer.line(place))["n"] for place in places] == [1, 2, 3]


def test_reopening_appends(tmp_path: Path) -> None:
    path = tmp_path / "c"
    for n in (1, 2):
        with CaptureWriter(path) as writer:
            writer.append(record(n))
    assert [item.n for item in read(path)] == [1, 2]


def test_a_closed_capture_is_one_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "c") as writer:
        writer.append(record())
        assert all(file.stat().st_mode & 0o077 == 0 for file in tmp_path.iterdir())
    assert [file.name for file in tmp_path.iterdir()] == ["c"]


texts = st.text(max_size=12)
values = st.none() | texts | st.integers(-(2**53), 2**53) | st.booleans() | st.lists(texts, max_size=2)
names = st.sampled_from(["id", "subject", "type", "time", "customerId"])
entries = st.lists(st.dictionaries(names, values), max_size=4)
verdicts = st.sampled_from(["accepted", "duplicate", "invalid", "refused"])
findings = st.lists(st.builds(Finding, texts, texts, texts), max_size=2).map(tuple)
judgements = st.lists(st.builds(Verdict, verdicts, findings), min_size=4)


@given(
    st.lists(
        st.tuples(entries, judgements) | st.binary(max_size=9000),
        max_size=30,
    ),
    texts,
)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back_equal_whatever_it_is(
    bodies: list[tuple[list[Any], list[Verdict]] | bytes], text: str
) -> None:
    """Any body, any verdicts, small and large, before and after there is a dictionary, over two openings."""
    written = []
    for n, body in enumerate(bodies):
        if isinstance(body, bytes):
            written.append(record(n, body, verdicts=(), path=text, headers=[(text, text)], fault=text or None))
        else:
            held, judged = body
            given_verdicts = tuple(judged[: len(held)])
            written.append(record(n, json.dumps(held).encode(), verdicts=given_verdicts, status=n or None))
    with TemporaryDirectory() as directory:
        path = Path(directory) / "c"
        for half in (written[: len(written) // 2], written[len(written) // 2 :]):
            with CaptureWriter(path) as writer:
                for item in half:
                    assert msgspec.json.decode(writer.line(writer.append(item)), type=CapturedRequest) == item
        assert read(path) == written


def test_single_events_shrink_to_less_than_half_once_there_is_a_dictionary(tmp_path: Path) -> None:
    path = tmp_path / "c"
    sent = 0
    with CaptureWriter(path) as writer:
        for n in range(400):
            data = {"text": "".join(map(chr, range(32, 127))) * 5}
            body = json.dumps({"id": str(uuid.UUID(int=n)), "subject": f"s{n % 7}", "data": data})
            sent += writer.append(record(n, body.encode())) and len(body)
    assert path.stat().st_size < sent / 2
    assert sum(item.size for item in read(path)) == sent


def test_a_reader_sees_what_was_committed_while_the_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "c"
    with CaptureWriter(path) as writer:
        writer.append(record(1))
        reading = CaptureReader(path).requests()
        assert next(reading).n == 1
        writer.append(record(2))
        assert [item.n for item in read(path)] == [1, 2]
        reading.close()


def test_a_capture_in_a_place_that_cannot_be_written_can_be_read(tmp_path: Path) -> None:
    """As from a read-only volume: no other file can be made beside it. (Root may write anywhere, hence immutable.)"""
    path = tmp_path / "c"
    with CaptureWriter(path) as writer:
        writer.append(record(1))
    refused = sqlite3.OperationalError("unable to open database file")
    with (
        patch("harness.capture.database.check_version", side_effect=[refused, None]),
        patch("harness.capture.database.os.access", return_value=False),
    ):
        assert [item.n for item in read(path)] == [1]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.99])
def test_a_damaged_file_is_one_line_or_what_is_left_of_it(tmp_path: Path, share: float) -> None:
    """Cut off anywhere: never a traceback, never a request that was not written."""
    path = tmp_path / "c"
    written = [record(n, os.urandom(3000), verdicts=()) for n in range(30)]
    with CaptureWriter(path) as writer:
        for item in written:
            writer.append(item)
    os.truncate(path, int(path.stat().st_size * share))
    found: list[CapturedRequest] = []
    try:
        for item in CaptureReader(path).requests():
            found.append(item)  # noqa: PERF402 - what came before the damage counts
    except (CaptureError, CaptureFormatError) as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    assert found == written[: len(found)] and len(found) < 30


def test_bytes_changed_in_a_request_are_told_as_damage(tmp_path: Path) -> None:
    path = tmp_path / "c"
    with CaptureWriter(path) as writer:
        writer.append(record(1))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE requests SET content = substr(content, 1, length(content) - 3)")
    with pytest.raises(CaptureFormatError, match="damaged"):
        read(path)


OLD = Path(__file__).with_name("captures") / "version-1.jsonl"


def test_a_capture_of_version_1_is_read(tmp_path: Path) -> None:
    reader = CaptureReader(OLD)
    assert [(item.lane, item.n, item.status) for item in reader.requests()] == [
        ("", 1, 503),
        ("", 2, 202),
        ("", 3, 400),
        ("", 4, 202),
        ("other", 1, 202),
        ("", 5, 400),
    ]
    assert reader.torn == 0
    lines = [json.loads(line) for line in OLD.read_text().splitlines()[1:]]
    assert [json.loads(msgspec.json.encode(item)) for item in reader.requests()] == lines


def test_a_capture_of_version_1_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    path.write_bytes(OLD.read_bytes())
    with pytest.raises(CaptureFormatError, match="kong-metering capture convert"):
        CaptureWriter(path)
    assert path.read_bytes() == OLD.read_bytes()


def test_a_capture_of_version_1_cut_anywhere_loses_at_most_the_line_it_was_cut_in(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    content = OLD.read_bytes()
    whole = list(CaptureReader(OLD).requests())
    for cut in range(content.index(b"\n") + 1, len(content) + 1, 7):
        path.write_bytes(content[:cut])
        lines = max(0, content[:cut].count(b"\n") - 1)
        reader = CaptureReader(path)
        found = list(reader.requests())
        assert found == whole[: len(found)] and lines <= len(found) <= lines + 1
        assert reader.torn == (not content[:cut].endswith(b"\n") and len(found) == lines)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_an_error_and_leaves_no_part_of_the_request(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    with CaptureWriter(path) as writer:
        writer.append(record(1))
        size = max(file.stat().st_size for file in tmp_path.iterdir())
        with file_size_limit(size + 20), pytest.raises(CaptureError, match=r"c\.jsonl: cannot be written"):
            writer.append(record(2, os.urandom(50_000), verdicts=()))
        writer.append(record(3))
    assert [item.n for item in read(path)] == [1, 3]


def test_a_file_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    for content in ("my notes\n", '{"a": 1}\n', "my notes", '{"format":"kong-metering-capture","version":9}\n'):
        path.write_text(content)
        with pytest.raises(CaptureFormatError, match=r"notes\.txt"):
            CaptureWriter(path)
        with pytest.raises(CaptureFormatError):
            read(path)
        assert path.read_text() == content


def test_another_database_and_a_newer_version_are_left_alone(tmp_path: Path) -> None:
    other, newer = tmp_path / "other.db", tmp_path / "newer"
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE t (a)")
    CaptureWriter(newer).close()
    with closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute("PRAGMA user_version=3")
    for path, words in ((other, "no capture"), (newer, "version 3")):
        before = path.read_bytes()
        for use in (CaptureWriter, read):
            with pytest.raises(CaptureFormatError, match=words):
                use(path)
        assert path.read_bytes() == before


def test_at_its_limit_a_capture_takes_no_more_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "c"
    taken = []
    with CaptureWriter(path, limit=100_000) as writer:
        for n in range(100):
            try:
                writer.append(record(n, os.urandom(5000), verdicts=()))
                taken.append(n)
            except CaptureError as error:
                assert str(error) == f"{path}: has reached its limit of 98,304 bytes"
    assert 5 < len(taken) < 20
    assert path.stat().st_size <= 100_000
    assert [item.n for item in read(path)] == taken


def test_two_writers_of_one_file_are_one_too_many(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    with CaptureWriter(path), pytest.raises(CaptureError, match="another process"):
        CaptureWriter(path)
    CaptureWriter(path).close()


@pytest.mark.parametrize("place", ["missing/c.jsonl", ".", "/dev/full"])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, place: str) -> None:
    with pytest.raises(CaptureError) as caught:
        CaptureWriter(tmp_path / place)
    ends = ("No such file or directory", "Is a directory", "a capture needs a regular file")
    assert str(caught.value).endswith(ends)


def test_a_capture_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="No such file"):
        read(tmp_path / "c.jsonl")


def test_no_secret_is_in_the_files_or_in_what_is_compressed_in_them(tmp_path: Path) -> None:
    path = tmp_path / "c"
    secret = "kpat-SECRET-0123456789"
    with CaptureWriter(path) as writer:
        lanes = Lanes(writer, IngestSettings(tokens=frozenset({secret})), FaultScript())
        for n in range(60):  # enough for a dictionary
            body = json.dumps({"specversion": "1.0", "id": f"{n}", "source": "k", "type": "t", "subject": "s" * 300})
            token = secret if n % 2 else f"{secret}-wrong"
            headers = (("Authorization", f"Bearer {token}"), ("x-api-key", token))
            lanes.receive(lanes.arrive("/events"), IngestRequest("POST", "/events", headers, body.encode()))
        while_writing = stored_text(path)
    for text in (while_writing, stored_text(path)):
        assert secret not in text and "Bearer [redacted]" in text


def test_events_are_paired_with_their_verdicts(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    with CaptureWriter(path) as writer:
        writer.append(record(1, b'[{"id": "1"}, {"id": "2"}]', verdicts=(ACCEPTED, Verdict("duplicate"))))
        writer.append(record(2, b"not json", verdicts=()))
        writer.append(record(3, b'{"id": "3"}'))
    found = [(item.request.n, item.event["id"], item.verdict.verdict) for item in CaptureReader(path).events()]
    assert found == [(1, "1", "accepted"), (1, "2", "duplicate"), (3, "3", "accepted")]


def test_headers_that_carry_secrets_are_redacted_in_any_case() -> None:
    given_headers = [
        ("AUTHORIZATION", "bearer secret"),
        ("Authorization", "secret"),
        ("apikey", "secret"),
        ("Cookie", "a=secret"),
        ("Accept", "*/*"),
    ]
    shown = redacted(given_headers)
    assert "secret" not in str(shown)
    assert shown[0] == ("AUTHORIZATION", "Bearer [redacted]")
    assert shown[-1] == ("Accept", "*/*")
