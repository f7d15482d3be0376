"""The fast host's HTTP: framing, order, limits, slow clients, and what each leaves in the capture. In one process."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.capture.record import CapturedRequest
from harness.capture.store import CaptureReader, CaptureWriter
from harness.ingest.core import IngestSettings
from harness.ingest.fast_host import serve
from harness.ingest.faults import FaultScript
from harness.ingest.host import PortError
from harness.ingest.http_exchange import Limits
from harness.ingest.lanes import Lanes

_ids = itertools.count(1)
SMALL = Limits(head=2000, body=5000, unread=3000, idle=60, head_time=60, body_time=60, goodbye=60)


def event(**members: Any) -> bytes:
    base = {"specversion": "1.0", "id": f"{next(_ids)}", "source": "k", "type": "kong.api_request", "subject": "a"}
    return json.dumps(base | members).encode()


def post(body: bytes, *headers: str, path: str = "/events", length: int | None = None) -> bytes:
    framing = (
        [] if any(name.startswith("Transfer") for name in headers) else [f"Content-Length: {length or len(body)}"]
    )
    head = [f"POST {path} HTTP/1.1", "Host: a", "Authorization: Bearer x", "Content-Type: application/json"]
    return "\r\n".join([*head, *framing, *headers, "", ""]).encode() + body


class Client:
    """A connection to the host, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))

    async def answer(self) -> tuple[int, bytes, bytes]:
        """Status, head and body of the next answer."""
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            return int(head[9:12]), head, await self.reader.readexactly(int(length[1]) if length else 0)

    async def end(self) -> bytes:
        """What is left before the server closes its side in good order."""
        async with asyncio.timeout(10):
            return await self.reader.read()


class Running:
    """A host with its lanes."""

    def __init__(self, port: int, lanes: Lanes, capture: Path) -> None:
        self.port = port
        self.lanes = lanes
        self.capture = capture
        self.reports: list[str] = []

    async def client(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))

    async def captured(self, number: int) -> list[CapturedRequest]:
        """Wait until so many requests are captured."""
        lane, more = self.lanes.get(""), asyncio.Event()
        assert lane is not None
        lane.listeners.add(more.set)
        async with asyncio.timeout(10):
            while lane.counts.requests < number:
                more.clear()
                await more.wait()
        return list(CaptureReader(self.capture).requests())


@asynccontextmanager
async def running(directory: Path, script: Any = None, limits: Limits = SMALL) -> AsyncIterator[Running]:
    path = directory / f"{next(_ids)}.jsonl"
    with CaptureWriter(path) as capture:
        lanes = Lanes(capture, IngestSettings(), FaultScript.parse(script))
        stop, bound = asyncio.Event(), asyncio.get_running_loop().create_future()
        reports: list[str] = []

        async def ready(port: int) -> None:
            bound.set_result(port)

        serving = asyncio.create_task(serve(lanes, "127.0.0.1", 0, stop, ready, reports.append, limits))
        try:
            host = Running(await bound, lanes, path)
            host.reports = reports
            yield host
        finally:
            stop.set()
            await serving


