"""A request on its way through the gateway as conditions see it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from plugin_emulator.conditions import Facts, PluginFacts
from plugin_emulator.gateway.forwarding import RequestHeaders, text_of
from plugin_emulator.gateway.key_auth import Identity
from plugin_emulator.gateway.plugin_conditions import RouteConditions
from plugin_emulator.gateway.snapshot import Plan
from plugin_emulator.gateway.uri import normalize


def request_facts(
    plan: Plan,
    headers: RequestHeaders,
    query: str | None,
    client_ip: str,
    transport: asyncio.Transport | None,
    identity: Identity | None,
    conditions: RouteConditions,
    plugins: Mapping[str, PluginFacts],
) -> Facts:
    """Return what a condition may ask about a request as it stands now (SPEC CND-2).

    ``transport`` is the client's connection, None when it is gone; ``query`` is raw.
    """
    peer = transport.get_extra_info("peername") if transport else None
    own = transport.get_extra_info("sockname") if transport else None
    here = own if isinstance(own, tuple) else (None, None)
    return Facts(
        plan.method,
        text_of(normalize(plan.path)),
        plan.host,
        headers.logged(identity),
        text_of(query) if query else "",
        src_ip=client_ip,
        src_port=peer[1] if isinstance(peer, tuple) else None,
        dst_ip=here[0],
        dst_port=here[1],
        route=conditions.route,
        service=conditions.service,
        consumer=identity.facts if identity else None,
        plugins=plugins,
    )
