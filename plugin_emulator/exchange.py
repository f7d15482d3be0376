"""One request with its response, as a plugin's log phase sees it.

The types double as the JSON form read by ``kong-metering events``: msgspec decodes a line straight into an
``Exchange`` and names the place of anything that does not fit. All of them are immutable.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

#: Seconds since the epoch, up to the last that a four-digit year can name.
_Instant = Annotated[float, msgspec.Meta(ge=0, lt=253_402_300_799)]
_Size = Annotated[int, msgspec.Meta(ge=0)]


class Request(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The client's request as it reached the gateway.

    ``query`` is the raw query string without ``?``. ``headers`` keeps order and repetition, names as sent.
    ``host`` is the Host header without its port. ``size_bytes`` counts request line, headers and body.
    ``started_at`` is in seconds since the epoch.
    """

    method: str
    path: str
    headers: list[tuple[str, str]]
    started_at: _Instant
    query: str = ""
    host: str | None = None
    client_ip: str | None = None
    size_bytes: _Size | None = None


class Response(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What the client got: ``status`` as sent by the gateway, ``size_bytes`` with status line and headers."""

    status: int
    ended_at: _Instant
    size_bytes: _Size | None = None


class Route(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The matched Route."""

    id: str | None = None
    name: str | None = None


class Service(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The Service of the matched Route."""

    id: str | None = None
    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class Consumer(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The authenticated Consumer."""

    id: str | None = None
    username: str | None = None
    custom_id: str | None = None


class AiUsage(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What an AI plugin recorded of the request. Token counts are None when the provider reported none."""

    plugin_id: str | None = None
    plugin_name: str | None = None
    provider: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cache_status: str | None = None
    request_id: str | None = None


class AccessRequest(msgspec.Struct, frozen=True, gc=False):
    """One request in the access phase: authenticated, and about to be passed on to its upstream.

    ``request`` has the headers that the upstream will get of it, those of the Consumer among them. ``request_id`` is
    the gateway's, as in X-Kong-Request-Id.
    """

    request: Request
    route: Route | None = None
    service: Service | None = None
    consumer: Consumer | None = None
    request_id: str | None = None


class Exchange(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One finished request.

    ``upstream_status`` is the gateway's own variable: an integer, or its text form, which may be empty or a list
    after upstream retries (``"502, 200"``, SPEC EVT-13). ``application`` is the Dev Portal application with the
    portal's ids beside its own (``portal_id``, ``api_id``, …). ``request_id`` is the gateway's, as in
    X-Kong-Request-Id; it is in no event.
    """

    request: Request
    response: Response
    upstream_status: int | str | None = None
    route: Route | None = None
    service: Service | None = None
    consumer: Consumer | None = None
    application: dict[str, Any] | None = None
    control_plane_id: str | None = None
    ai: AiUsage | None = None
    request_id: str | None = None
