"""What a gateway tells of the life of each request."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import pytest
from gateway_on_a_bench import Client, example_state, load
from test_metering_runtime import TOKEN, Endpoint, endpoint

from plugin_emulator.delivery.event_journal import EventJournal
from plugin_emulator.gateway.request_journal import RequestJournal
from plugin_emulator.gateway.server import Gateway
from plugin_emulator.journal import Configured, Ended, Fact, Lost, Metered, NotBuilt, Sending, Started, Stopped, Tried
from plugin_emulator.metering_and_billing.pipeline import Pipeline
from plugin_emulator.metering_plugins import metering_runtime

F = TypeVar("F", bound=Fact)


@dataclass
class Journal:
    facts: list[Fact] = field(default_factory=list)
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    def observe(self, fact: Fact) -> None:
        self.facts.append(fact)
        self._told.set()

    def of(self, kind: type[F]) -> list[F]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    async def until(self, kind: type[F], count: int = 1) -> list[F]:
        async with asyncio.timeout(10):
            while len(self.of(kind)) < count:
                self._told.clear()
                await self._told.wait()
        return self.of(kind)


def metering(ingest: Endpoint, queue: dict[str, Any] | None = None, **entity: Any) -> dict[str, Any]:
    given = {"ingest_endpoint": ingest.url, "api_token": TOKEN, "queue": queue or {}, **entity.pop("config", {})}
    return {"name": "metering-and-billing", "config": given, **entity}


@contextlib.asynccontextmanager
async def told(
    plugins: list[dict[str, Any]], options: Any = None, *, observed: bool = True
) -> AsyncIterator[tuple[Journal, Client, Gateway]]:
    journal = Journal()
    observe = journal.observe if observed else None
    gateway = Gateway(
        load(example_state(9, plugins=plugins)),
        metering_runtime(options=options, observe=observe),
        echo_upstream=True,
        environ={},
        observe=observe,
    )
    await gateway.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.proxy_url.rpartition(":")[2]))
    try:
        yield journal, Client(reader, writer), gateway
    finally:
        writer.close()
        await gateway.stop(graceful=False)


def run(scenario: Callable[[Endpoint], Any]) -> None:
    async def main() -> None:
        async with endpoint() as ingest:
            await scenario(ingest)

    asyncio.run(main())


def test_a_billed_request_is_told_from_its_route_to_the_answer_that_took_its_event() -> None:
    async def scenario(ingest: Endpoint) -> None:
        ingest.answers = [503, 202]
        attribute = {"source": "header", "look_up_value_in": "X-Project", "event_property_name": "project"}
        missing = {"source": "query", "look_up_value_in": "team", "event_property_name": "team"}
        async with told([metering(ingest, config={"attributes": [attribute, missing]})]) as (journal, client, _):
            answer = await client.get("/anything?apikey=alice-key", "x-project: apollo")
            tries = await journal.until(Tried, 2)
        kinds = [type(fact) for fact in journal.facts]
        assert kinds == [Started, Configured, Ended, Metered, Sending, Tried, Tried, Stopped]
        (ended,), (metered,), (batch,) = journal.of(Ended), journal.of(Metered), journal.of(Sending)
        assert ended.request == metered.request == answer.header("x-kong-request-id")
        assert (ended.method, ended.path, ended.status, ended.upstream_status) == ("GET", "/anything", 200, 200)
        assert [named and named.name for named in (ended.route, ended.service, ended.consumer)] == [
            "example-route",
            "example-service",
            "alice",
        ]
        assert ended.instances == (metered.instance,)
        assert ended.passed_over == ()
        assert (metered.subject.look_up_value_in, metered.subject.value) == ("consumer", "alice")
        assert {each.name: each.value for each in metered.attributes} == {"project": "apollo", "team": None}
        ((event, kind),) = metered.events
        assert kind == "kong.api_request"
        assert json.loads(ingest.requests[0][1])["id"] == event
        assert (batch.batch, batch.events) == (1, (event,))
        assert [(each.number, each.status, each.ok) for each in tries] == [(1, 503, False), (2, 202, True)]

    run(scenario)


def test_nothing_that_is_told_holds_a_token_an_api_key_or_another_header() -> None:
    async def scenario(ingest: Endpoint) -> None:
        ingest.url = ingest.url.replace("http://", "http://user:url-secret@") + "?key=query-secret"
        condition = 'http.headers.apikey == "alice-key"'
        async with told([metering(ingest, condition=condition)]) as (journal, client, _):
            await client.get("/anything?q=1", "apikey: alice-key", "Authorization: Bearer header-secret")
            await journal.until(Tried)
        text = msgspec.json.encode(journal.facts).decode()
        (configured,) = journal.of(Configured)
        assert configured.instances[0].condition == 'http.headers.apikey == "[redacted]"'
        assert configured.instances[0].settings["ingest_endpoint"].startswith("http://127.0.0.1:")
        for secret in (TOKEN, "alice-key", "header-secret", "url-secret", "query-secret"):
            assert secret not in text

    run(scenario)


def test_of_an_overflow_the_events_that_had_to_go_are_named() -> None:
    async def scenario(ingest: Endpoint) -> None:
        ingest.answer_after = asyncio.Event()
        async with told([metering(ingest, {"max_entries": 1})]) as (journal, client, _):
            await client.get("/open/1")  # under way: no room is taken
            await client.get("/anything", "apikey: alice-key")
            await journal.until(Sending)
            for _ in range(2):
                await client.get("/anything", "apikey: alice-key")
            (lost,) = await journal.until(Lost)
            second = journal.of(Metered)[2]
            assert (lost.rule, lost.batch, lost.events) == ("CAP-1", None, (second.events[0][0],))

    run(scenario)


def test_a_batch_that_is_given_up_is_told_as_lost_with_its_number_and_events() -> None:
    async def scenario(ingest: Endpoint) -> None:
        ingest.answers = [500]
        async with told([metering(ingest, {"max_retry_time": -1})]) as (journal, client, _):
            await client.get("/anything", "apikey: alice-key")
            (lost,) = await journal.until(Lost)
        assert (lost.rule, lost.batch, lost.events) == ("RET-2", 1, journal.of(Sending)[0].events)

    run(scenario)


def test_entries_that_are_sent_one_by_one_are_told_as_lost_when_the_gateway_stops_at_once() -> None:
    async def scenario(ingest: Endpoint) -> None:
        ingest.answer_after = asyncio.Event()
        async with told([metering(ingest, {"concurrency_limit": -1})]) as (journal, client, gateway):
            await client.get("/anything", "apikey: alice-key")
            await journal.until(Sending)
            assert await gateway.stop(graceful=False) == 1
        (lost,) = journal.of(Lost)
        assert (lost.rule, lost.batch) == ("LIF-2", 1)
        assert journal.of(Stopped)[0].lost == 1

    run(scenario)


def test_a_request_for_which_no_instance_runs_is_told_with_the_nearest_one() -> None:
    async def scenario(ingest: Endpoint) -> None:
        async with told([metering(ingest, route="open", instance_name="billing")]) as (journal, client, _):
            await client.get("/anything", "apikey: alice-key")
            await client.get("/nowhere")
            first, second = await journal.until(Ended, 2)
        (configured,) = journal.of(Configured)
        (why,) = first.passed_over
        assert (why.rule, why.instance) == ("FLT-1", configured.instances[0].id)
        assert "billing is on Route 'open', the request matched Route 'example-route'" in why.reason
        assert second.passed_over[0].rule == "FLT-7"
        assert journal.of(Metered) == []

    run(scenario)


def test_a_false_condition_is_told_of_the_instance_it_kept_out() -> None:
    async def scenario(ingest: Endpoint) -> None:
        async with told([metering(ingest, condition='http.method == "POST"')]) as (journal, client, _):
            await client.get("/anything", "apikey: alice-key")
            (ended,) = await journal.until(Ended)
        assert ended.instances == ()
        assert [(why.rule, why.plugin) for why in ended.passed_over] == [("FLT-6", "metering-and-billing")]

    run(scenario)


def test_amberflos_records_are_told_from_the_access_phase_on() -> None:
    async def scenario(ingest: Endpoint) -> None:
        config = {
            "apiKey": TOKEN,
            "meterApiName": "calls",
            "customerHeader": "x-customer",
            "intervalSeconds": 1,
            "batchSize": 1,
            "dimensionHeaders": {"project": "x-project"},
        }
        options = {"amberflo": {"endpoint": ingest.url}}
        async with told([{"name": "amberflo", "config": config}], options) as (journal, client, _):
            await client.get("/open", "x-customer: acme", "x-project: apollo")
            await journal.until(Tried)
            await client.get("/open", "x-custmer: acme")
            await journal.until(Ended, 2)
        billed, dropped = journal.of(Metered)
        assert (billed.subject.value, billed.events[0][1]) == ("acme", "calls")
        assert [each.value for each in billed.attributes] == ["apollo"]
        assert journal.of(Sending)[0].events == (billed.events[0][0],)
        assert (dropped.rule, dropped.subject.near, dropped.events) == ("AMB-1", "x-custmer", ())
        assert TOKEN not in msgspec.json.encode(journal.facts).decode()

    run(scenario)


def test_without_an_observer_nothing_is_prepared_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[str] = []
    for kind in (RequestJournal, EventJournal):
        monkeypatch.setattr(kind, "__init__", lambda self, *_: prepared.append(type(self).__name__))
    monkeypatch.setattr(Pipeline, "readings", lambda *_: prepared.append("readings"))

    async def scenario(ingest: Endpoint) -> None:
        async with told([metering(ingest)], observed=False) as (journal, client, _):
            await client.get("/anything", "apikey: alice-key")
            assert len(await ingest.received(1)) == 1
        assert (journal.facts, prepared) == ([], [])

    run(scenario)


def test_a_defect_of_a_plugin_is_told_and_the_request_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(Pipeline, "_make", broken)

    async def scenario(ingest: Endpoint) -> None:
        async with told([metering(ingest)]) as (journal, client, _):
            answer = await client.get("/anything", "apikey: alice-key")
            (not_built,) = await journal.until(NotBuilt)
        assert answer.status == 200
        assert not_built.request == answer.header("x-kong-request-id")
        assert not_built.problem == "ValueError"

    run(scenario)


def test_a_configuration_that_takes_effect_later_is_told_too() -> None:
    async def scenario(ingest: Endpoint) -> None:
        async with told([metering(ingest)]) as (journal, client, gateway):
            await gateway.apply(load(example_state(9, plugins=[metering(ingest, enabled=False)])))
            await client.get("/anything", "apikey: alice-key")
            (ended,) = await journal.until(Ended)
        assert [each.instances[0].enabled for each in journal.of(Configured)] == [True, False]
        assert ended.passed_over[0].rule == "FLT-3"

    run(scenario)
