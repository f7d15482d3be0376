"""What the gateway of a load test is made of: a Kong state, to a plan.

``python -m loadtests.gateway_state > kong.yml`` prints it for a gateway that is configured by hand.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from loadtests.plan import LoadPlan
from loadtests.plugins.registry import LOADED_PLUGINS
from plugin_emulator.documents import InvalidDocument

SERVICE = "load-service"
KEY_HEADER = "apikey"
TENANT_HEADER = "X-Tenant"
AI_MODEL = "gpt-4o-mini"
AI_PROVIDER = "openai"
AI_PLUGIN = "ai-proxy"
#: Where the plugin's token comes from unless it is given: from the environment, as decK does it.
TOKEN_REFERENCE = '${{ env "DECK_AUTH_TOKEN" }}'
UPSTREAM = "http://127.0.0.1:8080"
INGEST_ENDPOINT = "http://127.0.0.1:8088/v3/openmeter/events"
_CHAT_PATH = "/v1/chat/completions"


def _identity(name: str) -> str:
    """Return an entity's id. It stays: events name it, and a gateway that is given the state again takes a plugin
    with the same id for the same one (LIF-3)."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"kong-metering/load/{name}"))


SERVICE_ID = _identity(SERVICE)


@dataclass(frozen=True, slots=True)
class LoadRoute:
    """A Route of the load test: its name, and the path that leads to it."""

    name: str
    path: str

    @property
    def id(self) -> str:
        """The Route's id, the same in every state."""
        return _identity(self.name)


#: The plugin that chats go through, as events name it.
AI_PLUGIN_ID = _identity(f"load-ai/{AI_PLUGIN}")
#: Billed to the Consumer whose key the request carries.
CONSUMER_ROUTE = LoadRoute("load-consumer", "/consumer")
#: Billed to the tenant that a header names; without it to nobody.
TENANT_ROUTE = LoadRoute("load-tenant", "/tenant")
#: Chat with a language model, billed to the Consumer by request and by token.
AI_ROUTE = LoadRoute("load-ai", "/ai")


def consumer_name(index: int) -> str:
    """Return the username of the Consumer with that index, from 0."""
    return f"consumer-{index:05d}"


def consumer_key(seed: int, index: int) -> str:
    """Return the API key of the Consumer with that index; it is the same for the gateway and for those who send."""
    return hashlib.blake2b(f"{seed}/{index}".encode(), digest_size=12).hexdigest()


def tenant_name(index: int) -> str:
    """Return the tenant with that index, from 0."""
    return f"tenant-{index:05d}"


def gateway_state(
    plan: LoadPlan,
    *,
    ingest_endpoint: str = INGEST_ENDPOINT,
    api_token: str = TOKEN_REFERENCE,
    upstream: str = UPSTREAM,
    metered: bool = True,
) -> dict[str, Any]:
    """Return the declarative state for ``plan``: Service, Routes, Consumers with their keys, and plugins.

    ``upstream`` is the base URL of the echo server. ``metered`` False leaves the metering plugin out, all else the
    same: what metering costs is the difference. The chat Route is there only when the plan sends to it. The result
    holds keys and the token: it is for the gateway, not for logs.
    """
    routes = [CONSUMER_ROUTE, TENANT_ROUTE]
    plugins = [_key_auth(CONSUMER_ROUTE)]
    metering = [
        _metering(plan, CONSUMER_ROUTE, None, ingest_endpoint, api_token),
        _metering(plan, TENANT_ROUTE, TENANT_HEADER, ingest_endpoint, api_token),
    ]
    if plan.weights["ai"]:
        routes.append(AI_ROUTE)
        plugins += [_key_auth(AI_ROUTE), _ai_proxy(upstream)]
        metering.append(_metering(plan, AI_ROUTE, None, ingest_endpoint, api_token, ai=True))
    return {
        "_format_version": "3.0",
        "services": [{"id": SERVICE_ID, "name": SERVICE, "url": upstream}],
        "routes": [
            {"id": route.id, "name": route.name, "paths": [route.path], "service": {"name": SERVICE}}
            for route in routes
        ],
        "consumers": [
            {"username": consumer_name(index), "keyauth_credentials": [{"key": consumer_key(plan.seed, index)}]}
            for index in range(plan.subjects)
        ],
        "plugins": plugins + metering if metered else plugins,
    }


def _plugin(name: str, route: LoadRoute, config: dict[str, Any]) -> dict[str, Any]:
    return {"id": _identity(f"{route.name}/{name}"), "name": name, "route": route.name, "config": config}


def _key_auth(route: LoadRoute) -> dict[str, Any]:
    return _plugin("key-auth", route, {"key_names": [KEY_HEADER], "hide_credentials": True})


def _ai_proxy(upstream: str) -> dict[str, Any]:
    options = {"upstream_url": upstream.rstrip("/") + _CHAT_PATH}
    model = {"provider": AI_PROVIDER, "name": AI_MODEL, "options": options}
    # Without statistics in its log there is no token usage to meter.
    logging = {"log_statistics": True, "log_payloads": False}
    return _plugin(AI_PLUGIN, AI_ROUTE, {"route_type": "llm/v1/chat", "logging": logging, "model": model})


def _metering(
    plan: LoadPlan, route: LoadRoute, subject_header: str | None, endpoint: str, token: str, *, ai: bool = False
) -> dict[str, Any]:
    """Return the metering plugin of a Route, billed to the Consumer unless a header names the subject."""
    config = LOADED_PLUGINS[plan.metering].config(plan.queue, subject_header, endpoint, token, ai=ai)
    return _plugin(plan.metering, route, config)


def state_text(state: dict[str, Any]) -> str:
    """Return a state as the text of a state file."""
    return yaml.safe_dump(state, sort_keys=False, width=1000)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the state of a plan; exits with 2 when the plan is not usable."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.gateway_state", description=__doc__)
    parser.add_argument("--plan", type=Path, metavar="FILE", help="load plan (default: the default plan)")
    parser.add_argument("--ingest", default=INGEST_ENDPOINT, metavar="URL", help="ingest endpoint (%(default)s)")
    parser.add_argument("--upstream", default=UPSTREAM, metavar="URL", help="base URL of the upstream (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        plan = LoadPlan() if options.plan is None else LoadPlan.read(options.plan)
    except InvalidDocument as error:
        parser.exit(2, f"{error}\n")
    state = gateway_state(plan, ingest_endpoint=options.ingest, upstream=options.upstream)
    sys.stdout.write(state_text(state))


if __name__ == "__main__":
    main()
