"""The Admin API: node information, and the declarative configuration of a DB-less gateway."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import orjson

from plugin_emulator.documents import InvalidDocument, Problem
from plugin_emulator.gateway.answers import JSON
from plugin_emulator.gateway.entities import GatewayState
from plugin_emulator.gateway.http_service import Answer, Call

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_CONFIGURATION = "0" * 32


@dataclass(frozen=True, slots=True)
class AdminActions:
    """What the Admin API can ask of its gateway.

    ``load`` reads the text of a declarative configuration and raises InvalidDocument; ``apply`` puts a state into
    effect and raises InvalidDocument when it cannot be served; ``requests`` and ``connections`` count.
    """

    load: Callable[[str], GatewayState]
    apply: Callable[[GatewayState], Awaitable[None]]
    statistics: Callable[[], dict[str, Any]]
    requests: Callable[[], int]
    connections: Callable[[], int]


_Handler = Callable[["AdminApi", Call], "Answer | Awaitable[Answer]"]


class AdminApi:
    """Handles Admin API calls. ``version`` is the gateway's, such as ``3.16.0``."""

    def __init__(self, actions: AdminActions, version: str) -> None:
        self._actions = actions
        self._version = version
        self._node_id = str(uuid.uuid4())
        self._hash = _NO_CONFIGURATION
        self._applying = asyncio.Lock()

    def handle(self, call: Call) -> Answer | Awaitable[Answer]:
        """Answer one call."""
        methods = _ROUTES.get(call.line.path.rstrip("/") or "/")
        if methods is None:
            return self._answer(404, {"message": "Not found"})
        if call.line.method == "OPTIONS":
            return Answer(204, headers=(*self._headers(), ("Allow", ", ".join(sorted((*methods, "OPTIONS"))))))
        handler = methods.get("GET" if call.line.method == "HEAD" else call.line.method)
        if handler is None:
            return self._answer(405, {"message": "Method not allowed"})
        return handler(self, call)

    def _information(self, call: Call) -> Answer:
        return self._answer(
            200,
            {
                "version": self._version,
                "tagline": "Welcome to kong",
                "hostname": socket.gethostname(),
                "node_id": self._node_id,
                "configuration": {"database": "off"},
                "plugins": {"available_on_server": {"key-auth": True, "metering-and-billing": True}},
            },
        )

    def _status(self, call: Call) -> Answer:
        server = {
            "total_requests": self._actions.requests(),
            "connections_active": self._actions.connections(),
        }
        return self._answer(200, {"server": server, "configuration_hash": self._hash})

    def _metering(self, call: Call) -> Answer:
        return self._answer(200, self._actions.statistics())

    async def _configure(self, call: Call) -> Answer:
        try:
            text = _configuration_text(call)
        except ValueError:
            return self._answer(400, {"message": "Cannot parse JSON body"})
        try:
            async with self._applying:
                state = self._actions.load(text)
                await self._actions.apply(state)
        except InvalidDocument as error:
            return self._answer(400, invalid_configuration(error.problems))
        self._hash = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        return self._answer(201, _summary(state))

    def _answer(self, status: int, document: Mapping[str, Any]) -> Answer:
        return Answer(status, orjson.dumps(document), JSON, self._headers())

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return (
            ("Date", formatdate(usegmt=True)),
            ("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Allow-Credentials", "true"),
            ("Server", f"kong/{self._version}"),
        )


#: Each path of the Admin API with its methods; HEAD goes where GET goes.
_ROUTES: dict[str, dict[str, _Handler]] = {
    "/": {"GET": AdminApi._information},
    "/status": {"GET": AdminApi._status},
    "/config": {"POST": AdminApi._configure},
    "/metering": {"GET": AdminApi._metering},
}


def invalid_configuration(problems: tuple[Problem, ...]) -> dict[str, Any]:
    """Return the body of a 400 for a configuration with these problems, in Kong's shape."""
    fields: dict[str | int, Any] = {}
    for problem in problems:
        place = fields
        path = problem.pointer or ("@entity",)
        for part in path[:-1]:
            inner = place.get(part)
            if not isinstance(inner, dict):
                inner = place[part] = {"@entity": inner} if isinstance(inner, str) else {}
            place = inner
        last = path[-1]
        if isinstance(place.get(last), dict):
            place, last = place[last], "@entity"
        place[last] = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
    return {
        "code": 14,
        "message": f"declarative config is invalid: {_lua(fields)}",
        "name": "invalid declarative configuration",
        "fields": _with_lists(fields),
    }


def _lua(value: Any) -> str:
    """Write nested fields the way Kong prints them: ``{services={{port="…"}}}``."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    parts = []
    position = 0
    for key in sorted(value, key=lambda key: (isinstance(key, str), key)):
        if isinstance(key, int) and key == position:
            parts.append(_lua(value[key]))
            position += 1
        elif isinstance(key, int):
            parts.append(f"[{key + 1}]={_lua(value[key])}")
        else:
            name = key if _IDENTIFIER.fullmatch(key) else f'["{key}"]'
            parts.append(f"{name}={_lua(value[key])}")
    return "{" + ",".join(parts) + "}"


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(isinstance(key, int) for key in value):
        return [_with_lists(value.get(index)) for index in range(max(value) + 1)]
    return {str(key): _with_lists(each) for key, each in value.items()}


def _configuration_text(call: Call) -> str:
    """Return the configuration in a call's body. Raises ValueError for a JSON body that is none."""
    content_type = call.headers.fields.first.get("content-type", "").lower()
    text = call.body.decode("utf-8")
    if not content_type.startswith("application/json"):
        return text
    document = orjson.loads(call.body)
    if isinstance(document, dict) and isinstance(document.get("config"), str):
        return str(document["config"])
    return text


def _summary(state: GatewayState) -> dict[str, dict[str, Any]]:
    """Return ids and names of what a state holds; keys and plugin configurations stay out of it."""
    summary: dict[str, dict[str, Any]] = {
        "services": {each.id: {"id": each.id, "name": each.name} for each in state.services},
        "routes": {each.id: {"id": each.id, "name": each.name} for each in state.routes},
        "consumers": {
            each.id: {"id": each.id, "username": each.username, "custom_id": each.custom_id}
            for each in state.consumers
        },
        "keyauth_credentials": {each.id: {"id": each.id} for each in state.credentials},
        "plugins": {each.id: {"id": each.id, "name": each.name, "enabled": each.enabled} for each in state.plugins},
    }
    return {kind: entities for kind, entities in summary.items() if entities}
