"""AI requests through the gateway: what its ai-proxy makes known to metering (EVT-9, EVT-10, EVT-12)."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest
from gateway_on_a_bench import Bench, Client, Received, Response, bench, load, metering
from hypothesis import given
from hypothesis import strategies as st

from plugin_emulator.documents import InvalidDocument
from plugin_emulator.exchange import AiUsage
from plugin_emulator.gateway.ai_proxy import AiProxyConfig, ai_route, load_ai_proxy
from plugin_emulator.gateway.entities import PluginInstance, Service

CHAT = {"route_type": "llm/v1/chat", "model": {"provider": "openai", "name": "gpt-4o"}}
QUESTION = {
    "model": "gpt-3",
    "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
}


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


def ai_proxy(config: Mapping[str, Any] = CHAT, **scope: Any) -> dict[str, Any]:
    return {"name": "ai-proxy", "id": "2a8ba6f5-1b2c-4d3e-8f90-0123456789ab", "config": config, **scope}


async def ask(client: Client, path: str = "/open", body: Any = QUESTION) -> Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    await client.send(head.encode() + data)
    return await client.response()


async def only_usage(b: Bench) -> AiUsage | None:
    (exchange,) = await b.runtime.exchanges(1)
    return exchange.ai


@in_a_loop
async def test_the_usage_in_the_answer_is_what_metering_gets_to_know() -> None:
    async with bench(echo=True, plugins=[metering(), ai_proxy()]) as b, b.client() as client:
        response = await ask(client)
        assert response.json["choices"][0]["message"] == {"role": "assistant", "content": "hi"}
        assert await only_usage(b) == AiUsage(
            plugin_id="2a8ba6f5-1b2c-4d3e-8f90-0123456789ab",
            plugin_name="ai-proxy",
            provider="openai",
            request_model="gpt-4o",
            response_model="gpt-4o",
            prompt_tokens=3,
            completion_tokens=1,
        )


@in_a_loop
async def test_evt_10_a_route_without_the_plugin_makes_no_ai_request() -> None:
    plugins = [metering(), ai_proxy(route={"name": "example-route"})]
    async with bench(echo=True, plugins=plugins) as b, b.client() as client:
        await ask(client)
        assert await only_usage(b) is None


@in_a_loop
async def test_the_request_goes_to_the_provider_with_the_configured_model_and_the_answers_model_counts() -> None:
    async def answer(request: Received, writer: asyncio.StreamWriter) -> bool:
        reply = json.dumps({"model": "gpt-4o-2024", "usage": {"prompt_tokens": 7, "completion_tokens": 9}}).encode()
        half = len(reply) // 2  # in two parts, as a network may deliver it
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(reply), reply[:half]))
        await writer.drain()
        writer.write(reply[half:])
        return True

    async with bench(answer) as b, b.client() as client:
        url = f"http://127.0.0.1:{b.upstream.port}/v9/chat"
        config = {**CHAT, "model": {**CHAT["model"], "options": {"upstream_url": url}}}  # type: ignore[dict-item]
        state = {
            "_format_version": "3.0",
            "services": [{"name": "ai", "url": "http://nowhere.test", "routes": [{"name": "r", "paths": ["/ai"]}]}],
            "plugins": [metering(), ai_proxy(config)],
        }
        await b.gateway.apply(load(state))
        await ask(client, "/ai/anything?x=1")
        (received,) = b.upstream.received
        assert received.line == "POST /v9/chat?x=1 HTTP/1.1"
        assert json.loads(received.body) == {**QUESTION, "model": "gpt-4o"}
        usage = await only_usage(b)
        assert usage is not None
        assert (usage.request_model, usage.response_model) == ("gpt-4o", "gpt-4o-2024")
        assert (usage.prompt_tokens, usage.completion_tokens) == (7, 9)


@in_a_loop
async def test_a_refused_request_costs_no_tokens() -> None:
    async with bench(echo=True, plugins=[metering(), ai_proxy()]) as b, b.client() as client:
        assert (await ask(client, body={"messages": []})).status == 400
        assert await only_usage(b) is None


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({}, "/route_type"),
        ({**CHAT, "route_type": "audio/v1/speech"}, "/route_type"),
        ({**CHAT, "model": {"provider": "cohere"}}, "/model/provider"),
        ({**CHAT, "llm_format": "bedrock"}, "/llm_format"),
    ],
)
def test_what_is_not_emulated_is_refused(config: Any, pointer: str) -> None:
    with pytest.raises(InvalidDocument) as refusal:
        load_ai_proxy(config)
    assert pointer in ["/" + "/".join(map(str, problem.pointer)) for problem in refusal.value.problems]


def test_a_condition_on_the_plugin_is_refused_rather_than_ignored() -> None:
    state = {"_format_version": "3.0", "plugins": [ai_proxy(condition='http.path == "/ai"')]}
    with pytest.raises(InvalidDocument, match="a condition on ai-proxy is not emulated"):
        load(state)


def test_statistics_that_are_off_meter_nothing() -> None:
    config = load_ai_proxy({**CHAT, "logging": {"log_statistics": False}})
    route = ai_route(PluginInstance("p", "ai-proxy", config), Service("s", "h"))
    assert route is not None
    assert route.usage(b"{}", 200, b'{"usage": {"prompt_tokens": 1}}') is None


@given(st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps).map(str.encode))
def test_evt_12_an_answer_that_tells_nothing_leaves_the_tokens_open(answer: bytes) -> None:
    route = ai_route(
        PluginInstance("p", "ai-proxy", AiProxyConfig("openai", None, "http://h/")),
        Service("s", "h"),
    )
    assert route is not None
    usage = route.usage(b'{"model": "m"}', 200, answer)
    assert usage == AiUsage("p", "ai-proxy", "openai", "m", "m", None, None)
