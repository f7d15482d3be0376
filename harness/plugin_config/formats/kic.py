"""Kong Ingress Controller: KongClusterPlugin for a global plugin, KongPlugin and an annotation for a limited one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..entity import PluginEntity, Reference, Value, references
from .format import Limit, Names, OutputFile, RenderOptions
from .kong_plugin_object import (
    CONDITION_LIMIT,
    ID_LIMIT,
    PROTOCOLS_LIMIT,
    TAGS_ANNOTATION,
    kong_plugin,
    manifest_text,
    refuse_missing_fields,
    tags_annotation,
)
from .kubernetes_names import plugin_object_name, refuse_namespace, refuse_target_names
from .kubernetes_secrets import SecretMaker, Settings, take_out
from .kubernetes_shell import FUNCTIONS, comment, names_in_words
from .kubernetes_targets import (
    annotate_commands,
    extension_ref_filter,
    filter_commands,
    refuse_combination,
    refuse_extension_ref,
)
from .yaml_text import Verbatim

MANIFEST = "kong-plugin.yaml"
SCRIPT = "kong-plugin.sh"

_Named = list[tuple[PluginEntity, str]]


@dataclass(frozen=True, slots=True)
class Kic:
    """Writes a manifest whose comments say what to do besides applying it, or the vendor's own script."""

    name: str = "kic"
    title: str = "Kong Ingress Controller manifest"
    limits: Sequence[Limit] = (
        CONDITION_LIMIT,
        ID_LIMIT,
        PROTOCOLS_LIMIT,
        Limit("scope", "annotations make no combination of service and route, and name no ids"),
    )

    def render(self, entities: Sequence[PluginEntity], options: RenderOptions) -> list[OutputFile]:
        """Return ``kong-plugin.yaml``, or ``kong-plugin.sh`` as documented.

        Raises CannotExpress for a field that a KongPlugin does not have, for a scope that annotations cannot make,
        and for names that Kubernetes does not take.
        """
        refuse_namespace(self.name, options.namespace)
        for entity in entities:
            refuse_missing_fields(self.name, entity)
            refuse_target_names(self.name, entity)
            refuse_combination(self.name, entity)
            if options.extension_ref:
                refuse_extension_ref(self.name, entity, options)
            # In a form that leaves parts of it to a Secret, config is still to be text that YAML can hold.
            manifest_text(self.name, [{"config": take_out(entity.config)[0]}])
        names = Names()
        if options.as_documented:
            named = [(entity, names.unique(entity.name)) for entity in entities]
            return [OutputFile(SCRIPT, self._script(named, options))]
        named = [(entity, names.unique(plugin_object_name(entity))) for entity in entities]
        return [OutputFile(MANIFEST, self._manifest(named, options))]

    def _manifest(self, named: _Named, options: RenderOptions) -> str:
        maker = SecretMaker(options.namespace, Names())
        make = maker.whole if options.secret_form == "from" else maker.patches  # noqa: S105  # not a secret
        settings = [make(entity, name, not entity.scope) for entity, name in named]
        documents: list[dict[str, Any]] = []
        for (entity, name), own in zip(named, settings, strict=True):
            documents += [*own.secrets, self._object(entity, name, options, own.fields)]
        return _steps(settings, _attaching(named, options)) + manifest_text(self.name, documents)

    def _script(self, named: _Named, options: RenderOptions) -> str:
        mark = "VARIABLE_"  # stands for the dollar of a variable until the rest is escaped
        while any(mark in self._documented(entity, name, options, "") for entity, name in named):
            mark += "_"
        lines = [
            "#!/bin/sh",
            "# As on the vendor's page: what the variables hold goes straight into the KongPlugin, for all who may",
            "# read that to see. It must hold no single quote and no line break.",
            "set -e",
            *_set_or_exit([entity for entity, _ in named]),
        ]
        for entity, name in named:
            text = self._documented(entity, name, options, mark)
            # What echo makes of a backslash differs from shell to shell.
            command = "printf '%s\\n'" if "\\" in text else "echo"
            lines.append(f'{command} "\n{_in_double_quotes(text).replace(mark, "$")}" | kubectl apply -f -')
        return "\n".join([*lines, *_attach_commands(named, options)]) + "\n"

    def _documented(self, entity: PluginEntity, name: str, options: RenderOptions, mark: str) -> str:
        settings = {"config": _with_variables(entity.config, mark)}
        return manifest_text(self.name, [self._object(entity, name, options, settings)])

    def _object(
        self, entity: PluginEntity, name: str, options: RenderOptions, settings: dict[str, Any]
    ) -> dict[str, Any]:
        annotations = {
            "kubernetes.io/ingress.class": options.ingress_class,
            TAGS_ANNOTATION: tags_annotation(self.name, entity),
        }
        metadata: dict[str, Any] = {"name": name, "namespace": options.namespace, "annotations": annotations}
        if entity.scope:
            return kong_plugin("KongPlugin", metadata, entity, settings)
        metadata["labels"] = {"global": "true"}  # without it, it does nothing
        return kong_plugin("KongClusterPlugin", metadata, entity, settings)


