"""Kong's Konnect provider, which Terraform and Pulumi share: its resources for plugins, and what these hold.

Source: the provider's reference (``gateway_plugin_metering_and_billing``, ``gateway_custom_plugin``). A plugin that
is bundled with the gateway has a resource of its own, whose ``config`` has typed fields; any other plugin is a
custom plugin, whose ``config`` is free. A custom plugin's resource has neither ``condition`` nor a settable ``id``.
Fields that a new gateway version brings need a provider of its time: an older one refuses them by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

from plugin_emulator.documents import Pointer

from ..entity import DEFAULT_PROTOCOLS, MixedText, PluginEntity, Value, is_uuid
from ..plugin_kinds import plugin_kind
from .format import CannotExpress, Limit, RenderOptions

SOURCE = "kong/konnect"
#: The region of the vendor's examples.
DEFAULT_REGION = "us"

LIMITS: Sequence[Limit] = (
    Limit("condition", "a custom plugin's resource (amberflo) has no condition"),
    Limit("id", "a custom plugin's resource (amberflo) takes no id"),
)

#: The entity's fields that a resource holds under the same name and in the same shape.
Fields: TypeAlias = "dict[str, Value]"


def server_url(options: RenderOptions, format_name: str) -> str:
    """Return the URL of Konnect's API in the region chosen. Raises CannotExpress for a region that is none.

    With a slash in it, the access token would go to another host.
    """
    if options.region is not None and not re.fullmatch(r"[A-Za-z0-9-]+", options.region):
        raise CannotExpress(format_name, "region", "it is no part of a host's name", "give one such as us or eu")
    return f"https://{options.region or DEFAULT_REGION}.api.konghq.com/"


def typed_resource(entity: PluginEntity) -> str | None:
    """Return the ending of the resource that is the plugin's own; None when it is a custom plugin."""
    kind = plugin_kind(entity.name)
    return None if kind is None else kind.typed_resource


def snake_name(entity: PluginEntity) -> str:
    """Return what to call the resource, as the vendor's pages do: ``my_metering_and_billing``."""
    return "my_" + re.sub(r"[^A-Za-z0-9]", "_", entity.name)


def fields_before_scope(entity: PluginEntity, format_name: str) -> Fields:
    """Return ``enabled``, ``config``, ``tags`` and what is not at its default, in the order of the vendor's pages.

    A custom plugin's ``name`` comes first. Raises CannotExpress for what the resource does not have.
    """
    custom = typed_resource(entity) is None
    if custom:
        for field in ("condition", "id"):
            if getattr(entity, field) is not None:
                reason = f"the resource of a custom plugin, which {entity.name} is, has no {field}"
                raise CannotExpress(format_name, field, reason, "leave it out, or use another format")
    _refuse_mixed_text(entity.config, ("config",), format_name)
    fields: Fields = {"name": entity.name} if custom else {}
    fields |= {"enabled": entity.enabled, "config": entity.config, "tags": list(entity.tags)}
    if entity.instance_name is not None:
        fields["instance_name"] = entity.instance_name
    if set(entity.protocols) != set(DEFAULT_PROTOCOLS):
        fields["protocols"] = list(entity.protocols)
    if entity.condition is not None:
        fields["condition"] = entity.condition
    if entity.ordering is not None:
        fields["ordering"] = entity.ordering
    return fields


def is_literal_id(target: str | None) -> bool:
    """Return whether a scope's target is an id that can stand in the resource as it is."""
    return target is not None and is_uuid(target)


def _refuse_mixed_text(value: Value, at: Pointer, format_name: str) -> None:
    if isinstance(value, MixedText):
        reason = "it is put together from text and a reference of another tool"
        raise CannotExpress(format_name, at, reason, "give the value itself, or one variable for all of it")
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        _refuse_mixed_text(part, (*at, name), format_name)
