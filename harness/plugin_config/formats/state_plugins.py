"""Plugin entities as the ``plugins`` of a state file, the form that decK and DB-less Kong have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from plugin_emulator.documents import Pointer

from ..entity import DEFAULT_PROTOCOLS, SCOPE_KINDS, PluginEntity, Reference, Value
from .format import CannotExpress
from .yaml_text import NotInYaml, yaml_text

#: What stands for a scope that the reader is to fill in, as on the vendor's pages.
SCOPE_PLACEHOLDERS = {kind: f"{kind}Name|Id" for kind in SCOPE_KINDS}

#: Says how a Reference is written, given the entity and the place in its ``config``. May raise CannotExpress.
WriteReference = Callable[[PluginEntity, Pointer, Reference], str]


def state_file_text(
    format_name: str,
    head: dict[str, object],
    entities: Sequence[PluginEntity],
    write_reference: WriteReference,
) -> str:
    """Return the text of a state file: the members of ``head``, then the plugins.

    Raises CannotExpress, which names the field, for text that YAML cannot hold.
    """
    plugins = [_plugin(entity, write_reference) for entity in entities]
    try:
        return yaml_text({**head, "plugins": plugins})
    except NotInYaml as error:
        place = error.pointer[2:] or "config"
        raise CannotExpress(format_name, place, error.reason, "correct the value") from None


def _plugin(entity: PluginEntity, write_reference: WriteReference) -> dict[str, object]:
    """Return the plugin's item: what it is and where it applies, then its config; defaults are left out."""
    item: dict[str, object] = {"name": entity.name}
    if entity.id is not None:
        item["id"] = entity.id
    if entity.instance_name is not None:
        item["instance_name"] = entity.instance_name
    for kind, target in entity.scope.items():
        item[kind] = SCOPE_PLACEHOLDERS[kind] if target is None else target
    if not entity.enabled:
        item["enabled"] = False
    if set(entity.protocols) != set(DEFAULT_PROTOCOLS):
        item["protocols"] = list(entity.protocols)
    if entity.tags:
        item["tags"] = list(entity.tags)
    if entity.condition is not None:
        item["condition"] = entity.condition
    if entity.ordering is not None:
        item["ordering"] = entity.ordering
    item["config"] = _written(entity.config, (), entity, write_reference)
    return item


def _written(value: Value, at: Pointer, entity: PluginEntity, write_reference: WriteReference) -> object:
    if isinstance(value, Reference):
        return write_reference(entity, at, value)
    if isinstance(value, dict):
        return {name: _written(part, (*at, name), entity, write_reference) for name, part in value.items()}
    if isinstance(value, list):
        return [_written(part, (*at, index), entity, write_reference) for index, part in enumerate(value)]
    return value
