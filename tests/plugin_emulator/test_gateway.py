"""The gateway over real sockets: what client, upstream and metering see."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from gateway_on_a_bench import Received, bench, example_state, load, metering

KEY = "apikey: alice-key"


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


def answering(*parts: bytes, close: bool = False) -> Any:
    async def respond(request: Received, writer: asyncio.StreamWriter) -> bool:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return not close

    return respond


@in_a_loop
async def test_an_authenticated_request_goes_upstream_with_kongs_headers_in_kongs_order() -> None:
    async with bench() as b, b.client() as client:
        response = await client.get("/anything/sub?x=1", KEY, "Accept: */*", "X-Consumer-Username: evil")
        assert (response.status, response.body) == (200, b"ok")
        (request,) = b.upstream.received
        assert request.line == "GET /sub?x=1 HTTP/1.1"
        request_id = response.header("X-Kong-Request-Id")
        port = b.gateway.proxy_url.rpartition(":")[2]
        consumer = request.header("X-Consumer-ID")
        assert request.headers[:12] == [
            ("Via", "1.1 kong/3.16.0"),
            ("Host", f"127.0.0.1:{b.upstream.port}"),
            ("Connection", "keep-alive"),
            ("X-Forwarded-For", "127.0.0.1"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", "gateway.test"),
            ("X-Forwarded-Port", port),
            ("X-Forwarded-Path", "/anything/sub"),
            ("X-Forwarded-Prefix", "/anything"),
            ("X-Real-IP", "127.0.0.1"),
            ("X-Kong-Request-Id", request_id),
            ("apikey", "alice-key"),
        ]
        assert request.headers[12:15] == [
            ("Accept", "*/*"),
            ("X-Consumer-ID", consumer),
            ("X-Consumer-Username", "alice"),
        ]
        assert [name for name, _ in response.headers] == [
            "Content-Length",
            "Connection",
            "Server",
            "X-Kong-Upstream-Latency",
            "X-Kong-Proxy-Latency",
            "Via",
            "X-Kong-Request-Id",
        ]
        assert response.header("Server") == "up/1"


@in_a_loop
async def test_a_request_without_key_gets_kongs_401_and_reaches_no_upstream() -> None:
    async with bench(key_auth={"realm": "r"}) as b, b.client() as client:
        response = await client.get("/anything")
        request_id = response.header("X-Kong-Request-Id")
        assert response.status == 401
        assert (
            response.body.decode()
            == f'{{\n  "message":"No API key found in request",\n  "request_id":"{request_id}"\n}}'
        )
        assert [name for name, _ in response.headers] == [
            "Date",
            "Content-Type",
            "Connection",
            "WWW-Authenticate",
            "Content-Length",
            "X-Kong-Response-Latency",
            "Server",
            "X-Kong-Request-Id",
        ]
        assert response.header("WWW-Authenticate") == 'Key realm="r"'
        assert b.upstream.received == []


@in_a_loop
async def test_on_an_open_route_the_clients_own_consumer_headers_pass() -> None:
    async with bench() as b, b.client() as client:
        await client.get("/open", "X-Consumer-Username: evil")
        assert b.upstream.received[0].header("X-Consumer-Username") == "evil"


@in_a_loop
async def test_hop_by_hop_and_forwarded_headers_are_the_gateways_own() -> None:
    async with bench() as b, b.client() as client:
        await client.get(
            "/open",
            "Via: 1.0 proxy",
            "X-Forwarded-For: 1.2.3.4",
            "X-Forwarded-Proto: https",
            "X-Real-IP: 9.9.9.9",
            "X-Kong-Request-Id: mine",
            "Connection: keep-alive, X-Hop",
            "X-Hop: 1",
            "Keep-Alive: 5",
            "TE: trailers",
            "Upgrade: websocket",
        )
        request = b.upstream.received[0]
        assert request.header("Via") == "1.0 proxy, 1.1 kong/3.16.0"
        assert request.header("X-Forwarded-For") == "1.2.3.4, 127.0.0.1"
        assert request.header("X-Forwarded-Proto") == "http"
        assert request.header("X-Real-IP") == "127.0.0.1"
        assert request.header("X-Kong-Request-Id") != "mine"
        assert request.header("TE") == "trailers"
        assert [request.header(name) for name in ("X-Hop", "Keep-Alive", "Upgrade")] == [None, None, None]


@in_a_loop
async def test_hide_credentials_keeps_the_key_from_upstream_and_from_the_log_phase() -> None:
    async with bench(key_auth={"hide_credentials": True}) as b, b.client() as client:
        await client.get("/anything?apikey=alice-key&b=2")
        await client.get("/anything", KEY)
        exchanges = await b.runtime.exchanges(2)
        assert b.upstream.received[0].line == "GET /?b=2 HTTP/1.1"
        assert b.upstream.received[1].header("apikey") is None
        assert "alice-key" not in repr(exchanges)


@in_a_loop
async def test_preserve_host_and_strip_path_change_what_goes_upstream() -> None:
    async with bench(route={"preserve_host": True, "strip_path": False}) as b, b.client() as client:
        await client.get("/anything/x", KEY)
        request = b.upstream.received[0]
        assert request.line == "GET /anything/x HTTP/1.1"
        assert request.header("Host") == "gateway.test:8000"
        assert request.header("X-Forwarded-Prefix") is None


@in_a_loop
async def test_the_log_phase_sees_the_facts_of_the_exchange() -> None:
    async with bench() as b, b.client() as client:
        sent = (
            f"POST /anything/a%20b?x=1 HTTP/1.1\r\nHost: Gateway.Test:8000\r\n{KEY}\r\nContent-Length: 3\r\n\r\nabc"
        )
        await client.send(sent)
        response = await client.response()
        (exchange,) = await b.runtime.exchanges(1)
        request = exchange.request
        assert (request.method, request.path, request.query) == ("POST", "/anything/a%20b", "x=1")
        assert (request.host, request.client_ip, request.size_bytes) == ("gateway.test", "127.0.0.1", len(sent))
        assert ("apikey", "alice-key") in request.headers
        assert ("X-Consumer-Username", "alice") in request.headers
        head = sum(len(name) + len(value) + 4 for name, value in response.headers) + len("HTTP/1.1 200 OK\r\n\r\n")
        assert (exchange.response.status, exchange.response.size_bytes) == (200, head + 2)
        assert request.started_at <= exchange.response.ended_at
        assert exchange.upstream_status == 200
        assert exchange.route is not None
        assert exchange.route.name == "example-route"
        assert exchange.service is not None
        assert (exchange.service.name, exchange.service.port) == ("example-service", b.upstream.port)
        assert exchange.consumer is not None
        assert exchange.consumer.username == "alice"
        assert exchange.ai is None


@in_a_loop
async def test_a_rejected_request_is_logged_with_its_route_and_without_consumer() -> None:
    async with bench() as b, b.client() as client:
        await client.get("/anything", "apikey: wrong")
        (exchange,) = await b.runtime.exchanges(1)
        assert (exchange.response.status, exchange.upstream_status, exchange.consumer) == (401, None, None)
        assert exchange.route is not None


@pytest.mark.parametrize(
    ("scopes", "target", "key", "expected"),
    [
        ([{}], "/anything", KEY, 0),
        ([{}, {"route": "example-route"}], "/anything", KEY, 1),
        ([{}, {"service": "example-service"}, {"route": "example-route"}], "/anything", KEY, 2),
        ([{}, {"route": "example-route"}, {"consumer": "alice"}], "/anything", KEY, 2),
        ([{}, {"consumer": "alice"}], "/anything", "apikey: wrong", 0),
        ([{"consumer": "alice"}], "/anything", "apikey: wrong", None),
        ([{"route": "example-route"}], "/nope", KEY, None),
        ([{}, {"route": "example-route"}], "/nope", KEY, 0),
        ([{"enabled": False}], "/anything", KEY, None),
    ],
)
@in_a_loop
async def test_one_metering_instance_runs_the_most_specific_one(
    scopes: list[dict[str, Any]], target: str, key: str, expected: int | None
) -> None:
    async with bench(plugins=[metering(**scope, instance_name=f"i{n}") for n, scope in enumerate(scopes)]) as b:
        state = load(
            example_state(
                b.upstream.port, plugins=[metering(**scope, instance_name=f"i{n}") for n, scope in enumerate(scopes)]
            )
        )
        ids = {plugin.instance_name: plugin.id for plugin in state.plugins}
        async with b.client() as client:
            await client.get(target, key)
        await b.gateway.stop(graceful=True)
        assert [instance for instance, _ in b.runtime.logged] == ([] if expected is None else [ids[f"i{expected}"]])


@in_a_loop
async def test_no_route_gives_404_in_the_form_the_client_accepts() -> None:
    async with bench() as b, b.client() as client:
        response = await client.get("/nope")
        assert (response.status, response.json["message"]) == (404, "no Route matched with those values")
        plain = await client.get("/nope", "Accept: text/plain")
        assert plain.body.startswith(b"no Route matched with those values\nrequest_id: ")
        (exchange, _) = await b.runtime.exchanges(2)
        assert (exchange.route, exchange.service, exchange.response.status) == (None, None, 404)


@pytest.mark.parametrize(
    ("status", "message", "headers"),
    [
        (426, "Please use HTTPS protocol", {"Upgrade": "TLS/1.2, HTTP/1.1", "Connection": "Upgrade"}),
        (301, "Please use HTTPS protocol", {"Location": "https://gateway.test/anything?x=1"}),
    ],
)
@in_a_loop
async def test_a_route_for_https_only_sends_the_client_there(
    status: int, message: str, headers: dict[str, str]
) -> None:
    route = {"protocols": ["https"], "https_redirect_status_code": status}
    async with bench(route=route) as b, b.client() as client:
        response = await client.get("/anything?x=1", KEY)
        assert (response.status, response.json["message"]) == (status, message)
        assert {name: response.header(name) for name in headers} == headers


@pytest.mark.parametrize(
    ("sent", "status", "message"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "Bad request"),
        (b"GET /anything HTTP/1.1\r\napikey: alice-key\r\n\r\n", 400, "Bad request"),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, "Bad request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40000, 400, "Request header or cookie too large"),
        (b"GET /" + b"a" * 9000, 414, "URI too long"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "The upstream server responded"),
    ],
)
@in_a_loop
async def test_what_is_no_proper_http_is_refused_and_the_connection_closed(
    sent: bytes, status: int, message: str
) -> None:
    async with bench() as b, b.client() as client:
        await client.send(sent)
        response = await client.response()
        assert response.status == status
        assert response.body.decode().startswith(message)
        assert response.header("Connection") == "close"
        assert await client.closed()


@in_a_loop
async def test_a_refused_connection_is_tried_once_more_than_retries_says_for_get_and_once_for_post() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with bench(service={"url": url}) as b, b.client() as client:
            response = await client.get("/anything", KEY)
            assert response.status == 502
            assert response.body.startswith(
                b"An invalid response was received from the upstream server\nrequest_id: "
            )
            assert response.header("Content-Type") == "text/plain; charset=utf-8"
            assert [name for name, _ in response.headers][4:] == [
                "X-Kong-Upstream-Latency",
                "X-Kong-Proxy-Latency",
                "Via",
                "Server",
                "X-Kong-Request-Id",
            ]
            await client.get("/anything", KEY, method="POST")
            first, second = await b.runtime.exchanges(2)
            assert first.upstream_status == "502, 502, 502, 502, 502, 502"
            assert second.upstream_status == "502"


@in_a_loop
async def test_an_upstream_that_closes_without_an_answer_is_tried_again_then_502() -> None:
    async with bench(answering(close=True), service={"retries": 2}) as b, b.client() as client:
        response = await client.get("/anything", KEY, "Accept: application/json")
        assert response.status == 502
        assert response.json["message"] == "An invalid response was received from the upstream server"
        assert len(b.upstream.received) == 3
        (exchange,) = await b.runtime.exchanges(1)
        assert exchange.upstream_status == "502, 502, 502"


@in_a_loop
async def test_a_try_that_succeeds_after_failures_shows_all_of_them() -> None:
    async def second_time(request: Received, writer: asyncio.StreamWriter) -> bool:
        if request.connection == 0:
            return False
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    async with bench(second_time) as b, b.client() as client:
        assert (await client.get("/anything", KEY)).status == 200
        (exchange,) = await b.runtime.exchanges(1)
        assert (exchange.response.status, exchange.upstream_status) == (200, "502, 200")


@in_a_loop
async def test_a_silent_upstream_gives_504_after_the_read_timeout() -> None:
    async def silent(request: Received, writer: asyncio.StreamWriter) -> bool:
        await asyncio.Event().wait()
        return True

    async with bench(silent, service={"read_timeout": 60, "retries": 1}) as b, b.client() as client:
        started = asyncio.get_running_loop().time()
        response = await client.get("/anything", KEY)
        assert response.status == 504
        assert response.body.startswith(b"The upstream server is timing out\n")
        assert asyncio.get_running_loop().time() - started >= 0.12
        (exchange,) = await b.runtime.exchanges(1)
        assert exchange.upstream_status == "504, 504"


@in_a_loop
async def test_a_client_that_leaves_is_logged_with_499_and_its_upstream_request_dropped() -> None:
    arrived = asyncio.Event()

    async def silent(request: Received, writer: asyncio.StreamWriter) -> bool:
        arrived.set()
        await asyncio.Event().wait()
        return True

    async with bench(silent) as b:
        async with b.client() as client:
            await client.send(f"GET /anything HTTP/1.1\r\nHost: h\r\n{KEY}\r\n\r\n")
            await arrived.wait()
        (exchange,) = await b.runtime.exchanges(1)
        assert (exchange.response.status, exchange.upstream_status, exchange.response.size_bytes) == (499, "-", 0)


@in_a_loop
async def test_a_client_that_leaves_in_the_middle_of_its_body_is_logged_with_400_and_no_upstream() -> None:
    async with bench() as b:
        async with b.client() as client:
            await client.send(f"POST /anything HTTP/1.1\r\nHost: h\r\n{KEY}\r\nContent-Length: 10\r\n\r\nabc")
        (exchange,) = await b.runtime.exchanges(1)
        assert (exchange.response.status, exchange.upstream_status) == (400, None)
        assert b.upstream.received == []


@in_a_loop
async def test_a_large_body_in_many_pieces_arrives_whole() -> None:
    async with bench() as b, b.client() as client:
        body = bytes(range(256)) * 20_000
        await client.send(f"PUT /anything HTTP/1.1\r\nHost: h\r\n{KEY}\r\nContent-Length: {len(body)}\r\n\r\n")
        await client.send(body)
        assert (await client.response()).status == 200
        assert b.upstream.received[0].body == body
        (exchange,) = await b.runtime.exchanges(1)
        assert exchange.request.size_bytes is not None
        assert exchange.request.size_bytes > len(body)


@in_a_loop
async def test_an_unresolvable_upstream_gives_503() -> None:
    async with bench(service={"url": "http://nowhere.invalid"}) as b, b.client() as client:
        response = await client.get("/anything", KEY)
        assert (response.status, response.json["message"]) == (503, "name resolution failed")
        (exchange,) = await b.runtime.exchanges(1)
        assert exchange.upstream_status is None


@pytest.mark.parametrize("reply", [b"HELLO\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
@in_a_loop
async def test_an_upstream_that_speaks_no_http_gives_502_at_once(reply: bytes) -> None:
    async with bench(answering(reply)) as b, b.client() as client:
        assert (await client.get("/anything", KEY)).status == 502
        assert len(b.upstream.received) == 1


@in_a_loop
async def test_a_chunked_request_is_sent_on_with_its_length() -> None:
    async with bench() as b, b.client() as client:
        await client.send(
            f"POST /anything HTTP/1.1\r\nHost: h\r\n{KEY}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        )
        assert (await client.response()).status == 200
        (request,) = b.upstream.received
        assert (request.body, request.header("Content-Length")) == (b"abc", "3")
        assert request.header("Transfer-Encoding") is None


@in_a_loop
async def test_a_chunked_response_stays_chunked_and_loses_nothing() -> None:
    parts = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", b"lo\r\n6\r\n world\r", b"\n0\r\n\r\n")
    async with bench(answering(*parts)) as b, b.client() as client:
        response = await client.get("/anything", KEY)
        assert response.body == b"hello world"
        assert response.header("Transfer-Encoding") == "chunked"
        assert (await client.get("/anything", KEY)).body == b"hello world"
        assert b.upstream.connections == 1


@in_a_loop
async def test_an_http_1_0_client_gets_a_chunked_response_unframed() -> None:
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    async with bench(answering(reply)) as b, b.client() as client:
        await client.send(f"GET /anything HTTP/1.0\r\nHost: h\r\n{KEY}\r\n\r\n")
        response = await client.response()
        assert (response.body, response.header("Connection")) == (b"hello", "close")
        assert response.header("Transfer-Encoding") is None


@in_a_loop
async def test_a_body_that_ends_with_its_connection_is_relayed_whole() -> None:
    async with bench(answering(b"HTTP/1.1 200 OK\r\n\r\n", b"to the end", close=True)) as b, b.client() as client:
        assert (await client.get("/anything", KEY)).body == b"to the end"
        (exchange,) = await b.runtime.exchanges(1)
        assert exchange.upstream_status == 200


@in_a_loop
async def test_a_response_that_breaks_off_closes_the_client_connection() -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    async with bench(answering(reply, close=True)) as b, b.client() as client:
        await client.send(f"GET /anything HTTP/1.1\r\nHost: h\r\n{KEY}\r\n\r\n")
        received = await client.reader.read()
        assert received.endswith(b"half")
        (exchange,) = await b.runtime.exchanges(1)
        assert (exchange.response.status, exchange.response.size_bytes) == (200, len(received))


@in_a_loop
async def test_interim_responses_are_not_passed_on() -> None:
    reply = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with bench(answering(reply)) as b, b.client() as client:
        response = await client.get("/anything", KEY)
        assert (response.status, response.header("Link"), response.body) == (200, None, b"ok")


@in_a_loop
async def test_more_body_than_announced_is_cut_and_the_upstream_connection_not_used_again() -> None:
    async with bench(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokEXTRA")) as b, b.client() as client:
        assert (await client.get("/anything", KEY)).body == b"ok"
        assert (await client.get("/anything", KEY)).body == b"ok"
        assert b.upstream.connections == 2


@in_a_loop
async def test_head_gets_the_headers_alone() -> None:
    async with bench(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 618\r\n\r\n")) as b, b.client() as client:
        response = await client.get("/anything", KEY, method="HEAD")
        assert response.header("Content-Length") == "618"
        refused = await client.get("/anything", method="HEAD")
        assert (refused.status, refused.header("Content-Length")) == (401, "96")
        assert (await client.get("/anything", KEY, method="HEAD")).status == 200


@in_a_loop
async def test_own_headers_that_the_upstream_sends_are_replaced_where_they_stand() -> None:
    reply = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Kong-Upstream-Latency: 999999\r\nVia: 1.1 up\r\nX-A: 1\r\n"
        b"X-Kong-Request-Id: theirs\r\n\r\n"
    )
    async with bench(answering(reply)) as b, b.client() as client:
        response = await client.get("/anything", KEY)
        names = [name for name, _ in response.headers]
        assert names.index("X-Kong-Upstream-Latency") < names.index("Via") < names.index("X-A")
        assert response.header("Via") == "1.1 up, 1.1 kong/3.16.0"
        assert response.header("X-Kong-Upstream-Latency") != "999999"
        assert response.header("X-Kong-Request-Id") == b.upstream.received[0].header("X-Kong-Request-Id")
        assert len(names) == len(set(names))


@in_a_loop
async def test_pipelined_requests_are_answered_in_order_over_one_upstream_connection() -> None:
    async def path(request: Received, writer: asyncio.StreamWriter) -> bool:
        name = request.line.split(" ")[1].encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))
        return True

    async with bench(path) as b, b.client() as client:
        one = "GET /open/{} HTTP/1.1\r\nHost: h\r\n\r\n"
        await client.send("".join(one.format(n) for n in range(5)) + "GET /nope HTTP/1.1\r\nHost: h\r\n\r\n")
        bodies = [(await client.response()).body for _ in range(5)]
        assert bodies == [b"/0", b"/1", b"/2", b"/3", b"/4"]
        assert (await client.response()).status == 404
        assert b.upstream.connections == 1


@in_a_loop
async def test_a_request_that_arrives_byte_by_byte_is_the_same_request() -> None:
    async with bench() as b, b.client() as client:
        sent = f"POST /anything HTTP/1.1\r\nHost: h\r\n{KEY}\r\nContent-Length: 3\r\n\r\nabc"
        for byte in sent:
            await client.send(byte)
            await asyncio.sleep(0)
        assert (await client.response()).status == 200
        assert b.upstream.received[0].body == b"abc"


@in_a_loop
async def test_the_unread_body_of_a_refused_request_does_not_become_the_next_request() -> None:
    async with bench() as b, b.client() as client:
        await client.send("POST /anything HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc")
        assert (await client.response()).status == 401
        await client.send(f"defghijGET /anything HTTP/1.1\r\nHost: h\r\n{KEY}\r\n\r\n")
        assert (await client.response()).status == 200
        assert len(b.upstream.received) == 1


@in_a_loop
async def test_a_client_that_expects_100_continue_gets_it_only_when_let_in() -> None:
    async with bench() as b, b.client() as client:
        head = "POST /anything HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n"
        await client.send(f"{head}{KEY}\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send("abc")
        assert (await client.response()).status == 200
        assert b.upstream.received[0].header("Expect") is None
        await client.send(f"{head}\r\n")
        assert (await client.response()).status == 401


@in_a_loop
async def test_with_key_in_body_the_key_is_looked_for_once_the_body_is_there() -> None:
    async with bench(key_auth={"key_in_body": True}) as b, b.client() as client:
        body = '{"apikey":"alice-key"}'
        head = f"POST /anything HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        await client.send(f"{head}\r\n\r\n")
        await client.send(body)
        assert (await client.response()).status == 200
        assert b.upstream.received[0].header("X-Consumer-Username") == "alice"


@in_a_loop
async def test_a_slow_client_holds_the_upstream_back() -> None:
    total = 64 * 1024 * 1024
    sent = 0

    async def large(request: Received, writer: asyncio.StreamWriter) -> bool:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent < total:
            writer.write(bytes(65536))
            sent += 65536
            await writer.drain()
        return True

    async with bench(large) as b, b.client() as client:
        await client.send(f"GET /anything HTTP/1.1\r\nHost: h\r\n{KEY}\r\n\r\n")
        await client.reader.readuntil(b"\r\n\r\n")
        last = -1
        while sent != last:  # until nothing moves any more
            last = sent
            await asyncio.sleep(0.1)
        assert sent < total
        received = 0
        while received < total:
            received += len(await client.reader.read(1 << 20))
        (exchange,) = await b.runtime.exchanges(1)
        assert exchange.response.size_bytes is not None
        assert exchange.response.size_bytes > total


@in_a_loop
async def test_a_new_configuration_holds_from_the_next_request_on() -> None:
    async with bench() as b, b.client() as client:
        assert (await client.get("/anything", KEY)).status == 200
        await b.gateway.apply(load({"_format_version": "3.0"}))
        assert (await client.get("/anything", KEY)).status == 404
        assert b.runtime.instances == {}


@in_a_loop
async def test_a_graceful_stop_lets_the_request_under_way_finish() -> None:
    release = asyncio.Event()
    arrived = asyncio.Event()

    async def held(request: Received, writer: asyncio.StreamWriter) -> bool:
        arrived.set()
        await release.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return True

    async with bench(held) as b, b.client() as client:
        await client.send(f"GET /anything HTTP/1.1\r\nHost: h\r\n{KEY}\r\n\r\n")
        await arrived.wait()
        stopping = asyncio.create_task(b.gateway.stop(graceful=True))
        await asyncio.sleep(0)
        release.set()
        response = await client.response()
        assert (response.status, response.header("Connection")) == (200, "close")
        await stopping
        assert b.runtime.stopped is True
        assert len(b.runtime.logged) == 1


@in_a_loop
async def test_the_echo_upstream_tells_what_it_was_sent() -> None:
    async with bench(echo=True) as b, b.client() as client:
        await client.send(
            f"POST /anything/x?a=1&b=2&b=3 HTTP/1.1\r\nHost: h\r\n{KEY}\r\n"
            'Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{"z":1}'
        )
        said = (await client.response()).json
        assert (said["method"], said["args"], said["data"], said["json"]) == (
            "POST",
            {"a": "1", "b": ["2", "3"]},
            '{"z":1}',
            {"z": 1},
        )
        assert said["url"] == f"http://127.0.0.1:{b.upstream.port}/x?a=1&b=2&b=3"
        assert said["headers"]["X-Consumer-Username"] == "alice"
        assert said["origin"] == "127.0.0.1"
        assert (await client.get("/anything/status/418", KEY)).status == 418
        assert (await client.get("/anything/status/204", KEY)).body == b""
        assert (await client.get("/anything/delay/0.01", KEY)).status == 200
        assert b.upstream.received == []