FORMAT = Kic()


def _attach_commands(named: _Named, options: RenderOptions) -> list[str]:
    return filter_commands(named, options) if options.extension_ref else annotate_commands(named, options)


def _attaching(named: _Named, options: RenderOptions) -> str:
    """Return the comment that says how to attach the plugins; empty when all are global."""
    commands = _attach_commands(named, options)
    if not commands:
        return ""
    if not options.extension_ref:
        prose = [
            "Then attach it. An object that has the annotation already is to list all its plugins, separated by",
            "commas, with --overwrite.",
        ]
        if any("route" in entity.scope for entity, _ in named) and options.route_kind is None:
            prose.append("For a route, take the command that fits its kind.")
        return comment(prose, commands)
    prose = ["Then attach it: put this below filters of each rule of the HTTPRoute that is to be metered."]
    prose += [f"- {json.dumps(extension_ref_filter(name))}" for _, name in named]
    return comment([*prose, "For a first rule that has no filters yet, this does it:"], commands)


def _steps(settings: Sequence[Settings], attaching: str) -> str:
    """Return the comments at the top of a manifest: what to run before applying it, and what after."""
    commands = [command for own in settings for command in own.commands]
    filled_in = list(dict.fromkeys(reference for own in settings for reference in own.references))
    text = ""
    if commands:
        names = names_in_words([reference.name for reference in filled_in])
        prose = [f"First put into Secrets what is filled in, from a shell in which {names} {_are(filled_in)} set:"]
        open_ones = [reference for reference in filled_in if not reference.secret]
        if open_ones:
            names = names_in_words([reference.name for reference in open_ones])
            prose.append(f"({names} {_are(open_ones)} no secret, but a controller fills in nothing else.)")
        text += comment(prose, [FUNCTIONS, *commands])
    if commands or attaching:
        text += comment([f"{'Then apply' if commands else 'Apply'} this file: kubectl apply -f {MANIFEST}"])
    return text + attaching


def _are(items: Sequence[object]) -> str:
    return "are" if len(items) > 1 else "is"


# --------------------------------------------------------------------- the vendor's own form


def _set_or_exit(entities: Sequence[PluginEntity]) -> list[str]:
    """Return commands that end a script, saying why, unless all variables are set."""
    names = dict.fromkeys(reference.name for entity in entities for _, reference in references(entity.config))
    return [f'[ -n "${{{name}:+x}}" ] || {{ echo "{name} is not set" >&2; exit 1; }}' for name in names]


def _with_variables(value: Value, mark: str) -> Any:
    if isinstance(value, Reference):
        return Verbatim(mark + value.name)
    if isinstance(value, dict):
        return {name: _with_variables(part, mark) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_variables(part, mark) for part in value]
    return value


def _in_double_quotes(text: str) -> str:
    """Return ``text`` so that a shell, between double quotes, takes every character of it as it is."""
    return "".join(f"\\{character}" if character in '\\"$`' else character for character in text)
