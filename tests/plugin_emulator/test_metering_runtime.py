"""The plugin's queue on a real clock and real sockets (SPEC DLV, LIF, BAT-10, RET-4)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from plugin_emulator.exchange import Exchange
from plugin_emulator.metering_and_billing.config import PLUGIN_NAME, load_config
from plugin_emulator.metering_plugin import Configured
from plugin_emulator.metering_plugins import metering_runtime
from plugin_emulator.runtime.metering_runtime import MeteringRuntime

TOKEN = "spat_secret_of_the_test"


class Endpoint:
    """An ingest endpoint that keeps what it was sent and answers what it is told, 202 when not told."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.peers: set[Any] = set()
        self.answers: list[int] = []
        self.answer_after: asyncio.Event | None = None
        self.arrived = asyncio.Condition()
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        async with self.arrived:
            self.requests.append((dict(request.headers), body))
            assert request.transport is not None
            self.peers.add(request.transport.get_extra_info("peername"))
            self.arrived.notify_all()
        if self.answer_after is not None:
            await self.answer_after.wait()
        status = self.answers.pop(0) if self.answers else 202
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 307 else None)

    async def received(self, count: int) -> list[list[dict[str, Any]]]:
        """Wait for ``count`` requests and return their events."""
        async with self.arrived:
            await asyncio.wait_for(self.arrived.wait_for(lambda: len(self.requests) >= count), 20)
        bodies = [json.loads(body) for _, body in self.requests]
        return [body if isinstance(body, list) else [body] for body in bodies]


@contextlib.asynccontextmanager
async def endpoint(context: ssl.SSLContext | None = None) -> AsyncIterator[Endpoint]:
    ingest = Endpoint()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", ingest.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    ingest.url = f"{'https' if context else 'http'}://127.0.0.1:{port}/v3/openmeter/events"
    try:
        yield ingest
    finally:
        if ingest.answer_after is not None:
            ingest.answer_after.set()
        await runner.cleanup()


def config(ingest: Endpoint, queue: dict[str, Any] | None = None, **more: Any) -> Configured:
    subject = {"look_up_value_in": "header", "field": "x-tenant-id"}
    given = {"ingest_endpoint": ingest.url, "api_token": TOKEN, "subject": subject, "queue": queue or {}, **more}
    return Configured(PLUGIN_NAME, load_config(given))


def request(tenant: str | None) -> Exchange:
    headers = [] if tenant is None else [("x-tenant-id", tenant)]
    given = {
        "request": {"method": "GET", "path": "/", "headers": headers, "started_at": 1.0},
        "response": {"status": 200, "ended_at": 2.0},
    }
    return msgspec.convert(given, Exchange)


def subjects(batches: list[list[dict[str, Any]]]) -> list[list[str]]:
    return [[event["subject"] for event in batch] for batch in batches]


Scenario = Callable[[Endpoint, MeteringRuntime, list[str]], Awaitable[None]]


def run(scenario: Scenario) -> None:
    """Run a scenario with an ingest endpoint and a runtime; no log line may hold the token."""

    async def main() -> None:
        lines: list[str] = []
        runtime = metering_runtime(log=lines.append)
        async with endpoint() as ingest:
            try:
                await scenario(ingest, runtime, lines)
            finally:
                await runtime.stop(graceful=False)
        assert TOKEN not in "\n".join(lines)

    asyncio.run(main())


def test_dlv1_batch_size_1_posts_one_bare_event_with_the_token() -> None:
    async def scenario(ingest: Endpoint, runtime: MeteringRuntime, lines: list[str]) -> None:
        runtime.configure({"p": config(ingest)})
        runtime.log("p", request("acme"))
        await ingest.received(1)
        headers, body = ingest.requests[0]
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert headers["Content-Type"] == "application/cloudevents+json"
        assert json.loads(body)["subject"] == "acme"

    run(scenario)


def test_bat10_larger_batch_sizes_always_post_an_array() -> None:
    async def scenario(ingest: Endpoint, runtime: MeteringRuntime, lines: list[str]) -> None:
        runtime.configure({"p": config(ingest, {"max_batch_size": 2, "max_coalescing_delay": 0.1})})
        for tenant in ("a", "b", "c"):
            runtime.log("p", request(tenant))
        assert subjects(await ingest.received(2)) == [["a", "b"], ["c"]]
        headers, body = ingest.requests[1]
        assert headers["Content-Type"] == "application/cloudevents-batch+json"
        assert body.startswith(b"[")

    run(scenario)


