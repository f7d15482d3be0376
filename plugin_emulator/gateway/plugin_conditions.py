"""The conditions of the plugins on one Route: which of them run for a request (SPEC CND-1, CND-3, FLT-6).

The most specific instance of a plugin is chosen by its scope alone. When its condition is then false the plugin does
nothing for the request; no less specific instance takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from plugin_emulator.conditions import Condition, ConditionFailed, EntityFacts, Facts, PluginFacts
from plugin_emulator.gateway.entities import PluginInstance, Route, Service
from plugin_emulator.gateway.gateway_plugins import KEY_AUTH
from plugin_emulator.metering_plugins import BY_NAME as METERING

#: Kong's priorities of the plugins: the higher one runs first.
PRIORITIES = {KEY_AUTH: 1250, **{name: plugin.priority for name, plugin in METERING.items()}}
KEPT_OUT = ("FLT-6", "the condition is false")
FAILED = ("CND-3", "the condition could not be evaluated")


@dataclass(frozen=True, slots=True, eq=False)
class RouteConditions:
    """The conditions that matter for the requests of one Route, or for those without a Route.

    ``key_auth`` is the key-auth instance when it has a condition; ``metering`` maps ids of metering instances to
    their names and conditions. ``plugins`` says how the configured plugins stand to the Route before key-auth has
    run, ``plugins_authenticated`` after it.
    """

    key_auth: PluginInstance | None
    metering: Mapping[str, tuple[str, Condition]]
    route: EntityFacts | None
    service: EntityFacts | None
    plugins: Mapping[str, PluginFacts]
    plugins_authenticated: Mapping[str, PluginFacts]

    @classmethod
    def of(
        cls,
        route: Route | None,
        metering: Iterable[str],
        key_auth: PluginInstance | None,
        instances: Mapping[str, PluginInstance],
    ) -> RouteConditions | None:
        """Return the conditions for a Route on which these instances may run; None when there is none.

        ``metering`` has ids of the enabled ``instances``.
        """
        candidates = ((id_, instances[id_]) for id_ in metering)
        found = {id_: (each.name, each.condition) for id_, each in candidates if each.condition is not None}
        if key_auth is not None and key_auth.condition is None:
            key_auth = None
        if not found and key_auth is None:
            return None
        service = route.service if route else None
        plugins = _plugins(route, service, instances.values())
        ran = plugins.get("key_auth")
        authenticated = plugins if ran is None else {**plugins, "key_auth": replace(ran, access_has_executed=True)}
        return cls(key_auth, found, _entity(route), _entity(service), plugins, authenticated)


class Admission:
    """What the conditions say of one request; each is asked at most once.

    ``facts`` gives the request as it stands when it is called, ``report`` is told name, id and failure of an instance
    whose condition fails.
    """

    __slots__ = ("_facts", "_kept_out", "_report", "_route", "key_auth_ran", "skips_key_auth")

    def __init__(
        self,
        route: RouteConditions,
        facts: Callable[[RouteConditions, Mapping[str, PluginFacts]], Facts],
        report: Callable[[str, str, str], None],
    ) -> None:
        self._route = route
        self._facts = facts
        self._report = report
        #: by id of a metering instance that was asked: why it does nothing
        self._kept_out: dict[str, tuple[str, str] | None] = {}
        self.skips_key_auth = False
        #: set by whoever runs key-auth
        self.key_auth_ran = False

    @property
    def answers(self) -> Mapping[str, tuple[str, str] | None]:
        """By id of each metering instance that was asked: rule and reason why it does nothing; None when it runs."""
        return self._kept_out

    def ask_key_auth(self) -> bool:
        """Find out whether key-auth runs; return False when its condition fails."""
        instance = self._route.key_auth
        if instance is not None and instance.condition is not None:
            reason = self._ask(instance.condition, instance.name, instance.id)
            self.skips_key_auth = reason is not None
            return reason is not FAILED
        return True

    def ask_metering(self, instance: str) -> bool:
        """Find out whether this metering instance (its id) runs; return False when its condition fails."""
        return self.kept_out(instance) is not FAILED

    def kept_out(self, instance: str) -> tuple[str, str] | None:
        """Return rule and reason why this metering instance does nothing; None when it runs.

        A request that was answered before the metering plugin's turn, such as a rejected one, is judged when it is
        logged: with the facts of that moment.
        """
        if instance not in self._kept_out:
            name, condition = self._route.metering.get(instance, ("", None))
            self._kept_out[instance] = None if condition is None else self._ask(condition, name, instance)
        return self._kept_out[instance]

    def _ask(self, condition: Condition, name: str, instance: str) -> tuple[str, str] | None:
        route = self._route
        plugins = route.plugins_authenticated if self.key_auth_ran else route.plugins
        try:
            return None if condition.holds(self._facts(route, plugins)) else KEPT_OUT
        except ConditionFailed as failure:
            self._report(name, instance, str(failure))
            return FAILED


def _entity(entity: Route | Service | None) -> EntityFacts | None:
    return EntityFacts(entity.id, entity.name, entity.tags) if entity else None


def _plugins(
    route: Route | None, service: Service | None, instances: Iterable[PluginInstance]
) -> dict[str, PluginFacts]:
    plugins: dict[str, PluginFacts] = {}
    for instance in instances:
        name = instance.name.replace("-", "_")
        known = plugins.get(name)
        matched = instance.route in (None, route) and instance.service in (None, service)
        matched = matched or (known is not None and known.is_matched)
        plugins[name] = PluginFacts(matched, PRIORITIES[instance.name], access_has_executed=False)
    return plugins
