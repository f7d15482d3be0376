"""The KongPlugin and KongClusterPlugin objects, as far as they are the same to every controller.

Fields are those of the CRDs of configuration.konghq.com/v1 (``schemas/kubernetes/``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..entity import DEFAULT_PROTOCOLS, PluginEntity
from .format import CannotExpress, Limit
from .yaml_text import NotInYaml, yaml_text

API_VERSION = "configuration.konghq.com/v1"
GROUP = "configuration.konghq.com"
#: An operator reads only Secrets that have this label; to an ingress controller it does not matter.
SECRET_LABEL = "konghq.com/secret"  # noqa: S105  # no secret but a label's name
TAGS_ANNOTATION = "konghq.com/tags"

_PROTOCOLS = ("http", "https", "grpc", "grpcs", "tcp", "tls", "udp")

CONDITION_LIMIT = Limit("condition", "a KongPlugin has no field for it")
ID_LIMIT = Limit("id", "the controller gives ids itself")
PROTOCOLS_LIMIT = Limit("protocols", "a KongPlugin knows no tls_passthrough, ws and wss")


def kong_plugin(
    kind: str,
    metadata: Mapping[str, Any],
    entity: PluginEntity,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the object of that ``kind``; ``settings`` are its config, configFrom and configPatches."""
    data: dict[str, Any] = {"apiVersion": API_VERSION, "kind": kind, "metadata": dict(metadata)}
    data.update(settings)
    data["plugin"] = entity.name
    if not entity.enabled:
        data["disabled"] = True
    if entity.instance_name is not None:
        data["instance_name"] = entity.instance_name
    if set(entity.protocols) != set(DEFAULT_PROTOCOLS):
        data["protocols"] = list(entity.protocols)
    if entity.ordering is not None:
        data["ordering"] = entity.ordering
    return data


def tags_annotation(format_name: str, entity: PluginEntity) -> str:
    """Return the tags as the annotation has them. Raises CannotExpress for one that it would not give back."""
    for tag in entity.tags:
        if not tag or "," in tag or tag != tag.strip():
            reason = "the annotation konghq.com/tags separates tags with commas"
            raise CannotExpress(format_name, "tags", reason, "use tags without commas and blanks around them")
    return ",".join(entity.tags)


def refuse_missing_fields(format_name: str, entity: PluginEntity) -> None:
    """Raise CannotExpress, naming the field, for what a KongPlugin has no field for."""
    if entity.condition is not None:
        advice = "leave it out, or use a format that has it, such as deck"
        raise CannotExpress(format_name, "condition", CONDITION_LIMIT.reason, advice)
    if entity.id is not None:
        raise CannotExpress(format_name, "id", ID_LIMIT.reason, "leave it out")
    strange = [name for name in entity.protocols if name not in _PROTOCOLS]
    if strange:
        reason = f"a KongPlugin does not know {', '.join(strange)}"
        raise CannotExpress(format_name, "protocols", reason, f"choose from {', '.join(_PROTOCOLS)}")


def manifest_text(format_name: str, documents: Sequence[Mapping[str, Any]]) -> str:
    """Return the documents as YAML, separated by ``---``. Raises CannotExpress for text that YAML cannot hold."""
    try:
        return "---\n".join(yaml_text(dict(document)) for document in documents)
    except NotInYaml as error:
        raise CannotExpress(format_name, error.pointer or "config", error.reason, "correct the value") from None
