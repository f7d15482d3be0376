"""The capture file: what was written is read back, whatever happened to its writer."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.capture.record import CapturedRequest, body_members
from harness.capture.redaction import redacted
from harness.capture.store import CaptureError, CaptureFormatError, CaptureReader, CaptureWriter
from harness.capture.verdict import ACCEPTED, Finding, Verdict


def record(n: int = 1, body: bytes = b'{"id": "1"}', **members: Any) -> CapturedRequest:
    return CapturedRequest(
        n=n,
        lane="",
        arrived_at=1.5,
        monotonic=0.5,
        connection="c",
        method="POST",
        path="/events",
        headers=[("A", "b")],
        size=len(body),
        **{"verdicts": (ACCEPTED,), **body_members(body), **members},
    )


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


def test_each_record_is_one_line_after_a_header_with_the_format_version(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    with CaptureWriter(path) as writer:
        writer.append(record(body="a\nb\u2028".encode()))
    header, line = path.read_bytes().decode().strip("\n").split("\n")
    assert json.loads(header)["version"] == 1
    assert json.loads(line)["body"] == "a\nb\u2028"


def test_a_line_can_be_read_back_by_its_place(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "c.jsonl") as writer:
        places = [writer.append(record(n)) for n in (1, 2, 3)]
        assert [json.loads(writer.line(*place))["n"] for place in places] == [1, 2, 3]


def test_reopening_appends(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    for n in (1, 2):
        with CaptureWriter(path) as writer:
            writer.append(record(n))
    assert [item.n for item in read(path)] == [1, 2]


def test_a_file_cut_anywhere_loses_at_most_the_line_it_was_cut_in(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    ends = []
    with CaptureWriter(path) as writer:
        for n in (1, 2, 3):
            offset, length = writer.append(record(n))
            ends.append(offset + length)
    content = path.read_bytes()
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        whole = [n for n, end in enumerate(ends, 1) if end <= cut]
        assert [item.n for item in read(path)] == whole
        with CaptureWriter(path) as writer:
            place = writer.append(record(4))
            assert json.loads(writer.line(*place))["n"] == 4
        assert [item.n for item in read(path)] == [*whole, 4]


def test_a_torn_line_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    with CaptureWriter(path) as writer:
        writer.append(record(1))
    os.truncate(path, path.stat().st_size - 5)
    reader = CaptureReader(path)
    assert (list(reader.requests()), reader.torn) == ([], 1)


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


def test_a_full_disk_is_an_error_and_leaves_no_part_of_the_line(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    with CaptureWriter(path) as writer:
        writer.append(record(1))
        before = path.read_bytes()
        with file_size_limit(len(before) + 20), pytest.raises(CaptureError, match=r"c\.jsonl: cannot be written"):
            writer.append(record(2))
        assert path.read_bytes() == before
        writer.append(record(3))
    assert [item.n for item in read(path)] == [1, 3]


def test_a_file_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    for content in ("my notes\n", '{"a": 1}\n', "my notes", '{"format":"kong-metering-capture","version":2}\n'):
        path.write_text(content)
        with pytest.raises(CaptureFormatError, match=r"notes\.txt"):
            CaptureWriter(path)
        with pytest.raises(CaptureFormatError):
            read(path)
        assert path.read_text() == content


def test_two_writers_of_one_file_are_one_too_many(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    with CaptureWriter(path), pytest.raises(CaptureError, match="another process"):
        CaptureWriter(path)
    CaptureWriter(path).close()


@pytest.mark.parametrize("place", ["missing/c.jsonl", ".", "/dev/full"])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, place: str) -> None:
    with pytest.raises(CaptureError) as caught:
        CaptureWriter(tmp_path / place)
    assert str(caught.value).endswith(("No such file or directory", "Is a directory", "No space left on device"))


def test_a_capture_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="No such file"):
        read(tmp_path / "c.jsonl")


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