def run(case: Callable[[], Awaitable[None]]) -> None:
    """Run ``case`` on the event loop that the verb uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(case())  # type: ignore[arg-type]


def test_requests_on_one_connection_are_answered_in_order(tmp_path: Path) -> None:
    """Also those sent ahead while an answer is held back, and though one of them is refused."""

    async def case() -> None:
        async with running(tmp_path, [202, {"status": 200, "delay": 0.1}, 503, 202]) as host:
            client = await host.client()
            client.send(*(post(event()) for _ in range(3)), post(b"{}"), post(event(), "Connection: close"))
            assert [(await client.answer())[0] for _ in range(5)] == [202, 200, 503, 400, 202]
            assert await client.end() == b""
            captured = await host.captured(5)
            assert [(item.n, item.status) for item in captured] == [(1, 202), (2, 200), (3, 503), (4, 400), (5, 202)]
            assert len({item.connection for item in captured}) == 1

    run(case)


def test_what_a_client_sends_ahead_of_a_held_answer_is_bounded(tmp_path: Path) -> None:
    async def case() -> None:
        async with running(tmp_path, [{"hang": True}]) as host:
            client = await host.client()
            client.send(post(event()))
            await host.captured(1)
            client.send(b"x" * 4000)
            assert await client.end() == b""

    run(case)


@pytest.mark.parametrize(("extension", "trailer"), [(b"", b""), (b";a=1", b"Authorization: trailer\r\n")])
def test_a_chunked_body_is_put_together_and_its_trailers_are_left_out(
    tmp_path: Path, extension: bytes, trailer: bytes
) -> None:
    async def case() -> None:
        async with running(tmp_path) as host:
            client, sent = await host.client(), event()
            chunks = b"5\r\n%b\r\n%x%b\r\n%b\r\n0\r\n%b\r\n" % (sent[:5], len(sent) - 5, extension, sent[5:], trailer)
            client.send(post(chunks, "Transfer-Encoding: chunked"), post(event()))
            assert [(await client.answer())[0] for _ in range(2)] == [202, 202]
            first = (await host.captured(2))[0]
            assert first.body_bytes() == sent
            assert [name for name, _ in first.headers].count("Authorization") == 1

    run(case)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 2000), max_size=8))
def test_it_does_not_matter_where_the_network_cuts_the_bytes(tmp_path: Path, cuts: list[int]) -> None:
    async def case() -> None:
        sent = [event(subject="ä"), event(), event(id="")]
        stream = b"".join(
            [
                post(sent[0]),
                b"\r\n" + post(b"%x\r\n%b\r\n0\r\n\r\n" % (len(sent[1]), sent[1]), "Transfer-Encoding: chunked"),
                post(sent[2], "Connection: close"),
            ]
        )
        async with running(tmp_path) as host:
            client = await host.client()
            client.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start, end in itertools.pairwise(sorted({0, *(cut % len(stream) for cut in cuts), len(stream)})):
                client.send(stream[start:end])
                await asyncio.sleep(0)
            assert [(await client.answer())[0] for _ in range(3)] == [202, 202, 400]
            assert [item.body_bytes() for item in await host.captured(3)] == sent

    run(case)


def test_a_client_that_waits_for_100_continue_gets_it_before_it_sends_its_body(tmp_path: Path) -> None:
    async def case() -> None:
        async with running(tmp_path) as host:
            client, sent = await host.client(), event()
            client.send(post(b"", "Expect: 100-continue", length=len(sent)))
            assert (await client.answer())[0] == 100
            client.send(sent)
            assert (await client.answer())[0] == 202

    run(case)


@pytest.mark.parametrize("expect", [True, False])
def test_a_body_that_is_announced_too_large_is_413_before_it_is_sent(tmp_path: Path, expect: bool) -> None:
    async def case() -> None:
        async with running(tmp_path) as host:
            client = await host.client()
            client.send(post(b"", *(["Expect: 100-continue"] if expect else []), length=5001))
            assert (await client.answer())[0] == 413
            assert await client.end() == b""
            (captured,) = await host.captured(1)
            assert (captured.status, captured.fault, captured.verdicts) == (413, "too large", ())

    run(case)


def test_a_chunked_body_that_grows_too_large_is_413(tmp_path: Path) -> None:
    async def case() -> None:
        async with running(tmp_path) as host:
            client = await host.client()
            client.send(post(b"", "Transfer-Encoding: chunked"))
            for _ in range(6):
                client.send(b"3e8\r\n", b"x" * 1000, b"\r\n")
            assert (await client.answer())[0] == 413
            client.send(b"3e8\r\n", b"x" * 1000, b"\r\n")  # still taken, or the answer might get lost
            assert await client.end() == b""
            assert [item.fault for item in await host.captured(1)] == ["too large"]

    run(case)


def test_the_largest_body_is_taken(tmp_path: Path) -> None:
    async def case() -> None:
        async with running(tmp_path) as host:
            client, sent = await host.client(), event()
            client.send(post(sent + b" " * (5000 - len(sent))))
            assert (await client.answer())[0] == 202

    run(case)


@pytest.mark.parametrize("complete", [True, False])
def test_a_head_that_is_too_large_is_431(tmp_path: Path, complete: bool) -> None:
    async def case() -> None:
        async with running(tmp_path) as host:
            client = await host.client()
            if complete:
                client.send(post(event(), f"X: {'x' * 2000}"))
            else:
                client.send(b"POST /events HTTP/1.1\r\nX: ")
                for _ in range(30):  # a piece that begins a head may be mostly something else
                    client.send(b"x" * 100)
                    await asyncio.sleep(0.001)
            assert (await client.answer())[0] == 431
            assert await client.end() == b""

    run(case)


@pytest.mark.parametrize(
    ("change", "sent", "fault"),
    [
        ({"head_time": 0.1}, b"POST /events HTTP/1.1\r\nHost:", None),
        ({"body_time": 0.1}, post(b"{", length=10), "timeout"),
    ],
)
def test_a_request_that_does_not_come_in_time_is_408(
    tmp_path: Path, change: dict[str, float], sent: bytes, fault: str | None
) -> None:
    async def case() -> None:
        async with running(tmp_path, limits=replace(SMALL, **change)) as host:
            client = await host.client()
            client.send(post(event()), sent)
            assert [(await client.answer())[0] for _ in range(2)] == [202, 408]
            assert await client.end() == b""
            captured = await host.captured(2 if fault else 1)
            assert [item.fault for item in captured[1:]] == ([fault] if fault else [])

    run(case)


def test_a_connection_without_requests_is_closed_in_good_order(tmp_path: Path) -> None:
    async def case() -> None:
        async with running(tmp_path, limits=replace(SMALL, idle=0.4)) as host:
            silent, used = await host.client(), await host.client()
            used.send(post(event()))
            assert (await used.answer())[0] == 202
            assert [await silent.end(), await used.end()] == [b"", b""]

    run(case)


def test_a_held_answer_is_no_slow_client(tmp_path: Path) -> None:
    async def case() -> None:
        limits = replace(SMALL, idle=0.4, head_time=0.4, body_time=0.4)
        async with running(tmp_path, [{"delay": 0.8}], limits) as host:
            client = await host.client()
            client.send(post(event()))
            assert (await client.answer())[0] == 202

    run(case)


def test_a_client_that_does_not_read_its_answers_is_let_go(tmp_path: Path) -> None:
    """What it is owed stays bounded meanwhile: the host stops reading from it."""

    async def case() -> None:
        limits = replace(SMALL, body_time=0.2)
        async with running(tmp_path, limits=limits) as host:
            client = await host.client()
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            request = post(b"{}", path="/events?" + "x" * 500)
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                async with asyncio.timeout(20):
                    while True:
                        client.send(request * 100)
                        await client.writer.drain()
                        await asyncio.sleep(0)

    run(case)


@pytest.mark.parametrize(
    "sent",
    [
        b"NONSENSE\r\n\r\n",
        b"POST /events HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /events HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_not_http_is_400_after_the_answers_before_it(tmp_path: Path, sent: bytes) -> None:
    async def case() -> None:
        async with running(tmp_path, [{"delay": 0.05}]) as host:
            client = await host.client()
            client.send(post(event()), sent)
            assert [(await client.answer())[0] for _ in range(2)] == [202, 400]
            assert await client.end() == b""

    run(case)


def test_a_body_whose_chunks_are_none_is_400_and_captured_as_incomplete(tmp_path: Path) -> None:
    async def case() -> None:
        async with running(tmp_path) as host:
            client = await host.client()
            client.send(post(b"5\r\nabcdefgh", "Transfer-Encoding: chunked"))
            assert (await client.answer())[0] == 400
            (captured,) = await host.captured(1)
            assert (captured.status, captured.fault) == (400, "incomplete")

    run(case)


@pytest.mark.parametrize("step", [{"reset": "before"}, {"reset": "after"}])
def test_a_reset_is_a_tcp_reset(tmp_path: Path, step: dict[str, Any]) -> None:
    async def case() -> None:
        async with running(tmp_path, [step]) as host:
            client = await host.client()
            client.send(post(event()))
            with pytest.raises(ConnectionResetError):
                await client.end()

    run(case)


@pytest.mark.parametrize("step", [{"drop_answer": True}, {"hang": 0.01}])
def test_without_a_reset_a_connection_ends_in_good_order(tmp_path: Path, step: dict[str, Any]) -> None:
    async def case() -> None:
        async with running(tmp_path, [step]) as host:
            client = await host.client()
            client.send(post(event()))
            assert await client.end() == b""

    run(case)


def test_a_request_that_wants_to_upgrade_is_answered_and_so_is_the_next(tmp_path: Path) -> None:
    async def case() -> None:
        async with running(tmp_path) as host:
            client = await host.client()
            upgrade = b"GET /events HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
            client.send(upgrade, post(event()))
            assert [(await client.answer())[0] for _ in range(2)] == [405, 202]

    run(case)


def test_an_answer_to_head_and_a_204_have_no_body(tmp_path: Path) -> None:
    async def case() -> None:
        async with running(tmp_path, [202, 204]) as host:
            client = await host.client()
            client.send(b"HEAD /events HTTP/1.1\r\nHost: a\r\n\r\n")
            head = await client.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 405 ") and b"Content-Length: 0" not in head
            client.send(post(event()))
            status, head, _ = await client.answer()
            assert status == 204 and b"Content-Length" not in head

    run(case)


@pytest.mark.parametrize(("wish", "kept"), [("Connection: keep-alive", True), ("X: y", False)])
def test_an_older_client_keeps_its_connection_only_when_it_asks_for_that(
    tmp_path: Path, wish: str, kept: bool
) -> None:
    async def case() -> None:
        async with running(tmp_path) as host:
            client = await host.client()
            client.send(post(event(), wish).replace(b"HTTP/1.1", b"HTTP/1.0"))
            status, head, _ = await client.answer()
            assert (status, b"Connection: keep-alive" in head) == (202, kept)
            if not kept:
                assert await client.end() == b""

    run(case)


def test_a_defect_of_ours_is_one_line_and_a_500(tmp_path: Path) -> None:
    async def case() -> None:
        async with running(tmp_path) as host:

            def fail(*_: object) -> None:
                raise ZeroDivisionError

            host.lanes.receive = fail  # type: ignore[method-assign, assignment]
            client = await host.client()
            client.send(post(event()))
            assert (await client.answer())[0] == 500
            assert host.reports == ["internal error: ZeroDivisionError in the ingest endpoint; answered 500"]

    run(case)


def test_a_port_that_cannot_be_had_is_one_line(tmp_path: Path) -> None:
    async def case() -> None:
        async with running(tmp_path) as host:

            async def ready(port: int) -> None: ...

            with pytest.raises(PortError, match=f"^cannot listen on 127.0.0.1:{host.port}: Address already in use$"):
                await serve(host.lanes, "127.0.0.1", host.port, asyncio.Event(), ready, print)
            with pytest.raises(PortError, match=r"^cannot listen on no\.such\.invalid:0: .*$"):
                await serve(host.lanes, "no.such.invalid", 0, asyncio.Event(), ready, print)

    run(case)
