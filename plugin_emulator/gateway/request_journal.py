"""What the gateway itself tells of a request: what it matched, and which metering instances had their turn."""

from __future__ import annotations

from dataclasses import fields
from time import time
from typing import Any
from urllib.parse import urlsplit

import msgspec

from plugin_emulator.gateway.entities import Consumer, GatewayState, PluginInstance, Route, Service
from plugin_emulator.gateway.forwarding import text_of
from plugin_emulator.gateway.gateway_plugins import KEY_AUTH
from plugin_emulator.gateway.key_auth import Identity
from plugin_emulator.gateway.key_auth_config import KeyAuthConfig
from plugin_emulator.gateway.metering_instances import MeteringInstances
from plugin_emulator.gateway.nearest_route import NearestRoute
from plugin_emulator.gateway.plugin_conditions import Admission
from plugin_emulator.gateway.selection_reason import fits, why_none_runs
from plugin_emulator.gateway.snapshot import Plan
from plugin_emulator.gateway.uri import normalize
from plugin_emulator.journal import Configured, Ended, Instance, Named, Observer, PassedOver, Started, Stopped
from plugin_emulator.metering_plugins import BY_NAME as METERING

#: Requests of this many Routes, Consumers and ways to be authenticated are remembered with why nothing ran.
_REMEMBERED = 4096
_REDACTED = "[redacted]"


class RequestJournal:
    """Tells ``observe`` of configurations and of the requests that end."""

    __slots__ = (
        "_by_plugin",
        "_key_auths",
        "_named",
        "_nearest",
        "_observe",
        "_plugin_of",
        "_reasons",
        "_routes",
        "_unproven",
    )

    def __init__(self, observe: Observer) -> None:
        self._observe = observe
        self._by_plugin: dict[str, list[PluginInstance]] = {}
        self._plugin_of: dict[str, str] = {}
        self._reasons: dict[tuple[object, ...], tuple[tuple[PassedOver, ...], tuple[str, ...]]] = {}
        self._key_auths: list[PluginInstance] = []
        self._unproven: dict[str, str] = {}
        self._routes: tuple[Route, ...] = ()
        self._nearest: NearestRoute | None = None
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
        self._key_auths = [each for each in state.plugins if isinstance(each.config, KeyAuthConfig)]
        self._unproven.clear()
        self._routes, self._nearest = state.routes, None
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
        refusal: str | None = None,
    ) -> None:
        """A request is over; ``admission`` is what the conditions said of it, None where none has one.

        ``refusal`` is why key-auth refused it, in its own words.
        """
        route, service = plan.chain.route, plan.chain.service
        consumer = None
        if identity is not None:
            who = identity.consumer
            consumer = self._name(identity.consumer_id, who.username or who.custom_id)
        anonymous = identity is not None and identity.credential is None
        passed_over, less_specific = self._selection(route, consumer, metering, anonymous=anonymous)
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
                less_specific,
                self._unauthenticated(plan, identity, admission, refusal),
                None if route is not None else self._near_route(plan),
                None if plan.chain.ai is None else plan.chain.ai.why_no_usage(status, upstream_status),
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

    def _unauthenticated(
        self, plan: Plan, identity: Identity | None, admission: Admission | None, refusal: str | None
    ) -> str | None:
        """Return why no Consumer was proven; None when one was, and when there is no key-auth at all."""
        if not self._key_auths or (identity is not None and identity.credential is not None):
            return None
        key_auth, route = plan.chain.key_auth, plan.chain.route
        if key_auth is None:
            if route is None:
                return None
            known = self._unproven.get(route.id)
            if known is None:
                why = why_none_runs(KEY_AUTH, self._key_auths, route, None, anonymous=False)
                known = self._unproven[route.id] = why.reason
            return known
        if admission is not None and admission.skips_key_auth:
            return f"the condition of the {KEY_AUTH} plugin is false for this request"
        if identity is not None:
            return None  # the anonymous Consumer says enough
        return None if refusal is None else key_auth.in_words(refusal)

    def _near_route(self, plan: Plan) -> str | None:
        if self._nearest is None:
            self._nearest = NearestRoute(self._routes)
        return self._nearest.of(plan.method, plan.host, normalize(plan.path))

    def _selection(
        self, route: Route | None, consumer: Named | None, metering: MeteringInstances, *, anonymous: bool
    ) -> tuple[tuple[PassedOver, ...], tuple[str, ...]]:
        """Return for each configured plugin of which no instance was chosen why that is, and who gave way."""
        key = (route.id if route else None, consumer.id if consumer else None, anonymous, metering.every)
        known = self._reasons.get(key)
        if known is None:
            if len(self._reasons) >= _REMEMBERED:
                self._reasons.clear()
            chosen = {self._plugin_of.get(instance) for instance in metering.every}
            none_runs = tuple(
                why_none_runs(plugin, instances, route, consumer, anonymous=anonymous)
                for plugin, instances in self._by_plugin.items()
                if plugin not in chosen
            )
            fitting = (
                each.id
                for plugin in chosen
                for each in self._by_plugin.get(plugin or "", ())
                if each.enabled and fits(each, route, consumer)
            )
            gave_way = tuple(id_ for id_ in fitting if id_ not in metering.every)
            known = self._reasons[key] = none_runs, gave_way
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