def test_drp1_a_request_without_a_subject_is_counted_and_never_sent() -> None:
    async def scenario(ingest: Endpoint, runtime: MeteringRuntime, lines: list[str]) -> None:
        runtime.configure({"p": config(ingest)})
        runtime.log("p", request(None))
        runtime.log("p", request("acme"))
        assert subjects(await ingest.received(1)) == [["acme"]]
        assert runtime.statistics()["p"]["dropped"] == {"DRP-1: no header 'x-tenant-id' in the request": 1}

    run(scenario)


def test_ret4_a_retry_has_the_same_bytes_and_redirects_are_failures() -> None:
    async def scenario(ingest: Endpoint, runtime: MeteringRuntime, lines: list[str]) -> None:
        ingest.answers = [503, 307, 202]
        runtime.configure({"p": config(ingest)})
        runtime.log("p", request("acme"))
        runtime.log("p", request("beta"))
        assert subjects(await ingest.received(4)) == [["acme"]] * 3 + [["beta"]]
        assert len({body for _, body in ingest.requests[:3]}) == 1
        assert any("answered 503" in line for line in lines)

    run(scenario)


def test_dlv2_a_try_that_times_out_is_repeated_with_the_same_id() -> None:
    async def scenario(ingest: Endpoint, runtime: MeteringRuntime, lines: list[str]) -> None:
        ingest.answer_after = asyncio.Event()
        runtime.configure({"p": config(ingest, timeout=100)})
        runtime.log("p", request("acme"))
        batches = await ingest.received(2)
        assert batches[0][0]["id"] == batches[1][0]["id"]
        assert any("gave no answer within 100 ms" in line for line in lines)

    run(scenario)


def test_dlv4_connections_are_reused() -> None:
    async def scenario(ingest: Endpoint, runtime: MeteringRuntime, lines: list[str]) -> None:
        runtime.configure({"p": config(ingest)})
        for number in range(5):
            runtime.log("p", request(str(number)))
        await ingest.received(5)
        assert len(ingest.peers) == 1

    run(scenario)


def test_dlv5_logging_does_not_wait_for_a_hung_endpoint() -> None:
    async def scenario(ingest: Endpoint, runtime: MeteringRuntime, lines: list[str]) -> None:
        ingest.answer_after = asyncio.Event()
        runtime.configure({"p": config(ingest)})
        for number in range(100):
            runtime.log("p", request(str(number)))
        await ingest.received(1)
        assert runtime.statistics()["p"]["waiting"] == 99

    run(scenario)


def test_bat7_unlimited_concurrency_posts_while_others_hang() -> None:
    async def scenario(ingest: Endpoint, runtime: MeteringRuntime, lines: list[str]) -> None:
        ingest.answer_after = asyncio.Event()
        runtime.configure({"p": config(ingest, {"concurrency_limit": -1, "max_batch_size": 10})})
        for tenant in ("a", "b", "c"):
            runtime.log("p", request(tenant))
        assert sorted(subjects(await ingest.received(3))) == [["a"], ["b"], ["c"]]
        assert all(body.startswith(b"[") for _, body in ingest.requests)  # BAT-10: the batch size decides

    run(scenario)


def test_lif2_a_graceful_stop_delivers_what_is_queued() -> None:
    async def scenario(ingest: Endpoint, runtime: MeteringRuntime, lines: list[str]) -> None:
        runtime.configure({"p": config(ingest, {"max_batch_size": 9, "max_coalescing_delay": 3600})})
        runtime.log("p", request("a"))
        runtime.log("p", request("b"))
        assert await asyncio.wait_for(runtime.stop(graceful=True), 20) == 0
        assert subjects(await ingest.received(1)) == [["a", "b"]]

    run(scenario)


def test_lif2_a_fast_stop_says_how_many_events_it_lost() -> None:
    async def scenario(ingest: Endpoint, runtime: MeteringRuntime, lines: list[str]) -> None:
        runtime.configure({"p": config(ingest, {"max_batch_size": 9, "max_coalescing_delay": 3600})})
        runtime.log("p", request("a"))
        assert await runtime.stop(graceful=False) == 1
        assert ingest.requests == []

    run(scenario)


