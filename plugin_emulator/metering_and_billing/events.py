"""The data of a usage event, from one exchange (SPEC EVT-6…13).

Built-in fields are absent when unknown: never null, never "".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..exchange import AiUsage, Exchange

API_REQUEST = "kong.api_request"
LLM_REQUEST = "kong.llm_request"

#: Dev Portal ids: name in the event, name in the exchange's application.
_PORTAL_IDS = (
    ("application_id", "id"),
    ("portal_id", "portal_id"),
    ("api_id", "api_id"),
    ("api_package_id", "api_package_id"),
    ("api_product_version_id", "api_product_version_id"),
)
_UPSTREAM_TRY = re.compile(r"\b[0-9]{3}\b|-")


def last_upstream_status(status: int | str | None) -> int | None:
    """Return the status of the last upstream try, or None when no upstream answered it (SPEC EVT-13).

    ``status`` is an integer or the gateway's text: ``"200"``, ``""``, ``"502, 200"``, ``"-"``.
    """
    if status is None or isinstance(status, int):
        return status
    tries = _UPSTREAM_TRY.findall(status)
    return int(tries[-1]) if tries and tries[-1] != "-" else None


def _entity_fields(exchange: Exchange) -> dict[str, Any]:
    """Return the fields of an api_request event that name entities: the same for every request to one Route."""
    fields: dict[str, Any] = {}
    if exchange.control_plane_id:
        fields["control_plane_id"] = exchange.control_plane_id
    route = exchange.route
    if route is not None:
        if route.id:
            fields["route_id"] = route.id
        if route.name:
            fields["route_name"] = route.name
    service = exchange.service
    if service is not None:
        if service.id:
            fields["service_id"] = service.id
        if service.name:
            fields["service_name"] = service.name
        if service.port is not None:
            fields["service_port"] = service.port
        if service.protocol:
            fields["service_protocol"] = service.protocol
    if exchange.application is not None:
        _add_portal_ids(fields, exchange.application)
    return fields


def api_request_data(exchange: Exchange, user_agent: str | None) -> dict[str, Any]:
    """Return the data of the ``kong.api_request`` event (EVT-6, EVT-7)."""
    request, response = exchange.request, exchange.response
    data = _entity_fields(exchange)
    data["request_method"] = request.method
    data["request_uri"] = request.path
    data["response_http_status"] = response.status
    if request.client_ip:
        data["client_ip"] = request.client_ip
    if request.host:
        data["request_host"] = request.host
    if request.size_bytes is not None:
        data["request_size_bytes"] = request.size_bytes
    if user_agent:
        data["request_user_agent"] = user_agent
    if response.size_bytes is not None:
        data["response_size_bytes"] = response.size_bytes
    upstream_status = exchange.upstream_status
    if upstream_status.__class__ is not int:
        upstream_status = last_upstream_status(upstream_status)
    if upstream_status is not None:
        data["upstream_status"] = upstream_status
    return data


def llm_request_data(exchange: Exchange, ai: AiUsage, kind: str, request_id: str) -> dict[str, Any]:
    """Return the data of one ``kong.llm_request`` event (EVT-9).

    ``kind`` is "request" (prompt tokens, request model) or "response" (completion tokens, response model).
    Without a count from the provider ``tokens`` is absent (EVT-12).
    """
    model, tokens = (
        (ai.request_model, ai.prompt_tokens) if kind == "request" else (ai.response_model, ai.completion_tokens)
    )
    data: dict[str, Any] = {"type": kind, "api_request_id": request_id, "http_status": exchange.response.status}
    route_id = exchange.route.id if exchange.route is not None else None
    service_id = exchange.service.id if exchange.service is not None else None
    known = {
        "ai_plugin_id": ai.plugin_id,
        "ai_plugin_name": ai.plugin_name,
        "model": model,
        "provider": ai.provider,
        "cache_status": ai.cache_status,
        "control_plane_id": exchange.control_plane_id,
        "route_id": route_id,
        "service_id": service_id,
    }
    data.update({name: value for name, value in known.items() if value})
    if tokens is not None:
        data["tokens"] = tokens
    if exchange.application is not None:
        _add_portal_ids(data, exchange.application)
    return data


def add_attributes(data: dict[str, Any], properties: Iterable[tuple[str, str]]) -> None:
    """Add configured attributes; a field that is there already wins (ATR-4)."""
    for name, value in properties:
        if name not in data:
            data[name] = value


def _add_portal_ids(data: dict[str, Any], application: Mapping[str, Any]) -> None:
    for name, key in _PORTAL_IDS:
        value = application.get(key)
        if value and isinstance(value, str):
            data[name] = value
