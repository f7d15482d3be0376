"""Why no instance of a metering plugin runs for a request (SPEC FLT-1, FLT-3, FLT-7).

Of the instances there are, the one that came nearest is named: fewest parts of its scope do not fit.
"""

from __future__ import annotations

from collections.abc import Iterable

from plugin_emulator.gateway.entities import PluginInstance, Route
from plugin_emulator.journal import Named, PassedOver


def why_none_runs(
    plugin: str, instances: Iterable[PluginInstance], route: Route | None, consumer: Named | None, *, anonymous: bool
) -> PassedOver:
    """Return the reason why none of ``instances``, all there are of ``plugin``, runs for a request.

    ``consumer`` is who it was authenticated as, by key-auth's stand-in if ``anonymous``.
    """
    nearest = min(instances, key=lambda each: len(_misfits(each, route, consumer, anonymous=anonymous)), default=None)
    if nearest is None:
        return PassedOver(plugin, "FLT-1", f"no {plugin} plugin is configured")
    name = f"{plugin} plugin {nearest.instance_name or nearest.id}"
    misfits = _misfits(nearest, route, consumer, anonymous=anonymous)
    if not misfits:
        return PassedOver(plugin, "FLT-3", f"the {name} is switched off (enabled: false)", nearest.id)
    if route is None:
        rule, here = "FLT-7", "no Route matched the request, so only a global plugin would run"
    else:
        rule, here = "FLT-1", "no plugin's scope fits the request"
    off = " and is switched off" if not nearest.enabled else ""
    return PassedOver(plugin, rule, f"{here}: the {name} is {' and '.join(misfits)}{off}", nearest.id)


def fits(instance: PluginInstance, route: Route | None, consumer: Named | None) -> bool:
    """Return whether the scope of ``instance`` fits a request."""
    return not _misfits(instance, route, consumer, anonymous=False)


def _misfits(
    instance: PluginInstance, route: Route | None, consumer: Named | None, *, anonymous: bool
) -> tuple[str, ...]:
    """Return the parts of an instance's scope that do not fit, in words, each beside what the request has."""
    misfits = []
    if instance.route is not None and (route is None or instance.route.id != route.id):
        there = f", the request matched Route {_called(route)}" if route else ""
        misfits.append(f"on Route {_called(instance.route)}{there}")
    service = route.service if route else None
    if instance.service is not None and (service is None or instance.service.id != service.id):
        there = f", the request's Service is {_called(service)}" if service else ""
        misfits.append(f"on Service {_called(instance.service)}{there}")
    if instance.consumer is not None and (consumer is None or instance.consumer.id != consumer.id):
        if consumer is None:
            there = "the request has no Consumer"
        else:
            there = f"the request's is {'the anonymous ' if anonymous else ''}{_called(consumer)}"
        owner = instance.consumer
        misfits.append(f"for Consumer {owner.username or owner.custom_id or owner.id!r}, {there}")
    return tuple(misfits)


def _called(entity: object) -> str:
    """Return what an operator calls an entity."""
    return repr(getattr(entity, "name", None) or getattr(entity, "id", ""))
