"""Kong Operator with Konnect: a KongPlugin, and a KongPluginBinding that says what it runs for.

The operator makes of a bound KongPlugin what its ``config`` says, and reads neither ``configFrom`` nor
``configPatches`` nor ``ordering`` for it. So what is filled in is patched into ``config`` in the cluster.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plugin_emulator.documents import pointer_text

from ..entity import PluginEntity, Reference, is_uuid
from .format import CannotExpress, Limit, Names, OutputFile, RenderOptions
from .kong_plugin_object import (
    CONDITION_LIMIT,
    GROUP,
    ID_LIMIT,
    PROTOCOLS_LIMIT,
    TAGS_ANNOTATION,
    kong_plugin,
    manifest_text,
    refuse_missing_fields,
    tags_annotation,
)
from .kubernetes_names import is_object_name, plugin_object_name, refuse_namespace, refuse_target_names
from .kubernetes_secrets import TakenOut, take_out
from .kubernetes_shell import FUNCTIONS, comment, given, json_pieces, names_in_words, printed, quoted

MANIFEST = "kong-plugin-binding.yaml"
#: Says which variables are patched into ``config``: a JSON object, from path to variable.
FILLED_IN_ANNOTATION = "kong-metering/filled-in"
SCOPE_PLACEHOLDERS = {"service": "SERVICE_NAME", "route": "ROUTE_NAME", "consumer": "CONSUMER_NAME"}
CONTROL_PLANE_PLACEHOLDER = "CONTROL_PLANE_NAME"

_KONNECT = {"service": ("KongService", GROUP), "route": ("KongRoute", GROUP)}
#: What stands for a route, by ``RenderOptions.route_kind``. A Service goes with these, a KongService does not.
_IN_CLUSTER = {"httproute": ("HTTPRoute", "gateway.networking.k8s.io"), "ingress": ("Ingress", "networking.k8s.io")}
_ORDERING_LIMIT = Limit("ordering", "the operator does not pass it on to Konnect")


@dataclass(frozen=True, slots=True)
class KongOperator:
    """Writes pairs of KongPlugin and KongPluginBinding."""

    name: str = "kong-operator"
    title: str = "Kong Operator manifest (KongPluginBinding)"
    limits: Sequence[Limit] = (CONDITION_LIMIT, ID_LIMIT, PROTOCOLS_LIMIT, _ORDERING_LIMIT)

    def render(self, entities: Sequence[PluginEntity], options: RenderOptions) -> list[OutputFile]:
        """Return ``kong-plugin-binding.yaml``.

        Raises CannotExpress for a field that does not reach Konnect this way, and for names that Kubernetes does
        not take.
        """
        refuse_namespace(self.name, options.namespace)
        self._refuse_control_plane(options.control_plane)
        names = Names()
        documents: list[dict[str, Any]] = []
        commands: list[str] = []
        filled_in: list[Reference] = []
        for entity in entities:
            refuse_missing_fields(self.name, entity)
            refuse_target_names(self.name, entity)
            if entity.ordering is not None:
                raise CannotExpress(self.name, "ordering", _ORDERING_LIMIT.reason, "leave it out")
            name = names.unique(plugin_object_name(entity))
            config, taken_out = take_out(entity.config)
            documents.append(self._plugin(entity, name, options, config, taken_out))
            documents.append(_binding(entity, name, options))
            if taken_out:
                commands.append(_patch_command(name, options, taken_out))
                filled_in += [item.value for item in taken_out if isinstance(item.value, Reference)]
        return [OutputFile(MANIFEST, _steps(commands, filled_in) + manifest_text(self.name, documents))]

    def _refuse_control_plane(self, name: str | None) -> None:
        if name is not None and (is_uuid(name) or not is_object_name(name)):
            reason = f"{name!r} is not the name of a KonnectGatewayControlPlane object"
            raise CannotExpress(self.name, "control_plane", reason, "give the object's name, not Konnect's id")

    def _plugin(
        self,
        entity: PluginEntity,
        name: str,
        options: RenderOptions,
        config: dict[str, Any],
        taken_out: Sequence[TakenOut],
    ) -> dict[str, Any]:
        metadata: dict[str, Any] = {"name": name, "namespace": options.namespace}
        annotations = {}
        if entity.tags:
            annotations[TAGS_ANNOTATION] = tags_annotation(self.name, entity)
        if taken_out:
            variables = {
                pointer_text(item.pointer): item.value.name for item in taken_out if isinstance(item.value, Reference)
            }
            annotations[FILLED_IN_ANNOTATION] = json.dumps(variables)
        if annotations:
            metadata["annotations"] = annotations
        return kong_plugin("KongPlugin", metadata, entity, {"config": config})


FORMAT = KongOperator()


def _binding(entity: PluginEntity, name: str, options: RenderOptions) -> dict[str, Any]:
    spec: dict[str, Any] = {"pluginRef": {"kind": "KongPlugin", "name": name}}
    if entity.scope:
        spec["scope"] = "OnlyTargets"
        spec["targets"] = {
            f"{kind}Ref": _target(kind, target, entity, options) for kind, target in entity.scope.items()
        }
    else:
        spec["scope"] = "GlobalInControlPlane"
    control_plane = {"name": options.control_plane or CONTROL_PLANE_PLACEHOLDER}
    spec["controlPlaneRef"] = {"type": "konnectNamespacedRef", "konnectNamespacedRef": control_plane}
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "KongPluginBinding",
        "metadata": {"name": name, "namespace": options.namespace},
        "spec": spec,
    }


def _target(kind: str, name: str | None, entity: PluginEntity, options: RenderOptions) -> dict[str, str]:
    name = name or SCOPE_PLACEHOLDERS[kind]
    if kind == "consumer":
        return {"name": name}
    object_kind, group = _KONNECT[kind]
    if options.route_kind is not None and "route" in entity.scope:
        object_kind, group = _IN_CLUSTER[options.route_kind] if kind == "route" else ("Service", "core")
    return {"group": group, "kind": object_kind, "name": name}


def _patch_command(name: str, options: RenderOptions, taken_out: Sequence[TakenOut]) -> str:
    operations = json_pieces(
        [{"op": "add", "path": pointer_text(("config", *item.pointer)), "value": item.value} for item in taken_out]
    )
    patch = f"kubectl patch -n {quoted(options.namespace)} kongplugin {quoted(name)} --type=json"
    return f"{given(operations)} && {printed(operations)} |\n  {patch} --patch-file=/dev/stdin"


def _steps(commands: Sequence[str], filled_in: Sequence[Reference]) -> str:
    if not commands:
        return ""
    names = list(dict.fromkeys(reference.name for reference in filled_in))
    prose = [
        f"Apply this file: kubectl apply -f {MANIFEST}",
        f"Then fill in the rest, from a shell in which {names_in_words(names)} {'are' if names[1:] else 'is'} set.",
        "The operator takes the settings of a bound plugin from config alone, not from Secrets: who may read the",
        "KongPlugin in the cluster sees them there. A vault reference, such as {vault://env/token}, avoids it.",
    ]
    return comment(prose, [FUNCTIONS, *commands])
