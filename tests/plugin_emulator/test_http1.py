"""HTTP/1.x as bytes: what is accepted, and how a body ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_emulator.gateway.answers import content_type_for
from plugin_emulator.gateway.http1 import (
    ChunkedReader,
    MessageError,
    ResponseError,
    head_end,
    parse_fields,
    parse_request_line,
    parse_response_head,
    request_framing,
)


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\nrest", 27),
        (b"GET / HTTP/1.1\nHost: x\n\nrest", 24),
        (b"GET / HTTP/1.1\nHost: x\n\nGET / HTTP/1.1\r\n\r\n", 24),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", -1),
    ],
)
def test_a_head_ends_with_an_empty_line_of_either_kind(data: bytes, end: int) -> None:
    assert head_end(data) == end


def test_a_request_line_gives_path_and_query_as_sent() -> None:
    line = parse_request_line(b"GET /a%20b?x=1&y=%41 HTTP/1.1")
    assert (line.method, line.path, line.query, line.host, line.minor) == ("GET", "/a%20b", "x=1&y=%41", None, 1)
    assert parse_request_line(b"GET /a? HTTP/1.0").query == ""
    absolute = parse_request_line(b"GET http://h:1/p?q HTTP/1.1")
    assert (absolute.host, absolute.path, absolute.query) == ("h:1", "/p", "q")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"get / HTTP/1.1", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"GET /\x01 HTTP/1.1", 400),
        (b"GET / HTTX/1.1", 400),
        (b"GET /", 400),
        (b"GET / HTTP/2.0", 505),
        (b"CONNECT h:1 HTTP/1.1", 405),
        (b"TRACE / HTTP/1.1", 405),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1", 414),
    ],
)
def test_a_malformed_request_line_is_refused(line: bytes, status: int) -> None:
    with pytest.raises(MessageError) as caught:
        parse_request_line(line)
    assert caught.value.status == status


@pytest.mark.parametrize(
    "block",
    [b"no colon\r\n", b" folded: x\r\n", b"a b: x\r\n", b"x: a\0b\r\n", b"x: a\rb\r\n", b": x\r\n", b"x: y"],
)
def test_a_malformed_header_is_refused(block: bytes) -> None:
    with pytest.raises(MessageError):
        parse_fields(block)


def test_a_header_name_of_odd_characters_is_left_out() -> None:
    assert parse_fields(b"a.b: 1\r\nc_d: 2\r\n").pairs == [("c_d", "2")]


@pytest.mark.parametrize(
    "block",
    [
        b"Host: a\r\nHost: b\r\n",
        b"Content-Length: 1\r\nContent-Length: 1\r\n",
        b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 1x\r\n",
        b"Content-Length: \xb2\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(block: bytes) -> None:
    with pytest.raises(MessageError):
        request_framing(parse_fields(block), 1)


@given(st.binary(max_size=200), st.lists(st.integers(1, 9), max_size=20), st.binary(max_size=5))
def test_a_chunked_body_is_the_same_however_it_is_cut(body: bytes, cuts: list[int], rest: bytes) -> None:
    wire = b""
    left = body
    for size in [*cuts, len(body)]:
        if left:
            wire += b"%x;ext=1\r\n%b\r\n" % (len(left[:size]), left[:size])
            left = left[size:]
    wire += b"0\r\nTrailer: x\r\n\r\n" + rest
    reader = ChunkedReader()
    out = b""
    at = 0
    for size in [*cuts, len(wire)]:
        if not reader.done and at < len(wire):
            out += reader.feed(wire[at : at + size])
            at += size
    assert reader.done
    assert out == body
    assert reader.rest + wire[at:] == rest


@pytest.mark.parametrize("wire", [b"x\r\n", b"3\r\nabcd\r\n", b"-1\r\n", b"\r\n"])
def test_a_malformed_chunk_is_refused(wire: bytes) -> None:
    with pytest.raises(MessageError):
        ChunkedReader().feed(wire)


@pytest.mark.parametrize(
    "head", [b"HELLO\r\n\r\n", b"HTTP/1.1 99 x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
)
def test_an_upstream_that_speaks_no_http_is_found_out(head: bytes) -> None:
    with pytest.raises(ResponseError):
        parse_response_head(head)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/html", "text/html"),
        ("text/plain", "text/plain"),
        ("application/xml", "application/xml"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("text/html;q=0.2, text/plain;q=0.8", "text/plain"),
        ("image/png", "application/json"),
        ("garbage", "application/json"),
    ],
)
def test_an_error_comes_in_the_form_the_client_prefers(accept: str | None, expected: str) -> None:
    assert content_type_for(accept) == f"{expected}; charset=utf-8"
