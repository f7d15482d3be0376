"""What the users of a plan send, and what each of those requests must be billed as.

The expectations are written from the rules, request by request; the gateway that is tested is not asked.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loadtests.expectations import Expectation, Expectations, ExpectedEvent
from loadtests.gateway_state import (
    AI_MODEL,
    AI_PLUGIN,
    AI_PLUGIN_ID,
    AI_PROVIDER,
    AI_ROUTE,
    CONSUMER_ROUTE,
    KEY_HEADER,
    SERVICE,
    SERVICE_ID,
    TENANT_HEADER,
    TENANT_ROUTE,
    LoadRoute,
    consumer_key,
    consumer_name,
    tenant_name,
)
from loadtests.plan import TRAFFIC_KINDS, LoadPlan, TrafficKind
from loadtests.plugins.loaded_plugin import MeteredRequest
from loadtests.plugins.metering_and_billing import LLM_REQUEST
from loadtests.plugins.registry import LOADED_PLUGINS

_NO_ROUTE = 404
#: Answers of a gateway that turns a request away: who is no Consumer is no subject (FLT-5), no Route has no plugin.
_REJECTED = (401, _NO_ROUTE)
#: What a chat says. The echo upstream counts words as tokens, and answers with the last message.
_CHAT = (("system", "Answer in one sentence."), ("user", "How many requests did we bill?"))
_PROMPT_TOKENS, _COMPLETION_TOKENS = sum(len(text.split()) for _, text in _CHAT), len(_CHAT[-1][1].split())
_CHAT_BODY = json.dumps({"messages": [{"role": role, "content": text} for role, text in _CHAT]}).encode()


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One request as it is sent, but for its number. ``target`` is path with query; ``name`` groups statistics.

    ``expectation`` is a position in the table of expectations.
    """

    method: str
    target: str
    name: str
    expectation: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Traffic:
    """The requests of each kind of traffic, over which its users go round, and the table of what is expected."""

    requests: Mapping[TrafficKind, tuple[PlannedRequest, ...]]
    expectations: Expectations

    @classmethod
    def of(cls, plan: LoadPlan) -> Traffic:
        """Return the traffic of a plan: every subject and every path is used, the same for the same plan."""
        requests: dict[TrafficKind, tuple[PlannedRequest, ...]] = {}
        table: list[Expectation] = []
        for kind in TRAFFIC_KINDS:
            if plan.weights[kind]:
                made = []
                for expectation, request in _MAKERS[kind](plan):
                    made.append(PlannedRequest(expectation=len(table), **request))
                    table.append(expectation)
                random.Random(plan.seed).shuffle(made)
                requests[kind] = tuple(made)
        return cls(requests, Expectations(table))


_Made = Iterator[tuple[Expectation, dict[str, Any]]]


def _consumer(plan: LoadPlan) -> _Made:
    for subject, path in _subjects_and_paths(plan):
        name = consumer_name(subject)
        request = _get(CONSUMER_ROUTE, path, ((KEY_HEADER, consumer_key(plan.seed, subject)),))
        title = f"Consumer {name} {request['target']}"
        yield _expectation(plan, title, (_request_event(plan, name, CONSUMER_ROUTE, request),), _REJECTED), request


def _tenant(plan: LoadPlan) -> _Made:
    for subject, path in _subjects_and_paths(plan):
        name = tenant_name(subject)
        request = _get(TENANT_ROUTE, path, ((TENANT_HEADER, name),))
        title = f"tenant header {name} {request['target']}"
        yield _expectation(plan, title, (_request_event(plan, name, TENANT_ROUTE, request),), (_NO_ROUTE,)), request


def _missing(plan: LoadPlan) -> _Made:
    for path in plan.paths:
        request = _get(TENANT_ROUTE, path, ())
        request["name"] += " (no subject)"
        yield _expectation(plan, f"no subject {request['target']}", (), ()), request


def _ai(plan: LoadPlan) -> _Made:
    for subject in range(plan.subjects):
        name = consumer_name(subject)
        headers = ((KEY_HEADER, consumer_key(plan.seed, subject)), ("Content-Type", "application/json"))
        path = AI_ROUTE.path
        request = {"method": "POST", "target": path, "name": path, "headers": headers, "body": _CHAT_BODY}
        # The two are told apart by kind and tokens, so that one with a wrong field is still known for what it is.
        common = (
            ("data.ai_plugin_name", AI_PLUGIN),
            ("data.ai_plugin_id", AI_PLUGIN_ID),
            ("data.provider", AI_PROVIDER),
            ("data.model", AI_MODEL),
            ("data.route_id", AI_ROUTE.id),
            ("data.service_id", SERVICE_ID),
        )
        prompt = (("data.type", "request"), ("data.tokens", _PROMPT_TOKENS), *common)
        completion = (("data.type", "response"), ("data.tokens", _COMPLETION_TOKENS), *common)
        events = (
            _request_event(plan, name, AI_ROUTE, request),
            *(
                ExpectedEvent(LLM_REQUEST, name, fields, status_field="data.http_status", timed=True, sourced=True)
                for fields in (prompt, completion)
            ),
        )
        yield _expectation(plan, f"chat of Consumer {name}", events, _REJECTED), request


_MAKERS: Mapping[TrafficKind, Callable[[LoadPlan], _Made]] = {
    "consumer": _consumer,
    "tenant": _tenant,
    "missing": _missing,
    "ai": _ai,
}


def _subjects_and_paths(plan: LoadPlan) -> Iterator[tuple[int, str]]:
    """Yield as many pairs as it takes to use each subject and each path."""
    for index in range(max(plan.subjects, len(plan.paths))):
        yield index % plan.subjects, plan.paths[index % len(plan.paths)]


def _get(route: LoadRoute, path: str, headers: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    target = route.path + path
    return {"method": "GET", "target": target, "name": target, "headers": headers}


def _request_event(plan: LoadPlan, subject: str, route: LoadRoute, request: Mapping[str, Any]) -> ExpectedEvent:
    path, _, _ = request["target"].partition("?")
    metered = MeteredRequest(request["method"], path, route.name, route.id, SERVICE, SERVICE_ID)
    return LOADED_PLUGINS[plan.metering].request_event(subject, metered)


def _expectation(
    plan: LoadPlan, name: str, events: tuple[ExpectedEvent, ...], rejected: tuple[int, ...]
) -> Expectation:
    return Expectation(name, events, rejected=rejected, any_answer=LOADED_PLUGINS[plan.metering].any_answer)
