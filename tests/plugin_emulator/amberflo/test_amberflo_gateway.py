"""The Amberflo plugin in a gateway, over real sockets (SPEC AMB-1, AMB-5, AMB-8, AMB-10…14)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from amberflo_on_a_bench import KEY, AmberfloBench, amberflo, amberflo_bench
from gateway_on_a_bench import metering

from plugin_emulator.amberflo import batcher

ALICE = "apikey: alice-key"
ONE_BY_ONE = {"batchSize": 1}


def run(test: Callable[[AmberfloBench], Awaitable[None]], *plugins: dict[str, Any], **options: Any) -> None:
    async def main() -> None:
        async with amberflo_bench(*plugins, **options) as bench:
            await test(bench)

    asyncio.run(main())


@pytest.mark.parametrize("name", ["amberflo", "metering"])
def test_amb14_a_request_becomes_a_record_whichever_name_the_plugin_has(name: str) -> None:
    dimensions = {"methodDimension": "method", "routeDimension": "route", "serviceDimension": "service"}

    async def test(b: AmberfloBench) -> None:
        before = int(time.time() * 1000)
        async with b.client() as client:
            assert (await client.get("/anything/x", ALICE)).status == 200
        (record,) = await b.sink.got(1)
        assert before <= record.pop("meterTimeInMillis") <= time.time() * 1000
        assert len(record.pop("uniqueId")) == 36
        assert record == {
            "meterApiName": "kong-api-calls",
            "customerId": "alice",
            "meterValue": 1,
            "dimensions": {"method": "GET", "route": "example-route", "service": "example-service"},
        }

    run(test, amberflo(name, **ONE_BY_ONE, **dimensions))


def test_amb8_a_batch_is_posted_as_an_array_with_the_key() -> None:
    async def test(b: AmberfloBench) -> None:
        async with b.client() as client:
            for _ in range(3):
                await client.get("/anything", ALICE)
        (request,) = await b.sink.requests(1)
        assert request.line == "POST /ingest HTTP/1.1"
        assert request.header("X-API-KEY") == KEY
        assert request.header("Content-Type") == "application/json"
        assert request.header("Authorization") is None
        assert len(json.loads(request.body)) == 3

    run(test, amberflo(batchSize=3, intervalSeconds=600))


def test_amb6_a_partial_batch_leaves_at_the_tick() -> None:
    async def test(b: AmberfloBench) -> None:
        async with b.client() as client:
            await client.get("/anything", ALICE)
            await client.get("/anything", ALICE)
        assert len(await b.sink.got(2)) == 2

    run(test, amberflo(batchSize=100, intervalSeconds=1))


def test_amb5_what_key_auth_rejects_is_not_metered() -> None:
    async def test(b: AmberfloBench) -> None:
        async with b.client() as client:
            assert (await client.get("/anything", "x-consumer-username: mallory")).status == 401
            assert (await client.get("/nowhere", "x-consumer-username: mallory")).status == 404
        assert b.counted()["requests"] == 0
        assert b.log == []

    run(test, amberflo())


def test_the_customer_is_read_as_the_upstream_gets_it_not_as_the_client_sent_it() -> None:
    async def test(b: AmberfloBench) -> None:
        async with b.client() as client:
            await client.get("/anything", ALICE, "x-consumer-username: mallory")
        assert [record["customerId"] for record in await b.sink.got(1)] == ["alice"]

    run(test, amberflo(**ONE_BY_ONE))


def test_amb5_the_status_of_the_answer_does_not_matter() -> None:
    async def test(b: AmberfloBench) -> None:
        async def broken(request: Any, writer: asyncio.StreamWriter) -> bool:
            writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
            return True

        b.upstream.respond = broken
        async with b.client() as client:
            assert (await client.get("/anything", ALICE)).status == 500
        assert len(await b.sink.got(1)) == 1

    run(test, amberflo(**ONE_BY_ONE))


def test_amb5_the_record_is_made_before_the_upstream_answers() -> None:
    async def test(b: AmberfloBench) -> None:
        async def silent(request: Any, writer: asyncio.StreamWriter) -> bool:
            await b.sink.got(1)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            return True

        b.upstream.respond = silent
        async with b.client() as client:
            assert (await client.get("/anything", ALICE)).status == 200

    run(test, amberflo(**ONE_BY_ONE))


def test_amb1_a_request_without_a_customer_is_passed_on_with_one_error_line_and_no_record() -> None:
    async def test(b: AmberfloBench) -> None:
        async with b.client() as client:
            assert (await client.get("/open")).status == 200
        counted = b.counted()
        assert counted["requests"] == 1
        assert counted["events"] == 0
        assert counted["dropped"] == {"AMB-1: no header 'x-consumer-username' in the request": 1}
        (line,) = b.log
        assert "no customer: no header 'x-consumer-username'" in line

    run(test, amberflo())


def test_a_condition_that_is_false_keeps_a_request_out() -> None:
    async def test(b: AmberfloBench) -> None:
        async with b.client() as client:
            await client.get("/anything/no", ALICE)
            await client.get("/anything/yes", ALICE)
        await b.sink.got(1)
        counted = b.counted()
        assert counted["requests"] == 2
        assert counted["dropped"] == {"FLT-6: the condition is false": 1}

    run(test, amberflo(**ONE_BY_ONE) | {"condition": 'http.path == "/anything/yes"'})


def test_a_condition_that_fails_is_answered_with_500_and_not_metered() -> None:
    async def test(b: AmberfloBench) -> None:
        async with b.client() as client:
            assert (await client.get("/anything", ALICE)).status == 500
        assert b.counted()["events"] == 0
        assert b.upstream.received == []

    run(test, amberflo() | {"condition": 'http.headers.absent.startsWith("x")'})


def test_amb9_a_batch_that_fails_is_tried_again_with_the_same_bytes() -> None:
    async def test(b: AmberfloBench) -> None:
        b.sink.answers = [500, 429]
        async with b.client() as client:
            await client.get("/anything", ALICE)
        requests = await b.sink.requests(3)
        assert len({request.body for request in requests}) == 1
        await b.until(lambda: b.counted()["delivered"] == 1)
        assert b.counted()["failed_posts"] == 2

    run(test, amberflo(**ONE_BY_ONE))


def test_amb9_after_the_last_try_the_records_are_lost() -> None:
    async def test(b: AmberfloBench) -> None:
        b.sink.answers = [500] * 5
        async with b.client() as client:
            await client.get("/anything", ALICE)
        await b.until(lambda: b.counted()["lost"] == {"gave_up": 1})
        assert len(b.sink.received) == 5
        assert any("1 record(s) lost" in line for line in b.log)

    run(test, amberflo(**ONE_BY_ONE))


def test_amb8_a_redirection_is_success() -> None:
    async def test(b: AmberfloBench) -> None:
        b.sink.answers = [300]
        async with b.client() as client:
            await client.get("/anything", ALICE)
        await b.until(lambda: b.counted()["delivered"] == 1)

    run(test, amberflo(**ONE_BY_ONE))


def two_keys() -> tuple[dict[str, Any], dict[str, Any]]:
    other = amberflo(apiKey="other-key", meterApiName="other-meter", customerHeader="x-who", **ONE_BY_ONE)
    return amberflo(**ONE_BY_ONE) | {"route": "example-route"}, other | {"route": "open"}


@pytest.mark.parametrize(("shared", "keys"), [(True, [KEY, KEY]), (False, [KEY, "other-key"])])
def test_amb10_the_first_requests_key_is_everybodys(shared: bool, keys: list[str]) -> None:
    async def test(b: AmberfloBench) -> None:
        async with b.client() as client:
            await client.get("/anything", ALICE)
            await b.sink.got(1)
            await client.get("/open", "x-who: beta")
        requests = await b.sink.requests(2)
        assert [request.header("x-api-key") for request in requests] == keys
        assert [record["meterApiName"] for record in b.sink.records] == ["kong-api-calls", "other-meter"]
        assert [record["customerId"] for record in b.sink.records] == ["alice", "beta"]
        await b.until(lambda: [one["delivered"] for one in b.runtime.statistics().values()] == [1, 1])

    run(test, *two_keys(), shared_client=shared)


def test_amb10_each_name_of_the_plugin_has_a_client_of_its_own() -> None:
    first, second = two_keys()

    async def test(b: AmberfloBench) -> None:
        async with b.client() as client:
            await client.get("/anything", ALICE)
            await b.sink.got(1)
            await client.get("/open", "x-who: beta")
        requests = await b.sink.requests(2)
        assert [request.header("x-api-key") for request in requests] == [KEY, "other-key"]
        ids = {record["uniqueId"] for record in b.sink.records}
        assert len(ids) == 2

    run(test, first, second | {"name": "metering"})


def test_amb10_a_request_without_a_customer_does_not_make_the_client() -> None:
    async def test(b: AmberfloBench) -> None:
        async with b.client() as client:
            await client.get("/open")
            await client.get("/anything", ALICE)
        (request,) = await b.sink.requests(1)
        assert request.header("x-api-key") == KEY

    run(test, *two_keys())


def test_amb12_a_full_channel_holds_up_the_clients_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "CONCURRENT_SENDS", 2)
    monkeypatch.setattr(batcher, "CHANNEL_SIZE", 3)
    room = 2 + 1 + 3

    async def test(b: AmberfloBench) -> None:
        b.sink.held.clear()
        async with b.client() as client, b.client() as other:
            for _ in range(room):
                assert (await client.get("/anything", ALICE)).status == 200
            held = asyncio.create_task(client.get("/anything/held", ALICE))
            await b.until(lambda: b.counted()["waiting"] == room - 2 + 1)
            assert (await other.get("/open")).status == 200  # one without a record goes through
            assert not held.done()
            assert len(b.upstream.received) == room + 1
            b.sink.held.set()
            assert (await held).status == 200
        assert len(await b.sink.got(room + 1)) == room + 1

    run(test, amberflo(**ONE_BY_ONE))


def test_amb12_a_client_that_gives_up_while_it_is_held_up_is_metered_and_not_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batcher, "CONCURRENT_SENDS", 1)
    monkeypatch.setattr(batcher, "CHANNEL_SIZE", 1)

    async def test(b: AmberfloBench) -> None:
        b.sink.held.clear()
        async with b.client() as client:
            for _ in range(3):
                await client.get("/anything", ALICE)
            async with b.client() as impatient:
                await impatient.send(f"GET /anything/gone HTTP/1.1\r\nHost: a\r\n{ALICE}\r\n\r\n")
                await b.until(lambda: b.counted()["waiting"] == 3)
            await b.until(lambda: b.connections == 1)
            b.sink.held.set()
            assert len(await b.sink.got(4)) == 4
            assert (await client.get("/anything", ALICE)).status == 200
        assert not any("gone" in request.line for request in b.upstream.received)

    run(test, amberflo(**ONE_BY_ONE))


def test_amb11_a_graceful_stop_delivers_what_waits_for_the_tick() -> None:
    async def test(b: AmberfloBench) -> None:
        async with b.client() as client:
            await client.get("/anything", ALICE)
            await client.get("/anything", ALICE)
        assert await asyncio.wait_for(b.gateway.stop(graceful=True), 20) == 0
        assert len(b.sink.records) == 2

    run(test, amberflo(intervalSeconds=600))


def test_a_fast_stop_loses_what_waits_and_what_is_being_sent() -> None:
    async def test(b: AmberfloBench) -> None:
        b.sink.held.clear()
        async with b.client() as client:
            for _ in range(3):
                await client.get("/anything", ALICE)
        await b.sink.requests(1)
        assert await b.gateway.stop(graceful=False) == 3

    run(test, amberflo(batchSize=2, intervalSeconds=600))


def test_amb13_without_an_endpoint_nothing_is_sent_anywhere_and_the_log_says_why() -> None:
    async def test(b: AmberfloBench) -> None:
        async with b.client() as client:
            assert (await client.get("/anything", ALICE)).status == 200
        await b.until(lambda: b.counted()["failed_posts"] >= 1)
        assert b.sink.received == []
        assert "amberflo.endpoint stands in for https://app.amberflo.io/ingest" in b.log[0]

    run(test, amberflo(**ONE_BY_ONE), endpoint="")


def test_both_plugins_meter_the_same_request() -> None:
    async def test(b: AmberfloBench) -> None:
        async with b.client() as client:
            assert (await client.get("/anything", ALICE)).status == 200
            assert (await client.get("/anything")).status == 401
        await b.sink.got(1)
        await b.until(lambda: sorted(one["requests"] for one in b.runtime.statistics().values()) == [1, 2])

    run(test, amberflo(**ONE_BY_ONE), metering())


def test_a_new_configuration_holds_for_the_next_request_and_the_client_stays() -> None:
    async def test(b: AmberfloBench) -> None:
        async with b.client() as client:
            await client.get("/anything", ALICE)
            await b.gateway.apply(b.state(amberflo(apiKey="new-key", meterApiName="new-meter", **ONE_BY_ONE)))
            await client.get("/anything", ALICE)
        requests = await b.sink.requests(2)
        assert [request.header("x-api-key") for request in requests] == [KEY, KEY]
        assert [record["meterApiName"] for record in b.sink.records] == ["kong-api-calls", "new-meter"]

    run(test, amberflo(**ONE_BY_ONE))
