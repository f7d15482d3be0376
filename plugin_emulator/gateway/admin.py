"""The Admin API: node information, entities, schemas, and the declarative configuration."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from time import perf_counter, time
from typing import Any

import orjson
import yaml

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
from plugin_emulator.gateway.call_arguments import body_fields, typed_fields
from plugin_emulator.gateway.entities import GatewayState
from plugin_emulator.gateway.entity_endpoints import EntityEndpoints, Place, place_of
from plugin_emulator.gateway.entity_fields import sound_fields
from plugin_emulator.gateway.entity_forms import EMULATED_PLUGINS, entity_schema
from plugin_emulator.gateway.entity_rows import ENTITY_KINDS
from plugin_emulator.gateway.entity_store import EntityStore
from plugin_emulator.gateway.http_service import Answer, Call
from plugin_emulator.gateway.kong_messages import configuration_in_kongs_words
from plugin_emulator.gateway.plugin_schemas import plugin_schema
from plugin_emulator.gateway.store_state import StateBuilder

_NO_CONFIGURATION = "0" * 32
#: Kinds a tool asks for when it looks at everything: there are none, and none can be made.
_EMPTY = frozenset({"upstreams", "certificates", "ca_certificates", "snis", "vaults", "keys", "key-sets"})


@dataclass(frozen=True, slots=True)
class AdminActions:
    """What the Admin API can ask of its gateway.

    ``load`` reads a declarative configuration and raises InvalidDocument; ``apply`` puts a state into effect and
    raises InvalidDocument when it cannot be served; ``requests`` and ``connections`` count; ``log`` is given lines
    for an operator.
    """

    load: Callable[[Document], GatewayState]
    apply: Callable[[GatewayState], Awaitable[None]]
    statistics: Callable[[], dict[str, Any]]
    requests: Callable[[], int]
    connections: Callable[[], int]
    log: Callable[[str], None]


_Handler = Callable[["AdminApi", Call], "Answer | Awaitable[Answer]"]


class AdminApi:
    """Handles Admin API calls of a gateway of version ``gateway``, such as ``3.16``, that begins with ``state``.

    Without a ``database`` entities are only read, as in a DB-less Kong; ``POST /config`` is there either way.
    ``environ`` resolves the vault references of what is written.
    """

    def __init__(
        self,
        actions: AdminActions,
        state: GatewayState,
        *,
        gateway: str,
        environ: Mapping[str, str],
        database: bool,
    ) -> None:
        self._actions = actions
        self._gateway = gateway
        self._database = database
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
        try:
            answer = await self._dispatch(call)
        except AdminError as error:
            answer = _answer(error.status, error.body)
        except RecursionError:
            answer = _answer(400, {"message": "the body is nested too deeply"})
        except Exception as error:  # a defect of ours: the gateway goes on
            self._actions.log(f"Admin API: {call.line.method}: {type(error).__name__}")
            answer = _answer(500, {"message": "An unexpected error occurred"})
        latency = round((perf_counter() - began) * 1000)
        return Answer(answer.status, answer.body, answer.content_type, (*self._headers(latency), *answer.headers))

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
                    self._actions.log(f"warning: {warning}")
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
                "configuration": {"database": "postgres" if self._database else "off"},
                "plugins": {
                    "available_on_server": dict.fromkeys(EMULATED_PLUGINS, True),
                    "enabled_in_cluster": enabled,
                },
            },
        )

    def _status(self, call: Call) -> Answer:
        server = {
            "total_requests": self._actions.requests(),
            "connections_active": self._actions.connections(),
        }
        status = {"server": server, "database": {"reachable": True}, "configuration_hash": self._hash}
        return _answer(200, status)

    def _metering(self, call: Call) -> Answer:
        return _answer(200, self._actions.statistics())

    # ----------------------------------------------------------------- the declarative configuration

    async def _configure(self, call: Call) -> Answer:
        try:
            text = _configuration_text(call)
        except ValueError:
            raise unreadable_json() from None
        data: Any = None
        async with self._changing:
            try:
                document = parse_document(text)
                data = document.data
                state = self._actions.load(document)
                await self._actions.apply(state)
            except InvalidDocument as error:
                problems = configuration_in_kongs_words(data, error.problems, self._gateway)
                raise AdminError(400, invalid_configuration(problems)) from None
            self.follow(state)
            self._hash = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        return _answer(201, {kind: rows for kind, rows in self._store.rows.items() if rows})

    def _configuration(self, call: Call) -> Answer:
        document: dict[str, Any] = {"_format_version": "3.0", "_transform": False}
        for kind, rows in self._store.rows.items():
            foreign = ENTITY_KINDS[kind].foreign
            if rows:
                document[kind] = [
                    {name: value["id"] if name in foreign and value else value for name, value in row.items()}
                    for row in rows.values()
                ]
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
        return _answer(200, {"config": text})

    def _headers(self, latency: int) -> tuple[tuple[str, str], ...]:
        return (
            ("Date", formatdate(usegmt=True)),
            ("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Allow-Credentials", "true"),
            ("X-Kong-Admin-Latency", str(latency)),
            ("Server", f"kong/{self._version}"),
        )


#: Paths that are no entities, with their methods; HEAD goes where GET goes.
_ROUTES: dict[str, dict[str, _Handler]] = {
    "/": {"GET": AdminApi._information},
    "/status": {"GET": AdminApi._status},
    "/config": {"GET": AdminApi._configuration, "POST": AdminApi._configure},
    "/metering": {"GET": AdminApi._metering},
    "/plugins/enabled": {"GET": AdminApi._enabled_plugins},
    "/schemas/plugins/validate": {"POST": AdminApi._validate_plugin},
}


def _answer(status: int, document: Mapping[str, Any]) -> Answer:
    return Answer(status, orjson.dumps(document), JSON)


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


def _configuration_text(call: Call) -> str:
    """Return the configuration in a call's body. Raises ValueError for a JSON body that is none."""
    content_type = call.headers.fields.first.get("content-type", "").lower()
    text = call.body.decode("utf-8")
    if not content_type.startswith("application/json"):
        return text
    document = orjson.loads(call.body)
    if document == []:  # for Kong the same as {}
        return "{}"
    if isinstance(document, dict) and isinstance(document.get("config"), str):
        return str(document["config"])
    return text
