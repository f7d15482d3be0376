"""``terraform``: plugins as resources of Kong's Konnect provider, one file to stand beside a control plane's others.

What a plugin is limited to is a resource of the reader's own, which the file names but does not declare: the Service
``orders`` is ``konnect_gateway_service.orders``. Comments say which resources are taken for granted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from ..entity import PluginEntity, Reference, Value, references
from . import konnect_provider
from .format import CannotExpress, Names, OutputFile, RenderOptions
from .hcl_text import Attribute, Block, Comment, Entry, Expression, NotInHcl, hcl_text, is_identifier
from .konnect_provider import is_literal_id, typed_resource

FILE_NAME = "main.tf"
_TOKEN = Reference("KONNECT_TOKEN")
_CONTROL_PLANE = "konnect_gateway_control_plane.my_konnect_cp"
_KINDS = {"service": "Service", "route": "Route", "consumer": "Consumer"}
# Terraform keeps these names of variables for itself.
_RESERVED = frozenset(("count", "depends_on", "for_each", "lifecycle", "locals", "providers", "source", "version"))


class Terraform:
    """A Terraform configuration: provider, resources, and a variable for each value filled in at run time."""

    name = "terraform"
    title = "Terraform configuration for Kong's Konnect provider"
    limits = konnect_provider.LIMITS

    def render(self, entities: Sequence[PluginEntity], options: RenderOptions) -> list[OutputFile]:
        """Return ``main.tf``.

        As documented, the token of Konnect stands where a variable should, there are no comments, and only the last
        variable is declared. Raises CannotExpress, also for text that Terraform would change (see ``hcl_text``) and
        for names that are no identifiers and do not plainly become one.
        """
        targets = _Targets()
        names = Names()
        resources: list[Entry] = []
        told: set[str] = set()
        for entity in entities:
            block, granted = _resource(entity, options, targets, names)
            if not options.as_documented:
                resources += [Comment(line) for line in granted if line not in told]
                told.update(granted)
            resources.append(block)
        variables = _variables(_used(entities, options))
        entries = [
            *_provider(options),
            *resources,
            *(variables[-1:] if options.as_documented else variables),
        ]
        try:
            return [OutputFile(FILE_NAME, hcl_text(entries))]
        except NotInHcl as error:
            place = _place(error)
            raise CannotExpress(self.name, place, error.reason, "change it, or use another format") from None


FORMAT = Terraform()


def _provider(options: RenderOptions) -> list[Entry]:
    token: object = "$KONNECT_TOKEN" if options.as_documented else _expression(_TOKEN)
    source = Attribute("konnect", {"source": konnect_provider.SOURCE})
    return [
        Block("terraform", (), [Block("required_providers", (), [source])]),
        Block(
            "provider",
            ("konnect",),
            [
                Attribute("personal_access_token", token),
                Attribute("server_url", konnect_provider.server_url(options, FORMAT.name)),
            ],
        ),
    ]


def _resource(
    entity: PluginEntity, options: RenderOptions, targets: _Targets, names: Names
) -> tuple[Block, list[str]]:
    """Return the resource, and a line of text for each other resource that it refers to."""
    ending = typed_resource(entity)
    kind = "konnect_gateway_custom_plugin" if ending is None else f"konnect_gateway_plugin_{ending}"
    granted: list[str] = []
    body: list[Entry] = [
        Attribute(name, _with_expressions(value))
        for name, value in konnect_provider.fields_before_scope(entity, FORMAT.name).items()
    ]
    if entity.id is not None:
        body.append(Attribute("id", entity.id))
    if options.control_plane is None:
        granted.append(f"{_CONTROL_PLANE} is the control plane.")
    control_plane = options.control_plane or Expression(f"{_CONTROL_PLANE}.id")
    body.append(Attribute("control_plane_id", control_plane))
    for scope, target in entity.scope.items():
        if is_literal_id(target):
            body.append(Attribute(scope, {"id": target}))
            continue
        address = targets.address(scope, target)
        called = "it is limited to" if target is None else f"named {json.dumps(target)}"
        granted.append(f"{address} is the {_KINDS[scope]} {called}.")
        body.append(Attribute(scope, {"id": Expression(f"{address}.id")}))
    name = names.unique(konnect_provider.snake_name(entity), "_")
    return Block("resource", (kind, name), body), granted


class _Targets:
    """The resources that stand for the Services, Routes and Consumers of one output."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def address(self, scope: str, target: str | None) -> str:
        """Return the address of the resource that stands for ``target``.

        A name that is an identifier names the resource. Any other becomes one by ``_`` in place of what an
        identifier cannot hold, unless that makes two names one: then the plugin would go to the wrong entity. Raises
        CannotExpress.
        """
        if target is None:
            return f"konnect_gateway_{scope}.my_{scope}"
        address = f"konnect_gateway_{scope}.{_identifier(scope, target)}"
        if self._names.setdefault(address, target) != target:
            reason = f"{json.dumps(self._names[address])} and {json.dumps(target)} both become {address}"
            raise CannotExpress(FORMAT.name, f"scope.{scope}", reason, "give the id in place of the name")
        return address


def _identifier(scope: str, target: str) -> str:
    identifier = target if is_identifier(target) else re.sub(r"[ ./:@+~-]", "_", target)
    if identifier[:1].isdigit():
        identifier = f"_{identifier}"
    if not is_identifier(identifier) or not identifier.strip("_"):
        reason = f"{json.dumps(target)} does not become the name of a Terraform resource"
        raise CannotExpress(FORMAT.name, f"scope.{scope}", reason, "give the id in place of the name")
    return identifier


def _used(entities: Sequence[PluginEntity], options: RenderOptions) -> Iterator[tuple[str, Reference]]:
    """Yield the references that are to be declared, each with the field it fills in."""
    if not options.as_documented:
        yield "personal_access_token", _TOKEN
    for entity in entities:
        for at, reference in references(entity.config):
            yield ".".join(map(str, ("config", *at))), reference


def _variables(used: Iterator[tuple[str, Reference]]) -> list[Block]:
    """Return a declaration of each variable; one that is secret in any place is sensitive."""
    secret: dict[str, bool] = {}
    for field, reference in used:
        name = reference.name.lower()
        if name in _RESERVED:
            reason = f"Terraform allows no variable named {name}"
            raise CannotExpress(FORMAT.name, field, reason, "give the variable another name")
        secret[name] = secret.get(name, False) or reference.secret
    return [_variable(name, sensitive) for name, sensitive in secret.items()]


def _variable(name: str, sensitive: bool) -> Block:
    marks = [Attribute("sensitive", True)] if sensitive else []
    return Block("variable", (name,), [Attribute("type", Expression("string")), *marks])


def _expression(reference: Reference) -> Expression:
    return Expression(f"var.{reference.name.lower()}")


def _with_expressions(value: Value) -> object:
    if isinstance(value, Reference):
        return _expression(value)
    if isinstance(value, dict):
        return {name: _with_expressions(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_expressions(part) for part in value]
    return value


def _place(error: NotInHcl) -> str:
    """Return the field in which ``error`` is, without the block and its labels that its pointer begins with."""
    labels = {"resource": 2, "provider": 1}
    return ".".join(map(str, error.pointer[1 + labels[str(error.pointer[0])] :]))
