"""``pulumi``: plugins as a Pulumi program in Python, with the package Pulumi generates from Kong's Konnect provider.

Keys inside ``config`` are in snake case, as the examples in Pulumi's registry have them for Python and as the
package's type hints declare; only the examples in TypeScript are in camel case. Pulumi's SDK turns the declared
names into the provider's camel case and passes any other key on as it is, so at run time it takes either.
A custom plugin's ``config`` has no declared names: every key reaches the gateway as it is written.

Lists have plural names throughout: ``access``, inside ``ordering``, is ``accesses``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..entity import PluginEntity, Reference, Value
from . import konnect_provider
from .format import CannotExpress, Names, OutputFile, RenderOptions
from .konnect_provider import is_literal_id, typed_resource
from .python_text import Code, NotInPython, call, string

FILE_NAME = "__main__.py"
_TOKEN = Reference("KONNECT_TOKEN")
_CONTROL_PLANE = Reference("CONTROL_PLANE_ID", secret=False)
_EXACT_INTEGERS = 2**53  # up to which Pulumi, whose numbers are doubles, keeps every integer


class Pulumi:
    """A program whose settings, in the stack's configuration, are the values filled in at run time."""

    name = "pulumi"
    title = "Pulumi program in Python for Kong's Konnect provider"
    limits = konnect_provider.LIMITS

    def render(self, entities: Sequence[PluginEntity], options: RenderOptions) -> list[OutputFile]:
        """Return ``__main__.py``.

        A scope's name is no id: the program takes the id from a setting named after it (``ordersServiceId``).
        Raises CannotExpress, also for names and variables that would share a setting.
        """
        settings = _Settings()
        names = Names()
        calls = [_provider(options, settings)]
        try:
            calls += [_resource(entity, options, settings, names) for entity in entities]
        except NotInPython as error:
            place = ".".join(map(str, error.pointer))
            raise CannotExpress(self.name, place, error.reason, "change it, or use another format") from None
        head = [
            *settings.instructions(),
            "import pulumi",
            "import pulumi_konnect as konnect",
            "",
            "config = pulumi.Config()",
        ]
        return [OutputFile(FILE_NAME, "\n\n".join("\n".join(part) for part in (head, *calls)) + "\n")]


FORMAT = Pulumi()


@dataclass(frozen=True, slots=True)
class _Settings:
    """The stack's settings that a program asks for: by key, what each is for and whether it is secret."""

    _found: dict[str, tuple[str, bool]] = field(default_factory=dict)

    def variable(self, reference: Reference, place: str) -> Code:
        """Return the expression for a value that is filled in. Raises CannotExpress."""
        return self._code(_camel(reference.name.split("_")), reference.name, reference.secret, place)

    def target(self, scope: str, target: str | None) -> Code:
        """Return the expression for the id of what a plugin is limited to. Raises CannotExpress."""
        place = f"scope.{scope}"
        if target is None:
            return self._code(f"{scope}Id", f"id of the {scope}", False, place)
        words = re.findall(r"[A-Za-z0-9]+", target)
        if not re.fullmatch(r"[A-Za-z0-9 ./:@+~_-]+", target) or not words:
            reason = f"{json.dumps(target)} does not become the name of a setting"
            raise CannotExpress(FORMAT.name, place, reason, "give the id in place of the name")
        key = _camel([*words, scope, "Id"])
        return self._code(key, f"id of the {scope} {json.dumps(target)}", False, place)

    def instructions(self) -> list[str]:
        """Return comments that say what to run before the program."""
        lines = ["# Before the first run:", f"#   pulumi package add terraform-provider {konnect_provider.SOURCE}"]
        for key, (meaning, secret) in self._found.items():
            lines.append(f"#   pulumi config set {'--secret ' if secret else ''}{key}  # {meaning}")
        return lines

    def _code(self, key: str, meaning: str, secret: bool, place: str) -> Code:
        before, was_secret = self._found.setdefault(key, (meaning, secret))
        if before != meaning:
            reason = f"{before} and {meaning} would share the setting {key}"
            raise CannotExpress(FORMAT.name, place, reason, "give one another name, or its id")
        self._found[key] = (meaning, secret or was_secret)
        return Code(f"config.require{'_secret' if secret else ''}({string(key)})")


def _camel(words: Sequence[str]) -> str:
    """Return ``AUTH``, ``TOKEN`` as ``authToken``. A word in mixed case keeps its inner capitals."""
    lowered = [word.lower() if word.isupper() else word for word in words if word]
    first, *rest = lowered or ["_"]
    return first[:1].lower() + first[1:] + "".join(word[:1].upper() + word[1:] for word in rest)


def _provider(options: RenderOptions, settings: _Settings) -> list[str]:
    token = settings.variable(_TOKEN, "personal_access_token")
    named = [("personal_access_token", token), ("server_url", konnect_provider.server_url(options, FORMAT.name))]
    return _assigned("provider", "konnect.Provider", "konnect", named)


def _resource(entity: PluginEntity, options: RenderOptions, settings: _Settings, names: Names) -> list[str]:
    ending = typed_resource(entity)
    fields = konnect_provider.fields_before_scope(entity, FORMAT.name)
    named = [(name, _with_code(value, (name,), settings)) for name, value in fields.items() if name != "ordering"]
    if entity.ordering is not None:
        ordering = {
            when: {"accesses" if phase == "access" else phase: plugins for phase, plugins in phases.items()}
            for when, phases in entity.ordering.items()
        }
        named.append(("ordering", ordering))
    if entity.id is not None:
        named.append((f"gateway_plugin_{ending}_id", entity.id))
    control_plane = options.control_plane or settings.variable(_CONTROL_PLANE, "control_plane_id")
    named.append(("control_plane_id", control_plane))
    for scope, target in entity.scope.items():
        named.append((scope, {"id": target if is_literal_id(target) else settings.target(scope, target)}))
    named.append(("opts", Code("pulumi.ResourceOptions(provider=provider)")))
    variable = names.unique(konnect_provider.snake_name(entity), "_")
    words = ["custom", "plugin"] if ending is None else ["plugin", *ending.split("_")]
    return _assigned(variable, "konnect.Gateway" + "".join(map(str.capitalize, words)), variable, named)


def _assigned(variable: str, function: str, name: str, named: Sequence[tuple[str, object]]) -> list[str]:
    first, *rest = call(function, [name], named)
    return [f"{variable} = {first}", *rest]


def _with_code(value: Value, at: tuple[str | int, ...], settings: _Settings) -> object:
    if isinstance(value, Reference):
        return settings.variable(value, ".".join(map(str, at)))
    if isinstance(value, dict):
        return {name: _with_code(part, (*at, name), settings) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_code(part, (*at, index), settings) for index, part in enumerate(value)]
    if isinstance(value, int) and not -_EXACT_INTEGERS <= value <= _EXACT_INTEGERS:
        reason = "Pulumi keeps no integer of more than 53 bits exactly"
        raise CannotExpress(FORMAT.name, at, reason, "change it, or use another format")
    return value