def test_lif3_queued_entries_go_out_with_the_newest_token_and_the_first_queue_parameters() -> None:
    async def scenario(ingest: Endpoint, runtime: MeteringRuntime, lines: list[str]) -> None:
        runtime.configure({"p": config(ingest, {"max_batch_size": 2, "max_coalescing_delay": 3600})})
        runtime.log("p", request("a"))
        runtime.configure({"p": config(ingest, {"max_batch_size": 1}, api_token="new")})
        runtime.log("p", request("b"))
        assert subjects(await ingest.received(1)) == [["a", "b"]]
        assert ingest.requests[0][0]["Authorization"] == "Bearer new"
        assert ingest.requests[0][0]["Content-Type"] == "application/cloudevents-batch+json"
        await runtime.idle()
        runtime.log("p", request("c"))
        assert subjects(await ingest.received(2))[1] == ["c"]

    run(scenario)


def test_lif3_a_removed_plugin_still_delivers_what_it_had() -> None:
    async def scenario(ingest: Endpoint, runtime: MeteringRuntime, lines: list[str]) -> None:
        runtime.configure({"p": config(ingest, {"max_batch_size": 9, "max_coalescing_delay": 0.2})})
        runtime.log("p", request("a"))
        runtime.configure({})
        runtime.log("p", request("b"))  # it was under way when the plugin was removed
        assert subjects(await ingest.received(1)) == [["a", "b"]]

    run(scenario)


def test_an_endpoint_that_is_not_there_is_a_failed_try_in_words() -> None:
    async def scenario(ingest: Endpoint, runtime: MeteringRuntime, lines: list[str]) -> None:
        ingest.url = "http://127.0.0.1:1/"
        runtime.configure({"p": config(ingest, {"max_retry_time": -1})})
        runtime.log("p", request("a"))
        await runtime.idle()
        assert runtime.statistics()["p"]["lost"] == {"gave_up": 1}
        assert any("cannot be reached" in line for line in lines)

    run(scenario)


@pytest.mark.parametrize("host", ["ingest..example", "é..x", "a" * 64 + ".example"])
def test_a_host_that_is_no_name_is_a_failed_try_like_any_other(host: str) -> None:
    async def scenario(ingest: Endpoint, runtime: MeteringRuntime, lines: list[str]) -> None:
        ingest.url = f"http://{host}/"
        runtime.configure({"p": config(ingest, {"max_retry_time": -1})})
        runtime.log("p", request("a"))
        await asyncio.wait_for(runtime.idle(), 20)
        assert runtime.statistics()["p"]["lost"] == {"gave_up": 1}

    run(scenario)


def test_lif3_a_shorter_window_holds_as_soon_as_the_queue_is_new() -> None:
    async def scenario(ingest: Endpoint, runtime: MeteringRuntime, lines: list[str]) -> None:
        runtime.configure({"p": config(ingest, {"max_batch_size": 2, "max_coalescing_delay": 600})})
        runtime.log("p", request("a"))
        runtime.log("p", request("b"))
        await runtime.idle()
        runtime.log("p", request("c"))  # arms a timer far ahead
        runtime.log("p", request("d"))
        await runtime.idle()
        runtime.configure({"p": config(ingest, {"max_batch_size": 2, "max_coalescing_delay": 0.1})})
        began = asyncio.get_running_loop().time()
        runtime.log("p", request("e"))
        await ingest.received(3)
        assert asyncio.get_running_loop().time() - began < 0.8  # the old timer would look after a second

    run(scenario)


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder: Path = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run(
        [*command, "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.mark.parametrize(("verify", "arrives"), [(True, False), (False, True)])
def test_dlv3_an_untrusted_certificate_is_refused_unless_ssl_verify_is_off(
    self_signed: ssl.SSLContext, verify: bool, arrives: bool
) -> None:
    async def main() -> None:
        lines: list[str] = []
        runtime = metering_runtime(log=lines.append)
        async with endpoint(self_signed) as ingest:
            runtime.configure({"p": config(ingest, {"max_retry_time": -1}, ssl_verify=verify)})
            runtime.log("p", request("a"))
            await runtime.idle()
            assert bool(ingest.requests) is arrives
            assert arrives or any("certificate that is not trusted" in line for line in lines)
            await runtime.stop(graceful=False)

    asyncio.run(main())
