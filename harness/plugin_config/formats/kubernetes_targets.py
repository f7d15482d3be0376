"""Attaching KongPlugins to what they are limited to: the commands, for objects that exist already."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from ..entity import PluginEntity
from .format import CannotExpress, RenderOptions
from .kong_plugin_object import GROUP
from .kubernetes_shell import quoted

PLUGINS_ANNOTATION = "konghq.com/plugins"
#: Kind of scope -> kubectl's words for the kinds of object that stand for it.
_KINDS = {"service": ("service",), "route": ("httproute", "ingress"), "consumer": ("kongconsumer",)}
_PLACEHOLDERS = {
    "service": "SERVICE_NAME",
    "httproute": "HTTPROUTE_NAME",
    "ingress": "INGRESS_NAME",
    "kongconsumer": "CONSUMER_NAME",
}
#: What one KongPlugin can be limited to: a consumer's and another object's annotation make a combination.
COMBINATIONS = ((), ("service",), ("route",), ("consumer",), ("service", "consumer"), ("route", "consumer"))


def refuse_combination(format_name: str, entity: PluginEntity) -> None:
    """Raise CannotExpress for a combination of scopes that annotations do not make."""
    if tuple(sorted(entity.scope)) not in {tuple(sorted(kinds)) for kinds in COMBINATIONS}:
        reason = f"annotations make no combination of {' and '.join(entity.scope)}"
        advice = "limit it to service or route, with or without consumer, or use kong-operator"
        raise CannotExpress(format_name, "scope", reason, advice)


def refuse_extension_ref(format_name: str, entity: PluginEntity, options: RenderOptions) -> None:
    """Raise CannotExpress when the entity cannot be attached by an HTTPRoute's ExtensionRef filter."""
    advice = "leave --extension-ref out"
    if tuple(entity.scope) != ("route",):
        reason = f"an ExtensionRef filter attaches to an HTTPRoute, and the scope is {entity.scope_text}"
        raise CannotExpress(format_name, "scope", reason, advice)
    if options.route_kind == "ingress":
        raise CannotExpress(format_name, "route_kind", "an Ingress has no ExtensionRef filter", advice)


def annotate_commands(named: Sequence[tuple[PluginEntity, str]], options: RenderOptions) -> list[str]:
    """Return the commands that annotate the targets of ``named``, entities with their objects' names.

    An object has one annotation for all its plugins, so those of the same object go into one command.
    """
    plugins: dict[tuple[str, str, int], list[str]] = {}
    for index, (entity, plugin) in enumerate(named):
        for kind, target in entity.scope.items():
            for word in _words(kind, options):
                # Each target that is yet to be filled in is one of its own.
                group = (word, target or _placeholder(word, options), -1 if target else index)
                plugins.setdefault(group, []).append(plugin)
    namespace = quoted(options.namespace)
    return [
        " ".join(filter(None, ("kubectl annotate -n", namespace, word, target, f"{PLUGINS_ANNOTATION}={value}")))
        for (word, target, _), names in plugins.items()
        for value in [",".join(names)]
    ]


def filter_commands(named: Iterable[tuple[PluginEntity, str]], options: RenderOptions) -> list[str]:
    """Return the commands that give the first rule of each HTTPRoute, which has no filters, its ExtensionRef."""
    filters: dict[tuple[str, int], list[dict[str, object]]] = {}
    for index, (entity, plugin) in enumerate(named):
        target = entity.scope["route"]
        group = (target or _PLACEHOLDERS["httproute"], -1 if target else index)
        filters.setdefault(group, []).append(extension_ref_filter(plugin))
    commands = []
    for (target, _), items in filters.items():
        place = "/spec/rules/0/filters"
        patch = [{"op": "test", "path": place, "value": None}, {"op": "add", "path": place, "value": items}]
        route = f"kubectl patch -n {quoted(options.namespace)} httproute {target} --type=json"
        commands.append(f"{route} -p {quoted(json.dumps(patch))}")
    return commands


def extension_ref_filter(plugin: str) -> dict[str, object]:
    """Return the filter of an HTTPRoute's rule that runs the KongPlugin of that name."""
    return {"type": "ExtensionRef", "extensionRef": {"group": GROUP, "kind": "KongPlugin", "name": plugin}}


def _words(kind: str, options: RenderOptions) -> Sequence[str]:
    if kind == "route" and options.route_kind is not None:
        return (options.route_kind,)
    return _KINDS[kind]


def _placeholder(word: str, options: RenderOptions) -> str:
    # The vendor's page leaves the name of a route out.
    return "" if options.as_documented and word in _KINDS["route"] else _PLACEHOLDERS[word]
