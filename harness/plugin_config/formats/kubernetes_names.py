"""Names of Kubernetes objects (RFC 1123): which text is one, and making one for a plugin."""

from __future__ import annotations

import re

from ..entity import PluginEntity, is_uuid
from .format import CannotExpress

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
#: Leaves room for what is put behind a plugin's name: a number, and what a Secret is for.
_LONGEST_STEM = 63


def is_label(text: str) -> bool:
    """Return whether ``text`` is a name for a Namespace or a Service: at most 63 characters, no dots."""
    return re.fullmatch(_LABEL, text) is not None


def is_object_name(text: str) -> bool:
    """Return whether ``text`` is a name for an object of any other kind: a DNS name of at most 253 characters."""
    return _SUBDOMAIN.fullmatch(text) is not None


def name_from(text: str) -> str:
    """Return a name of at most 63 characters made from ``text``; ``plugin`` when nothing in it can be used."""
    kept = re.sub(r"[^a-z0-9]+", "-", text.lower())
    return kept[:_LONGEST_STEM].strip("-") or "plugin"


def plugin_object_name(entity: PluginEntity) -> str:
    """Return what the entity's object is to be called: after its instance, or its plugin and what that is limited to.

    ``metering-and-billing`` as on the vendor's pages, and ``metering-and-billing-orders`` for the Service
    ``orders``, so that one applied later does not replace another one.
    """
    targets = [name for name in entity.scope.values() if name is not None]
    return name_from(entity.instance_name or "-".join([entity.name, *targets]))


def refuse_target_names(format_name: str, entity: PluginEntity) -> None:
    """Raise CannotExpress when the scope is not made of names that Kubernetes objects can have."""
    for kind, name in entity.scope.items():
        if name is None:
            continue
        if is_uuid(name):
            reason = f"{kind}={name} is an id of the gateway's, and Kubernetes objects go by their names"
            raise CannotExpress(format_name, "scope", reason, f"give the name of the {kind}'s Kubernetes object")
        if not (is_label(name) if kind == "service" else is_object_name(name)):
            reason = f"{kind}={name!r} is no name of a Kubernetes object"
            raise CannotExpress(format_name, "scope", reason, "use lower-case letters, digits and '-'")


def refuse_namespace(format_name: str, namespace: str) -> None:
    """Raise CannotExpress when ``namespace`` is no name of a Namespace."""
    if not is_label(namespace):
        reason = f"{namespace!r} is no name of a Kubernetes namespace"
        raise CannotExpress(format_name, "namespace", reason, "use lower-case letters, digits and '-'")
