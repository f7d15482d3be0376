"""The Admin API: node information, entities, schemas, and the declarative configuration."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from time import perf_counter, time
from typing import Any

import orjson

from plugin_emulator import log_line
from plugin_emulator.documents import Document, InvalidDocument, parse_document
from plugin_emulator.gateway.admin_errors import (
    AdminError,
    invalid_configuration,
    method_not_allowed,
    not_found,
    schema_violation,
    unreadable_json,
)
from plugin_emulator.gateway.answers import JSON
from plugin_emulator.gateway.call_arguments import body_fields, query_fields, typed_fields
from plugin_emulator.gateway.configuration_text import configuration_in, configuration_text
from plugin_emulator.gateway.entities import GatewayState
from plugin_emulator.gateway.entity_endpoints import EntityEndpoints, Place, place_of
from plugin_emulator.gateway.entity_fields import sound_fields
from plugin_emulator.gateway.entity_forms import EMULATED_PLUGINS, entity_schema
from plugin_emulator.gateway.entity_store import EntityStore
from plugin_emulator.gateway.flattened_errors import flattened_configuration_errors
from plugin_emulator.gateway.http_service import Answer, Call
from plugin_emulator.gateway.kong_messages import configuration_in_kongs_words
from plugin_emulator.gateway.node_status import Traffic, node_status
from plugin_emulator.gateway.plugin_schemas import plugin_schema
from plugin_emulator.gateway.store_state import StateBuilder

_NO_CONFIGURATION = "0" * 32
_CROSS_ORIGIN = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Credentials", "true"))
_TRUE = frozenset({"1", "true", "on", "yes"})
#: Kinds a tool asks for when it looks at everything: there are none, and none can be made.
_EMPTY = frozenset({"upstreams", "certificates", "ca_certificates", "snis", "vaults", "keys", "key-sets"})


@dataclass(frozen=True, slots=True)
class AdminActions:
    """What the Admin API can ask of its gateway.

    ``load`` reads a declarative configuration and raises InvalidDocument; ``apply`` puts a state into effect and
    raises InvalidDocument when it cannot be served; ``traffic`` counts the proxy's requests and all connections;
    ``log`` is given lines for an operator.
    """

    load: Callable[[Document], GatewayState]
    apply: Callable[[GatewayState], Awaitable[None]]
    statistics: Callable[[], dict[str, Any]]
    traffic: Callable[[], Traffic]
    log: Callable[[str], None]


_Handler = Callable[["AdminApi", Call], "Answer | Awaitable[Answer]"]


class AdminApi:
    """Handles Admin API calls of a gateway of version ``gateway``, such as ``3.16``, that begins with ``state``.

    Without a ``database`` entities are only read, as in a DB-less Kong; ``POST /config`` is there either way.
    ``environ`` resolves the vault references of what is written. ``echo_upstream`` is told at ``/``: whether Services
    lead to the gateway's own upstream. ``log_level`` is told at ``/debug/node/log-level``.
    """

    def __init__(
        self,
        actions: AdminActions,
        state: GatewayState,
        *,
        gateway: str,
        environ: Mapping[str, str],
        database: bool,
        echo_upstream: bool = False,
        log_level: str = log_line.DEFAULT_LOG_LEVEL,
    ) -> None:
        self._actions = actions
        self._level = log_level
        self._gateway = gateway
        self._database = database
        self._calls = 0
        self._configuration_told: dict[str, Any] = {"database": "postgres" if database else "off"}
        if echo_upstream:
            self._configuration_told["echo_upstream"] = True
        self._version = f"{gateway}.0"
        self._node_id = str(uuid.uuid4())
        self._hash = _NO_CONFIGURATION
        self._changing = asyncio.Lock()
        self._endpoints = EntityEndpoints(gateway, database, time)
        self._builder = StateBuilder(gateway, environ)
        self.follow(state)

    def follow(self, state: GatewayState) -> None:
        """Show, and change from now on, a state that was put into effect without this API."""
        self._store = EntityStore.of(state, self._gateway, now=int(time()))

    async def handle(self, call: Call) -> Answer:
        """Answer one call."""
        began = perf_counter()
        self._calls += 1
        try:
            answer = await self._dispatch(call)
        except AdminError as error:
            answer = _answer(error.status, error.body)
        except RecursionError:
            answer = _answer(400, {"message": "the body is nested too deeply"})
        except Exception as error:  # a defect of ours: the gateway goes on
            self._actions.log(log_line.error(f"Admin API: {call.line.method}: {type(error).__name__}"))
            answer = _answer(500, {"message": "An unexpected error occurred"})
        latency = round((perf_counter() - began) * 1000)
        return replace(
            answer,
            leading=(("Date", formatdate(usegmt=True)),),
            headers=(*_CROSS_ORIGIN, *answer.headers),
            trailing=(("X-Kong-Admin-Latency", str(latency)), ("Server", f"kong/{self._version}")),
        )

    async def _dispatch(self, call: Call) -> Answer:
        path = call.line.path.rstrip("/") or "/"
        handlers = _ROUTES.get(path) or self._more_handlers(path)
        if handlers is not None:
            handler = handlers.get("GET" if call.line.method == "HEAD" else call.line.method)
            if handler is not None:
                answer = handler(self, call)
                return answer if isinstance(answer, Answer) else await answer
            return _options(call, handlers)
        place = place_of(path)
        if place is None:
            raise not_found()
        if call.line.method in ("GET", "HEAD"):
            return _answer(200, self._endpoints.read(self._store, place, call))
        if call.line.method not in place.methods:
            return _options(call, place.methods)
        return await self._write(place, call)

    def _more_handlers(self, path: str) -> dict[str, _Handler] | None:
        if path.startswith("/schemas/plugins/"):
            return {"GET": AdminApi._plugin_schema}
        return {"GET": AdminApi._nothing} if path[1:] in _EMPTY else None

    # ----------------------------------------------------------------- entities

    async def _write(self, place: Place, call: Call) -> Answer:
        async with self._changing:
            store, status, document = self._endpoints.write(self._store, place, call)
            if store is not self._store:
                try:
                    state = self._builder.build(store)
                    await self._actions.apply(state)
                except InvalidDocument as error:
                    raise schema_violation(error.problems) from None
                self._store = store
                for warning in state.warnings:
                    self._actions.log(str(warning))
        return Answer(status) if document is None else _answer(status, document)

    def _nothing(self, call: Call) -> Answer:
        return _answer(200, {"data": [], "next": None})

    # ----------------------------------------------------------------- plugins and their schemas

    def _enabled_plugins(self, call: Call) -> Answer:
        return _answer(200, {"enabled_plugins": list(EMULATED_PLUGINS)})

    def _plugin_schema(self, call: Call) -> Answer:
        name = call.line.path.rstrip("/").rpartition("/")[2]
        if name not in EMULATED_PLUGINS:
            raise AdminError(404, {"message": f"No plugin named '{name}'"})
        return _answer(200, plugin_schema(name, self._gateway))

    def _validate_plugin(self, call: Call) -> Answer:
        fields, is_form = body_fields(call)
        if is_form:
            fields = typed_fields(fields, entity_schema("plugins", fields, self._gateway))
        sound_fields("plugins", fields, self._gateway, None)
        return _answer(200, {"message": "schema validation successful"})

    # ----------------------------------------------------------------- the node

    def _information(self, call: Call) -> Answer:
        enabled = sorted({row["name"] for row in self._store.rows["plugins"].values()})
        return _answer(
            200,
            {
                "version": self._version,
                "tagline": "Welcome to kong",
                "hostname": socket.gethostname(),
                "node_id": self._node_id,
                "configuration": self._configuration_told,
                "plugins": {
                    "available_on_server": dict.fromkeys(EMULATED_PLUGINS, True),
                    "enabled_in_cluster": enabled,
                },
            },
        )

    def _status(self, call: Call) -> Answer:
        traffic = self._actions.traffic()
        traffic = replace(traffic, requests=traffic.requests + self._calls)
        return _answer(200, node_status(traffic, self._hash, database=self._database))

    def _log_level(self, call: Call) -> Answer:
        return _answer(200, {"message": f"log level: {self._level}"})

    def _metering(self, call: Call) -> Answer:
        return _answer(200, self._actions.statistics())

    # ----------------------------------------------------------------- the declarative configuration

    async def _configure(self, call: Call) -> Answer:
        try:
            text = configuration_in(call)
        except ValueError:
            raise unreadable_json() from None
        flatten = query_fields(call).get("flatten_errors", "").lower() in _TRUE
        data: Any = None
        async with self._changing:
            try:
                document = parse_document(text)
                data = document.data
                state = self._actions.load(document)
                await self._actions.apply(state)
            except InvalidDocument as error:
                problems = configuration_in_kongs_words(data, error.problems, self._gateway)
                body = flattened_configuration_errors(data, problems) if flatten else invalid_configuration(problems)
                raise AdminError(400, body) from None
            self.follow(state)
            self._actions.log(log_line.info(f"configuration replaced: {len(state.routes)} routes"))
            self._hash = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        return _answer(201, {kind: rows for kind, rows in self._store.rows.items() if rows})

    def _configuration(self, call: Call) -> Answer:
        return _answer(200, {"config": configuration_text(self._store)})


#: Paths that are no entities, with their methods; HEAD goes where GET goes.
_ROUTES: dict[str, dict[str, _Handler]] = {
    "/": {"GET": AdminApi._information},
    "/status": {"GET": AdminApi._status},
    "/config": {"GET": AdminApi._configuration, "POST": AdminApi._configure},
    "/debug/node/log-level": {"GET": AdminApi._log_level},
    "/metering": {"GET": AdminApi._metering},
    "/plugins/enabled": {"GET": AdminApi._enabled_plugins},
    "/schemas/plugins/validate": {"POST": AdminApi._validate_plugin},
}


def _answer(status: int, document: Mapping[str, Any]) -> Answer:
    # Kong's JSON has slashes escaped; those are in strings alone.
    return Answer(status, orjson.dumps(document).replace(b"/", b"\\/"), JSON)


def _options(call: Call, methods: Any) -> Answer:
    """Return the answer to OPTIONS. Raises AdminError for any other method, which the path does not have."""
    if call.line.method != "OPTIONS":
        raise method_not_allowed()
    allowed = ", ".join(sorted({*methods, "OPTIONS", *(("HEAD",) if "GET" in methods else ())}))
    headers = (
        ("Allow", allowed),
        ("Access-Control-Allow-Methods", allowed),
        ("Access-Control-Allow-Headers", "Content-Type"),
    )
    return Answer(204, headers=headers)
