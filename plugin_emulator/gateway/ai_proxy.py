"""The ``ai-proxy`` plugin as far as metering needs it: which model was asked, and what the answer says it cost.

Requests and answers are in OpenAI's form and pass as they are, but for the model's name in the request. No other form
is understood, and no answer that is streamed. A provider is sent no key: it is a stand-in, or the echo upstream.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from plugin_emulator.documents import InvalidDocument, Problem
from plugin_emulator.exchange import AiUsage
from plugin_emulator.gateway.entities import PluginInstance, Service
from plugin_emulator.schema_check import Schema

PLUGIN_NAME = "ai-proxy"
SCHEMA = Schema.read(Path(__file__).parent / "schemas" / "ai-proxy-config.json")

_PROVIDER = "https://api.openai.com"
_PATHS = {"llm/v1/chat": "/v1/chat/completions", "llm/v1/completions": "/v1/completions"}


@dataclass(frozen=True, slots=True)
class AiProxyConfig:
    """Settings of one ai-proxy instance.

    ``model`` None: the request names the model. ``statistics`` False: no tokens are counted, so none are metered.
    """

    provider: str
    model: str | None
    upstream_url: str
    statistics: bool = True


@dataclass(frozen=True, slots=True)
class AiRoute:
    """What ai-proxy does on one Route: ``provider`` is where its requests go in place of the Route's Service."""

    plugin_id: str
    config: AiProxyConfig
    provider: Service

    def request_body(self, body: bytes) -> bytes:
        """Return ``body`` with the configured model in it; a body that is no JSON object stays as it is."""
        if self.config.model is None:
            return body
        told = _object(body)
        return orjson.dumps({**told, "model": self.config.model}) if told else body

    def usage(self, request: bytes, status: int | str | None, answer: bytes) -> AiUsage | None:
        """Return what a metering plugin gets to know of a request (SPEC EVT-9, EVT-12); None when there is nothing.

        ``request`` and ``answer`` are whole bodies. Only an answer with a 2xx ``status`` has cost anything. Tokens
        are None where the answer does not tell.
        """
        if not self.config.statistics or not isinstance(status, int) or not 200 <= status < 300:
            return None
        reply = _object(answer)
        counted = reply.get("usage")
        tokens = counted if isinstance(counted, dict) else {}
        asked = _text(_object(request).get("model"))
        return AiUsage(
            self.plugin_id,
            PLUGIN_NAME,
            self.config.provider,
            asked,
            _text(reply.get("model")) or asked,
            _count(tokens.get("prompt_tokens")),
            _count(tokens.get("completion_tokens")),
        )

    def why_no_usage(self, status: int, upstream_status: int | str | None) -> str | None:
        """Return why :meth:`usage` tells nothing of a request answered with ``status``; None when it tells."""
        if upstream_status is None:
            return f"the gateway answered {status} itself, before {PLUGIN_NAME}'s provider was asked"
        if not isinstance(upstream_status, int) or not 200 <= upstream_status < 300:
            verb = "refused the request with" if 400 <= status < 500 else "answered"
            return f"{PLUGIN_NAME} {verb} {status}"
        return None if self.config.statistics else f"{PLUGIN_NAME} counts no tokens: logging.log_statistics is off"


def ai_route(instance: PluginInstance | None, service: Service | None) -> AiRoute | None:
    """Return what ``instance`` does on a Route of ``service``; None without an instance or a Service."""
    if instance is None or service is None:
        return None
    config = instance.config
    assert isinstance(config, AiProxyConfig)
    parts = urlsplit(config.upstream_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    provider = replace(service, protocol=parts.scheme, host=parts.hostname or "", port=port, path=parts.path or "/")
    return AiRoute(instance.id, config, provider)


def validate_ai_proxy(config: Any) -> list[Problem]:
    """Return what is wrong in ``config``, with pointers relative to it."""
    return SCHEMA.check({} if config is None else config)


def load_ai_proxy(config: Any) -> AiProxyConfig:
    """Return the typed form of ``config``. Raises InvalidDocument."""
    problems = validate_ai_proxy(config)
    if problems:
        raise InvalidDocument(problems)
    model, logging = config["model"], config.get("logging") or {}
    url = (model.get("options") or {}).get("upstream_url") or _PROVIDER + _PATHS[config["route_type"]]
    return AiProxyConfig(model["provider"], model.get("name"), url, logging.get("log_statistics") is not False)


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return data if isinstance(data, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
