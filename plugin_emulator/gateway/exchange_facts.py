"""A finished exchange as a condition would have seen its request, as far as an exchange tells."""

from __future__ import annotations

from plugin_emulator.conditions import Condition, ConditionFailed, ConsumerFacts, EntityFacts, Facts
from plugin_emulator.exchange import Exchange
from plugin_emulator.gateway.forwarding import text_of
from plugin_emulator.gateway.plugin_conditions import FAILED, KEPT_OUT
from plugin_emulator.gateway.uri import normalize
from plugin_emulator.metering_plugin import Drop


def exchange_facts(exchange: Exchange) -> Facts:
    """Return what a condition may ask about ``exchange``.

    It tells nothing of tags, ports, the gateway's address and other plugins: those are null to a condition.
    """
    request, route, service, consumer = exchange.request, exchange.route, exchange.service, exchange.consumer
    wire_path = request.path.encode("utf-8", "surrogatepass").decode("latin-1")
    return Facts(
        request.method,
        text_of(normalize(wire_path)),
        request.host.lower() if request.host else None,
        request.headers,
        request.query,
        protocol=None,
        src_ip=request.client_ip,
        route=EntityFacts(route.id, route.name) if route else None,
        service=EntityFacts(service.id, service.name) if service else None,
        consumer=ConsumerFacts(consumer.id, consumer.username, consumer.custom_id) if consumer else None,
    )


def kept_out(condition: Condition, exchange: Exchange) -> Drop | None:
    """Return why the plugin does nothing for ``exchange``; None when its condition holds (SPEC FLT-6, CND-3)."""
    try:
        return None if condition.holds(exchange_facts(exchange)) else Drop(*KEPT_OUT)
    except ConditionFailed as failure:
        rule, reason = FAILED
        return Drop(rule, f"{reason}: {failure}")
