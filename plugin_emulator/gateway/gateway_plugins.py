"""The plugins that the emulated gateway has beside those that meter: what authenticates, what speaks to models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from plugin_emulator.gateway import ai_proxy, key_auth_config
from plugin_emulator.schema_check import Schema

KEY_AUTH = "key-auth"
AI_PROXY = ai_proxy.PLUGIN_NAME


@dataclass(frozen=True, slots=True)
class GatewayPlugin:
    """One plugin: the schema of its ``config``, and ``load``, which makes the typed form or raises InvalidDocument.

    ``conditional`` says whether a condition on it is emulated.
    """

    schema: Schema
    load: Callable[[Any], Any]
    conditional: bool


GATEWAY_PLUGINS: Mapping[str, GatewayPlugin] = {
    KEY_AUTH: GatewayPlugin(key_auth_config.SCHEMA, key_auth_config.load_key_auth, True),
    AI_PROXY: GatewayPlugin(ai_proxy.SCHEMA, ai_proxy.load_ai_proxy, False),
}
