"""What the KongPlugins of a manifest are attached to, by the objects in the same manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..entity import Reference, Value
from .kong_operator import SCOPE_PLACEHOLDERS
from .kong_plugin_object import GROUP
from .kubernetes_objects import ManifestObject
from .kubernetes_targets import PLUGINS_ANNOTATION

#: Kinds of object that an annotation can attach a plugin to -> what they are to the gateway.
_SCOPE_OF = {
    **dict.fromkeys(("Service", "KongService", "KongServiceFacade"), "service"),
    **dict.fromkeys(("HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute"), "route"),
    **dict.fromkeys(("Ingress", "TCPIngress", "UDPIngress", "KongRoute"), "route"),
    "KongConsumer": "consumer",
    "KongConsumerGroup": "consumer_group",
}
_CONSUMERS = ("consumer", "consumer_group")


@dataclass(frozen=True, slots=True)
class Attachment:
    """What one instance of a plugin runs for: kind of scope -> name; empty for everything.

    ``lines`` says on which line each is said. A name that is a placeholder is a Reference.
    """

    scope: dict[str, Value]
    lines: dict[str, int]


def naming(objects: Sequence[ManifestObject]) -> dict[str, list[ManifestObject]]:
    """Return the objects that name a plugin, by the name: in the manifest's order, each once, of any namespace."""
    found: dict[str, list[ManifestObject]] = {}
    for item in objects:
        for name in dict.fromkeys(_plugin_names(item)):
            found.setdefault(name, []).append(item)
    return found


def _plugin_names(item: ManifestObject) -> Iterator[str]:
    names = [word.strip().rpartition(":")[2] for word in item.annotation(PLUGINS_ANNOTATION).split(",")]
    names += [_member(reference, "name") for _, reference in _extension_refs(item)]
    names.append(_member(_member(item.data.get("spec"), "pluginRef"), "name"))
    return (name for name in names if isinstance(name, str) and name)


def attachments(plugin: ManifestObject, objects: Sequence[ManifestObject]) -> list[Attachment]:
    """Return each instance that the objects make of ``plugin``; none when none of them runs it.

    ``objects`` are those that :func:`naming` has for its name, which is enough, or all of the manifest.

    A plugin that a consumer's annotation names runs for that consumer where it is attached besides, as Kong
    Ingress Controller combines them; each KongPluginBinding is an instance of its own.
    """
    found: list[Attachment] = []
    if plugin.kind == "KongClusterPlugin" and plugin.label("global") == "true":
        found.append(Attachment({}, {}))
    single: list[tuple[str, str, int]] = []
    for item in objects:
        if item.kind == "KongPluginBinding":
            found += _bindings(plugin, item)
        elif item.kind == "Gateway" and any(True for _ in _naming(plugin, item)):
            found.append(Attachment({}, {}))
        elif item.kind in _SCOPE_OF:
            single += [(_SCOPE_OF[item.kind], item.name, line) for line in _naming(plugin, item)]
    return found + _combined(single)


def _naming(plugin: ManifestObject, item: ManifestObject) -> Iterator[int]:
    """Yield the line on which ``item`` names the plugin, once at most."""
    for word in item.annotation(PLUGINS_ANNOTATION).split(","):
        namespace, colon, name = word.strip().rpartition(":")
        if item.may_mean(namespace if colon else item.namespace, name, plugin) or (
            plugin.kind == "KongClusterPlugin" and plugin.name == name
        ):
            yield item.line(("metadata", "annotations", PLUGINS_ANNOTATION))
            return
    for pointer, filter_ref in _extension_refs(item):
        if filter_ref.get("kind") == plugin.kind == "KongPlugin" and filter_ref.get("group") == GROUP:
            target = filter_ref.get("name")
            if isinstance(target, str) and item.may_mean(item.namespace, target, plugin):
                yield item.line(pointer)
                return


def _extension_refs(item: ManifestObject) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    for rule_index, rule in enumerate(_items(_member(item.data.get("spec"), "rules"))):
        for index, entry in enumerate(_items(_member(rule, "filters"))):
            reference = _member(entry, "extensionRef")
            if _member(entry, "type") == "ExtensionRef" and isinstance(reference, dict):
                yield ("spec", "rules", rule_index, "filters", index), reference


def _combined(single: Sequence[tuple[str, str, int]]) -> list[Attachment]:
    consumers = [one for one in single if one[0] in _CONSUMERS]
    others = [one for one in single if one[0] not in _CONSUMERS]
    if not (consumers and others):
        return [Attachment({kind: name}, {kind: line}) for kind, name, line in single]
    return [
        Attachment({kind: name, who: consumer}, {kind: line, who: consumer_line})
        for kind, name, line in others
        for who, consumer, consumer_line in consumers
    ]


def _bindings(plugin: ManifestObject, binding: ManifestObject) -> Iterator[Attachment]:
    spec = binding.data["spec"]
    reference = spec["pluginRef"]
    if (reference.get("kind") or "KongPlugin") != plugin.kind:
        return
    namespace = reference.get("namespace") or binding.namespace
    if plugin.kind == "KongPlugin" and not binding.may_mean(namespace, reference["name"], plugin):
        return
    if reference["name"] != plugin.name:
        return
    scope: dict[str, Value] = {}
    lines: dict[str, int] = {}
    for kind in ("service", "route", "consumer", "consumer_group"):
        member = "consumerGroupRef" if kind == "consumer_group" else f"{kind}Ref"
        target = (spec.get("targets") or {}).get(member)
        if target is not None:
            name = target["name"]
            placeholder = SCOPE_PLACEHOLDERS.get(kind)
            scope[kind] = Reference(name, secret=False) if name == placeholder else name
            lines[kind] = binding.line(("spec", "targets", member))
    yield Attachment(scope, lines)


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
