"""The proxy against what a real gateway did with the same bytes: to its client, and to its upstream."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from dataclasses import dataclass
from typing import Any

import pytest
from gateway_on_a_bench import Bench, Received, Response, bench, load
from recorded_answers import FIXTURES, header_differences, recorded

FILE = FIXTURES / "kong-proxy" / "cases.json"
CASES = recorded(FILE, "cases")
_PASSED_ON = "<the upstream's>"
#: What an upstream may send of what is the gateway's to tell.
_KONG_LIKE = "X-Kong-Upstream-Latency: 999\r\nVia: 1.1 upstreamproxy\r\nX-Kong-Request-Id: mine\r\n"
Headers = list[tuple[str, str]]


@dataclass
class Replayed:
    """What came of a case; addresses and the version are written as the figures have them."""

    answer: Response | None
    received: list[Received]
    #: what the upstream answered last
    passed_on: bytes


@pytest.fixture(scope="module")
def replayed() -> dict[str, Replayed]:
    """Every case, in its order, on one gateway."""
    return asyncio.run(_replay())


async def _replay() -> dict[str, Replayed]:
    bodies = [b""]
    closes = False
    arrived, over = asyncio.Event(), asyncio.Event()

    async def upstream(request: Received, writer: asyncio.StreamWriter) -> bool:
        method, path = request.line.split()[:2]
        if path.endswith("/drop"):
            return False
        if path.endswith("/delay/0.6"):
            arrived.set()
            await over.wait()  # for which the client does not wait
            return False
        bodies.append(b"hello world" if path == "/chunked" else repr(request).encode())
        writer.write(_upstream_answer(method, path, bodies[-1], closes=closes))
        return not closes

    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        async with bench(upstream, services=[], consumers=[], plugins=[]) as b:
            addresses = {
                "<upstream>": f"127.0.0.1:{b.upstream.port}",
                "<refused>": f"127.0.0.1:{refusing.getsockname()[1]}",
            }
            text = json.dumps(json.loads(FILE.read_text(encoding="utf-8"))["configuration"])
            for name, address in addresses.items():
                text = text.replace(name, address)
            await b.gateway.apply(load(json.loads(text)))
            found = {}
            for case in CASES:
                b.upstream.received.clear()
                closes = case.get("upstream_closes", False)
                answer = await _ask(b, case, arrived)
                found[case["case"]] = Replayed(answer, list(b.upstream.received), bodies[-1])
                for received in found[case["case"]].received:
                    received.headers[:] = _as_figures(received.headers, b)
            over.set()
    return found


def _upstream_answer(method: str, path: str, body: bytes, *, closes: bool) -> bytes:
    if path == "/chunked":
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
        )
    special = re.search(r"/status/(\d+)$", path)
    status = f"{special[1]} Status" if special else "200 OK"
    more = ("Connection: close\r\n" if closes else "") + (_KONG_LIKE if path == "/consumerhdr" else "")
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Date: Fri, 20 Nov 2026 22:26:19 GMT\r\nServer: echo/1.0\r\nX-Upstream: yes\r\n{more}\r\n"
    ).encode()
    return head if method == "HEAD" or status.startswith("204") else head + body


async def _ask(b: Bench, case: dict[str, Any], arrived: asyncio.Event) -> Response | None:
    """Send a case's bytes; one whose client goes away waits only until the upstream has the request."""
    async with b.client() as client:
        await client.send(case["request"].replace("<40000 a>", "a" * 40000))
        if case.get("aborts"):
            await asyncio.wait_for(arrived.wait(), 10)
            return None
        return await client.response(bare=case["request"].startswith("HEAD"))


def _as_figures(headers: Headers, b: Bench) -> Headers:
    proxy_port = b.gateway.proxy_url.rpartition(":")[2]
    known = {("X-Forwarded-Port", proxy_port): "<proxy port>", ("Host", f"127.0.0.1:{b.upstream.port}"): "<upstream>"}
    return [(name, known.get((name, value), value)) for name, value in headers]


def differences(figures: list[list[str]], headers: Headers, request_id: str) -> set[str]:
    """Return what differs in headers; the id of the request is the same wherever it stands."""
    known = {"kong/3.16.0": "kong/<version>", request_id: "<id>"} if request_id else {"kong/3.16.0": "kong/<version>"}
    given = []
    for name, value in headers:
        for text, figure in known.items():
            value = value.replace(text, figure)
        given.append((name, value))
    return header_differences([(name, value) for name, value in figures], given)


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_the_client_gets_what_the_real_gateway_gave(replayed: dict[str, Replayed], case: dict[str, Any]) -> None:
    """Status, reason, headers with their order, and body."""
    got = replayed[case["case"]]
    if case.get("aborts"):
        assert got.answer is None
        return
    assert got.answer is not None
    request_id = got.answer.header("X-Kong-Request-Id")
    assert re.fullmatch("[0-9a-f]{32}", request_id or "")
    assert f"{got.answer.status} {got.answer.reason}" == case["status"]
    assert differences(case["headers"], got.answer.headers, request_id or "") == set()
    if case["body"] == _PASSED_ON:
        assert got.answer.body == got.passed_on
    else:
        assert got.answer.body.decode().replace(request_id or "", "<id>") == case["body"]


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_the_upstream_gets_what_the_real_gateway_sent(replayed: dict[str, Replayed], case: dict[str, Any]) -> None:
    """As many tries, each with request line, headers with their order, and body."""
    received = replayed[case["case"]].received
    figures = case["upstream"] * case.get("upstream_tries", 1)
    assert [each.line for each in received] == [figure["line"] for figure in figures]
    for figure, each in zip(figures, received, strict=True):
        request_id = next(value for name, value in each.headers if name == "X-Kong-Request-Id")
        assert differences(figure["headers"], each.headers, request_id) == set()
        assert each.body.decode() == figure["body"]
