"""What the gateway itself tells of a request: what it matched, and which metering instances had their turn."""

from __future__ import annotations

from dataclasses import fields
from time import time
from typing import Any
from urllib.parse import urlsplit

import msgspec

from plugin_emulator.gateway.entities import Consumer, GatewayState, PluginInstance, Route, Service
from plugin_emulator.gateway.forwarding import text_of
from plugin_emulator.gateway.key_auth import Identity
from plugin_emulator.gateway.key_auth_config import KeyAuthConfig
from plugin_emulator.gateway.metering_instances import MeteringInstances
from plugin_emulator.gateway.plugin_conditions import Admission
from plugin_emulator.gateway.selection_reason import why_none_runs
from plugin_emulator.gateway.snapshot import Plan
from plugin_emulator.journal import Configured, Ended, Instance, Named, Observer, PassedOver, Started, Stopped
from plugin_emulator.metering_plugins import BY_NAME as METERING

#: Requests of this many Routes, Consumers and ways to be authenticated are remembered with why nothing ran.
_REMEMBERED = 4096
_REDACTED = "[redacted]"


class RequestJournal:
    """Tells ``observe`` of configurations and of the requests that end."""

    __slots__ = ("_by_plugin", "_named", "_observe", "_plugin_of", "_reasons")

    def __init__(self, observe: Observer) -> None:
        self._observe = observe
        self._by_plugin: dict[str, list[PluginInstance]] = {}
        self._plugin_of: dict[str, str] = {}
        self._reasons: dict[tuple[object, ...], tuple[PassedOver, ...]] = {}
        self._named: dict[str, Named] = {}

    def started(self, version: str) -> None:
        """The gateway of that version begins to serve."""
        self._observe(Started(time(), version))

    def stopped(self, lost: int) -> None:
        """The gateway has stopped, and lost that many queued events by it."""
        self._observe(Stopped(time(), lost))

    def configured(self, state: GatewayState) -> None:
        """``state`` holds from now on."""
        metering = [each for each in state.plugins if each.name in METERING]
        self._by_plugin = {}
        for each in metering:
            self._by_plugin.setdefault(each.name, []).append(each)
        self._plugin_of = {each.id: each.name for each in metering}
        self._reasons.clear()
        self._named.clear()
        keys = tuple(credential.key for credential in state.credentials)
        names = dict.fromkeys(
            name for each in state.plugins if isinstance(each.config, KeyAuthConfig) for name in each.config.key_names
        )
        self._observe(Configured(time(), tuple(_described(each, keys) for each in metering), tuple(names)))

    def ended(
        self,
        request: str,
        plan: Plan,
        identity: Identity | None,
        metering: MeteringInstances,
        admission: Admission | None,
        started_at: float,
        status: int,
        upstream_status: int | str | None,
    ) -> None:
        """A request is over; ``admission`` is what the conditions said of it, None where none has one."""
        route, service = plan.chain.route, plan.chain.service
        consumer = None
        if identity is not None:
            who = identity.consumer
            consumer = self._name(identity.consumer_id, who.username or who.custom_id)
        anonymous = identity is not None and identity.credential is None
        passed_over = self._without_instance(route, consumer, metering, anonymous=anonymous)
        ran = metering.every
        if admission is not None:
            answers = {each: answer for each, answer in admission.answers.items() if answer is not None}
            passed_over += tuple(
                PassedOver(self._plugin_of.get(each, ""), *answers[each], each) for each in ran if each in answers
            )
            ran = tuple(each for each in ran if each not in answers)
        self._observe(
            Ended(
                time(),
                request,
                started_at,
                plan.method,
                text_of(plan.path),
                status,
                upstream_status,
                self._name(route.id, route.name) if route else None,
                self._name(service.id, service.name) if service else None,
                consumer,
                anonymous,
                ran,
                passed_over,
            )
        )

    def _name(self, id_: str, name: str | None) -> Named:
        """Return the same object for the same entity: there is one for each, and many requests for it."""
        named = self._named.get(id_)
        if named is None or named.name != name:
            if len(self._named) >= _REMEMBERED:
                self._named.clear()
            named = self._named[id_] = Named(id_, name)
        return named

    def _without_instance(
        self, route: Route | None, consumer: Named | None, metering: MeteringInstances, *, anonymous: bool
    ) -> tuple[PassedOver, ...]:
        """Return for each configured plugin of which no instance was chosen why that is."""
        key = (route.id if route else None, consumer.id if consumer else None, anonymous, metering.every)
        known = self._reasons.get(key)
        if known is None:
            if len(self._reasons) >= _REMEMBERED:
                self._reasons.clear()
            chosen = {self._plugin_of.get(instance) for instance in metering.every}
            known = self._reasons[key] = tuple(
                why_none_runs(plugin, instances, route, consumer, anonymous=anonymous)
                for plugin, instances in self._by_plugin.items()
                if plugin not in chosen
            )
        return known


def _described(instance: PluginInstance, keys: tuple[str, ...]) -> Instance:
    """Return an instance without its secrets; ``keys`` are API keys, which a condition may quote."""
    condition = instance.condition.text if instance.condition else None
    for key in keys if condition is not None else ():
        for quote in "\"'":
            condition = (condition or "").replace(f"{quote}{key}{quote}", f"{quote}{_REDACTED}{quote}")
    return Instance(
        instance.id,
        instance.name,
        METERING[instance.name].phases,
        {each.name: _setting(getattr(instance.config, each.name)) for each in fields(instance.config) if each.repr},
        instance.enabled,
        instance.instance_name,
        _named(instance.route),
        _named(instance.service),
        _named(instance.consumer),
        condition,
        without_token=not all(
            getattr(instance.config, each.name) for each in fields(instance.config) if not each.repr
        ),
    )


def _setting(value: Any) -> Any:
    """Return a setting as JSON has it; of a URL without userinfo and query, where secrets may stand."""
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        parts = urlsplit(value)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return msgspec.to_builtins(value)


def _named(entity: Route | Service | Consumer | None) -> Named | None:
    if entity is None:
        return None
    if isinstance(entity, Consumer):
        return Named(entity.id, entity.username or entity.custom_id)
    return Named(entity.id, entity.name)
