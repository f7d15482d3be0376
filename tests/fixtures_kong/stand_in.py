"""The stand-in plugin in a LuaJIT of its own, on the recorded ways of Kong 3.9."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kong_schema import KongSchema
from lua_values import as_lua, items_of, wire
from lupa.luajit21 import LuaRuntime

FIXTURES = Path(__file__).parents[2] / "fixtures"
PLUGINS = FIXTURES / "kong" / "plugins"
MODULES = "kong.plugins.metering-and-billing."
RECORDED_KONG = Path(__file__).with_name("recorded_kong.lua")

#: What every configuration needs and most tests do not care about.
NEEDED = {"ingest_endpoint": "http://ingest.test/v3/openmeter/events", "api_token": "token-of-the-test"}
_DROP = re.compile(r"debug: no usage event \(([A-Z]+-\d+)\): (.*); (\d+) so far in this worker", re.DOTALL)


class StandIn:
    """One plugin instance in one worker. ``world`` is what ``recorded_kong.lua`` returns."""

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.lua = LuaRuntime(encoding="latin-1", unpack_returned_tuples=True)
        self.lua.globals().package.path = str(FIXTURES / "?.lua")
        self.world = self.lua.execute(RECORDED_KONG.read_text(encoding="utf-8"))
        self.schema = KongSchema(self.lua, f"{MODULES}schema")
        self.handler = self.module("handler")
        self.configure(config or {})

    def module(self, name: str) -> Any:
        """Return a module of the plugin."""
        module = self.lua.require(MODULES + name)
        return module[0] if isinstance(module, tuple) else module

    def configure(self, config: Mapping[str, Any]) -> None:
        """Take another configuration, defaults filled in. Raises ValueError with what Kong would refuse."""
        self.conf = as_lua(self.lua, self.schema.filled({**NEEDED, **config}))

    def log(self, exchange: Mapping[str, Any]) -> None:
        """Run the log phase for ``exchange`` (the JSON form of ``kong-metering events``)."""
        request = exchange["request"]
        headers = [(wire(name), wire(value)) for name, value in request["headers"]]
        if request.get("host") is not None:
            headers.insert(0, ("Host", wire(request["host"]) + ":8000"))
        self.log_message(serialized(exchange), headers, request.get("host"))

    def log_message(
        self, message: Mapping[str, Any], headers: Sequence[tuple[str, str]], host: str | None = None
    ) -> None:
        """Run the log phase for what ``kong.log.serialize()`` gave and the headers on the wire."""
        self.world["message"] = as_lua(self.lua, message)
        self.world["headers"] = self.lua.table_from([self.lua.table_from(pair) for pair in headers])
        self.world["host"] = host and wire(host)
        self.handler["log"](self.handler, self.conf)

    @property
    def logged(self) -> list[str]:
        """The lines logged so far, with their level."""
        return items_of(self.world["logged"])

    def entries(self) -> list[bytes]:
        """Return what was put into the queue since the last call."""
        entries = [entry.encode("latin-1") for entry in items_of(self.world["entries"])]
        self.world["entries"] = self.lua.table()
        return entries

    def outcome(self, exchange: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``{"events": […], "dropped": null | {"rule", "reason"}}`` of ``exchange``."""
        before = len(self.logged)
        self.log(exchange)
        drops = [found for line in self.logged[before:] if (found := _DROP.fullmatch(line))]
        return {
            "events": [json.loads(entry) for entry in self.entries()],
            "dropped": {"rule": drops[0][1], "reason": drops[0][2]} if drops else None,
        }

    def send(self, *entries: bytes) -> tuple[bool | None, str | None]:
        """Call the queue's handler with a batch; return what the queue would see of it."""
        queue = self.world["queue"]
        batch = self.lua.table_from([entry.decode("latin-1") for entry in entries])
        answer = queue["handler"](queue["order"], batch)
        return answer if isinstance(answer, tuple) else (answer, None)

    @property
    def posts(self) -> list[Any]:
        """The requests sent so far."""
        return items_of(self.world["posts"])


def serialized(exchange: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``exchange`` in the form of ``kong.log.serialize()``, as recorded from Kong 3.9."""
    request, response, ai = exchange["request"], exchange["response"], exchange.get("ai")
    query = request.get("query")
    statuses = exchange.get("upstream_status")
    message: dict[str, Any] = {
        "client_ip": request.get("client_ip"),
        "started_at": int(request["started_at"] * 1000 + 1e-6),
        "upstream_status": "" if statuses is None else str(statuses),
        "request": {
            "id": ai.get("request_id") if ai else None,
            "method": request["method"],
            "uri": request["path"] + (f"?{query}" if query else ""),
            "size": request.get("size_bytes"),
            "headers": {name.lower(): "REDACTED" for name, _ in request["headers"]},
            "querystring": {},
        },
        "response": {"status": response["status"], "size": response.get("size_bytes"), "headers": {}},
    }
    for entity in ("route", "service", "consumer"):
        message[entity] = exchange.get(entity)
    if ai is not None:
        message["ai"] = {
            "proxy" if ai.get("plugin_name") == "ai-proxy" else ai.get("plugin_name") or "proxy": {
                "meta": {
                    "plugin_id": ai.get("plugin_id"),
                    "provider_name": ai.get("provider"),
                    "request_model": ai.get("request_model"),
                    "response_model": ai.get("response_model"),
                    "llm_latency": 12,
                },
                "usage": {
                    "prompt_tokens": ai.get("prompt_tokens"),
                    "completion_tokens": ai.get("completion_tokens"),
                    "cost": 0,
                },
                "cache": {"cache_status": ai.get("cache_status")},
            }
        }
    return message
