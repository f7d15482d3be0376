"""What a request has to become, told from the rules alone: nothing here knows the emulator.

Configurations and exchanges are the plain data of ``config`` and of ``kong-metering events``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

API = "kong.api_request"
LLM = "kong.llm_request"


@dataclass(frozen=True)
class Expected:
    """``drops``: the rules by which there is no event, any of which may be given as the reason. Else the events."""

    drops: frozenset[str] = frozenset()
    events: Sequence[tuple[str, str, dict[str, Any]]] = field(default_factory=list)  # type, subject, data


def expected(config: Mapping[str, Any], exchange: Mapping[str, Any]) -> Expected:
    """Return what one finished request becomes under one plugin instance of gateway 3.16."""
    drops = set()
    ranges = config.get("allow_status_codes")
    status = exchange["response"]["status"]
    if ranges is not None and not any(in_range(status, text) for text in ranges):
        drops.add("FLT-4")
    ai = exchange.get("ai")
    api_metered = config.get("meter_api_requests", True)
    ai_metered = config.get("meter_ai_token_usage", True) and ai is not None
    if not api_metered and not ai_metered:
        drops |= {"EVT-8", "EVT-10"}
    subject = subject_of(config.get("subject", {}), exchange)
    if subject is None:
        drops.add("DRP-1")
    elif subject == "":
        drops |= {"DRP-1", "DRP-2"}
    if drops:
        return Expected(frozenset(drops))
    assert subject
    events = []
    if api_metered:
        events.append((API, subject, with_attributes(config, exchange, api_data(exchange))))
    if ai_metered:
        kinds = ("request", "response")
        events += [(LLM, subject, with_attributes(config, exchange, llm_data(exchange, kind))) for kind in kinds]
    return Expected(events=events)


def in_range(status: int, text: str) -> bool:
    """FLT-4: both ends belong to a range."""
    first, _, last = text.partition("-")
    return int(first) <= status <= int(last or first)


def header(exchange: Mapping[str, Any], name: str) -> str | None:
    """SUB-2, SUB-6, SUB-7: the first one of that name in any case, without blanks around it."""
    for given, value in exchange["request"]["headers"]:
        if given.casefold() == name.casefold():
            return str(value).strip(" \t")
    return None


def parameter(exchange: Mapping[str, Any], name: str) -> str | None:
    """SUB-3, SUB-6: the first one of that name, decoded."""
    for given, value in parse_qsl(exchange["request"].get("query", ""), keep_blank_values=True):
        if given == name:
            return value
    return None


def subject_of(source: Mapping[str, Any], exchange: Mapping[str, Any]) -> str | None:
    """SUB-1 to SUB-5; None when there is none (DRP-1)."""
    kind, name = source.get("look_up_value_in", "consumer"), source.get("field")
    if kind == "header":
        return header(exchange, name) if name else None
    if kind == "query":
        return parameter(exchange, name) if name else None
    entity = exchange.get("consumer" if kind == "consumer" else "application") or {}
    value = entity.get(name or ("username" if kind == "consumer" else "id"))
    return value if isinstance(value, str) else None


def with_attributes(config: Mapping[str, Any], exchange: Mapping[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """ATR-1 to ATR-4: what is there is copied, what is not is left out, what is built in stays."""
    for attribute in config.get("attributes", ()):
        find = header if attribute["source"] == "header" else parameter
        value = find(exchange, attribute["look_up_value_in"])
        if value and attribute["event_property_name"] not in data:
            data[attribute["event_property_name"]] = value
    return data


def present(**values: Any) -> dict[str, Any]:
    """EVT-6: what is not known is absent, never null and never empty."""
    return {name: value for name, value in values.items() if value not in (None, "")}


def api_data(exchange: Mapping[str, Any]) -> dict[str, Any]:
    """EVT-6, EVT-7: the gateway's facts."""
    request, response = exchange["request"], exchange["response"]
    route, service = exchange.get("route") or {}, exchange.get("service") or {}
    return present(
        client_ip=request.get("client_ip"),
        request_host=request.get("host"),
        request_method=request["method"],
        request_uri=request["path"],
        request_size_bytes=request.get("size_bytes"),
        request_user_agent=header(exchange, "user-agent"),
        response_size_bytes=response.get("size_bytes"),
        response_http_status=response["status"],
        route_id=route.get("id"),
        route_name=route.get("name"),
        service_id=service.get("id"),
        service_name=service.get("name"),
        service_port=service.get("port"),
        service_protocol=service.get("protocol"),
        upstream_status=exchange.get("upstream_status"),
        application_id=(exchange.get("application") or {}).get("id"),
        portal_id=(exchange.get("application") or {}).get("portal_id"),
    )


def llm_data(exchange: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """EVT-9: prompt tokens on the request event, completion tokens on the response event."""
    ai = exchange["ai"]
    asked = kind == "request"
    return present(
        type=kind,
        tokens=ai.get("prompt_tokens" if asked else "completion_tokens"),
        model=ai.get("request_model" if asked else "response_model"),
        provider=ai.get("provider"),
        http_status=exchange["response"]["status"],
        route_id=(exchange.get("route") or {}).get("id"),
        service_id=(exchange.get("service") or {}).get("id"),
        application_id=(exchange.get("application") or {}).get("id"),
        portal_id=(exchange.get("application") or {}).get("portal_id"),
    )


def check_events(what: Expected, events: Sequence[Mapping[str, Any]], began: float, ended: float) -> None:
    """Assert that a request's events are the expected ones, and that their time is the request's own (EVT-4)."""
    assert [(event["type"], event["subject"]) for event in events] == [one[:2] for one in what.events]
    requests = set()
    for event, (_, _, data) in zip(events, what.events, strict=True):
        given = dict(event["data"])
        assert given.pop("subject_type", None), "SUB-8: 3.16 says what the subject is"
        if event["type"] == LLM:
            requests.add(given.pop("api_request_id", None))
        assert given == data
        # 1 µs: the time is written in microseconds, which no float of seconds has exactly.
        at = datetime.fromisoformat(event["time"]).timestamp()
        assert began - 1e-6 <= at <= ended + 1e-6, "EVT-4: the time is not the request's"
    assert len(requests) <= 1 and None not in requests, "EVT-9: the request they share"
