"""The vault references in a metering plugin's configuration, looked up once for all its requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from plugin_emulator.documents import InvalidDocument, Problem
from plugin_emulator.gateway.references import UnresolvedReference, resolve_vault_reference
from plugin_emulator.metering_and_billing.config import MeteringConfig, is_http_url, is_vault_reference

REFERENCEABLE = ("ingest_endpoint", "api_token")


def look_up_references(config: MeteringConfig, environ: Mapping[str, str]) -> tuple[MeteringConfig, list[Problem]]:
    """Return ``config`` with its references replaced by their values, and warnings.

    What cannot be found is empty, as for Kong. Pointers are relative to the plugin. No message quotes a value. Raises
    InvalidDocument for a vault that is not emulated.
    """
    warnings = []
    for name in REFERENCEABLE:
        text = getattr(config, name)
        if not is_vault_reference(text):
            continue
        at = ("config", name)
        try:
            value = resolve_vault_reference(text, environ)
        except UnresolvedReference as reason:
            value = ""
            message = f"{reason}: the gateway goes on with an empty value"
            warnings.append(Problem(message, at, "set it before the gateway starts"))
        except LookupError as reason:
            hint = "use the environment: {vault://env/NAME}"
            raise InvalidDocument([Problem(str(reason.args[0]), at, hint)]) from None
        if name == "ingest_endpoint" and value and not is_http_url(value):
            message = "resolves to something that is not an http(s) URL"
            warnings.append(Problem(message, at, "correct the variable's value"))
        config = replace(config, api_token=value) if name == "api_token" else replace(config, ingest_endpoint=value)
    return config, warnings
