"""Shell scripts that create plugins with curl, for any API that takes the gateway's plugin entities.

The usual script keeps every value that may be secret out of the arguments of processes, which everyone on the
machine can read: they go through here-documents, file descriptors and the environment. What stands in a variable is
made a JSON string when the script runs, so that it cannot end the string it stands in (SPEC GEN-2, GEN-3).
The script as on the vendor's pages has none of this (SPEC GEN-5).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from plugin_emulator.documents import Pointer

from ..entity import DEFAULT_PROTOCOLS, SCOPE_KINDS, PluginEntity, Reference, Value, is_uuid, references
from .curl_functions import JSON, SEGMENT, STOP, post_function
from .format import CannotExpress, Names
from .json_text import json_text, refuse_unfit

#: What Linux takes as one argument of a process, the NUL at its end included (MAX_ARG_STRLEN).
ARGUMENT_BYTES = 128 * 1024
#: What a gateway reads as the first line of a request by default.
_URL_CHARACTERS = 8000
_EXPANDED_IN_HERE_DOCUMENT = str.maketrans({character: f"\\{character}" for character in "\\$`"})
#: Variables that a shell gives a value of its own, whatever is in the environment.
_OF_THE_SHELL = frozenset(
    """_ BASHOPTS BASHPID BASH_VERSION EPOCHREALTIME EPOCHSECONDS EUID FUNCNAME GROUPS HISTCMD IFS LINENO OPTARG
    OPTIND PPID PS4 PWD RANDOM SECONDS SHELLOPTS SHLVL SRANDOM UID""".split()  # noqa: SIM905  # reads better than 23 quotes
)


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable the script needs, and how the script's messages say what it is to hold."""

    name: str
    content: str


@dataclass(frozen=True, slots=True)
class Api:
    """One API that creates plugins.

    ``base`` is its URL in front of ``/plugins/``, as text between double quotes in a shell; ``documented_base`` the
    same as a word of a shell, as on the vendor's pages. ``variables`` are what a call needs besides the plugin's own;
    ``segments`` those of them that are parts of ``base``: shell variable -> environment variable, which is
    percent-encoded. ``checks`` are commands that look at them; they may call ``stop MESSAGE``. ``header`` is one more
    line to send, in which the shell expands variables; it stays out of arguments.
    ``documented_command`` and ``documented_headers`` are how the vendor's pages call curl. ``open_segment`` is the
    pages' placeholder of an open scope, ``{kind}`` in it; ``open_variable`` the variable that holds it otherwise,
    ``{KIND}`` in it, and ``open_content`` what that is. ``names_in_body`` says whether an entity that is named in a
    body may go by its name.
    """

    format_name: str
    title: str
    base: str
    documented_base: str
    documented_command: str
    documented_headers: tuple[str, ...]
    open_segment: str
    open_variable: str
    open_content: str
    names_in_body: bool
    variables: tuple[Variable, ...] = ()
    segments: dict[str, Variable] = field(default_factory=dict)
    checks: tuple[str, ...] = ()
    header: str = ""


def refuse_unsendable(api: Api, entity: PluginEntity) -> None:
    """Raise CannotExpress, naming the field, for what no request to ``api`` can carry."""
    scope: dict[str, Value] = dict(entity.scope)
    for field_name, value in {**_fields(entity), "scope": scope}.items():
        refuse_unfit(api.format_name, value, (field_name,))
    for at, reference in references(entity.config, ("config",)):
        if reference.name in _OF_THE_SHELL:
            reason = f"a shell gives ${reference.name} a value of its own"
            raise CannotExpress(api.format_name, at, reason, "name another variable")
    for kind, name in _named(entity)[:1]:
        if name in (".", ".."):
            reason = f"the {kind} has a name that a URL takes for a folder"
            raise CannotExpress(api.format_name, f"scope.{kind}", reason, "give its id")
        if len(api.base) + len(quote(name or "", safe="")) > _URL_CHARACTERS:
            reason = "the name makes the URL longer than a gateway reads"
            raise CannotExpress(api.format_name, f"scope.{kind}", reason, "give its id")
    for kind, name in _named(entity)[1:]:
        if name is not None and not is_uuid(name) and not api.names_in_body:
            reason = f"a second scope, here the {kind}, is taken by its id only"
            raise CannotExpress(api.format_name, f"scope.{kind}", reason, "give its id")


# The usual script.


def script(api: Api, entities: Sequence[PluginEntity]) -> str:
    """Return a POSIX shell script that creates ``entities`` in their order, and stops at the first that is refused.

    Nothing is sent unless all variables it needs are set. Raises CannotExpress.
    """
    for entity in entities:
        refuse_unsendable(api, entity)
    values = {reference.name for entity in entities for _, reference in references(entity.config)}
    needed = _Needed(Names(values | {variable.name for variable in api.variables}), api.variables, dict(api.segments))
    posts = [line for entity in entities for line in ("", *_post(api, entity, needed))]
    return "\n".join([*_head(api, needed), "", *_preparation(api, needed), *posts]) + "\n"


@dataclass(frozen=True, slots=True)
class _Needed:
    """What a script needs to be told: shell variables, each with the environment variable it is made from."""

    names: Names
    of_the_api: tuple[Variable, ...]
    segments: dict[str, Variable]
    strings: dict[str, Variable] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return the environment variables with what they hold, in the order of their first use."""
        contents: dict[str, str] = {}
        for variable in (*self.of_the_api, *self.segments.values(), *self.strings.values()):
            contents.setdefault(variable.name, variable.content)
        return contents

    def open(self, pattern: str, kind: str, content: str) -> Variable:
        """Return a variable of its own for a scope that is open."""
        name = self.names.unique(pattern.replace("{KIND}", kind.upper()), "_")
        return Variable(name, content.replace("{Kind}", kind.capitalize()))


def _head(api: Api, needed: _Needed) -> list[str]:
    lines = [
        "#!/bin/sh",
        f"# {api.title}. Needs curl 7.76 or newer, and awk.",
        "# Secrets go through pipes and the environment: what stands in arguments is for all on the machine to read.",
        "set -eu",
    ]
    checks = [f': "${{{name}:?set this variable to {content}}}"' for name, content in needed.environment().items()]
    return [*lines, "", *checks] if checks else lines


def _preparation(api: Api, needed: _Needed) -> list[str]:
    functions = [STOP]
    if needed.strings:
        functions.append(JSON)
    if needed.segments:
        functions.append(SEGMENT)
    functions += [*api.checks, post_function(api.header)]
    lines = "\n\n".join(functions).split("\n")
    made = [f'{name}=$(segment "${variable.name}")' for name, variable in needed.segments.items()]
    made += [f'{name}=$(json "${variable.name}")' for name, variable in needed.strings.items()]
    return [*lines, "", *made] if made else lines


def _post(api: Api, entity: PluginEntity, needed: _Needed) -> list[str]:
    path = ""
    body = _fields(entity)
    for kind, name in _named(entity)[:1]:
        segment = quote(name or "", safe="")
        if name is None:
            variable = needed.open(api.open_variable, kind, api.open_content)
            shell_name = f"path_{variable.name.lower()}"
            needed.segments[shell_name] = variable
            segment = f"${shell_name}"
        path = f"/{kind}s/{segment}"
    for kind, name in _named(entity)[1:]:
        if name is None:
            variable = needed.open("{KIND}_ID", kind, "the id of the {Kind}")
            needed.strings[_json_variable(variable.name)] = variable
            body[kind] = {"id": Reference(variable.name, secret=False)}
        else:
            body[kind] = _by_name_or_id(kind, name)
    for at, reference in references(entity.config, ("config",)):
        needed.strings.setdefault(_json_variable(reference.name), Variable(reference.name, _content(at)))
    text = json_text(body, _in_here_document, lambda reference: f"${_json_variable(reference.name)}")
    return [f'post "{api.base}{path}/plugins/" <<BODY', text, "BODY"]


def _content(at: Pointer) -> str:
    place = ".".join(map(str, at))
    # A key may be any text; the message is text between a shell's double quotes.
    return f"what {place} is to hold" if re.fullmatch(r"[A-Za-z0-9_.-]+", place) else "what config is to hold"


def _json_variable(name: str) -> str:
    return f"json_{name.lower()}"


def _in_here_document(text: str) -> str:
    return text.translate(_EXPANDED_IN_HERE_DOCUMENT)


# The script of the vendor's pages.


def documented(api: Api, entities: Sequence[PluginEntity]) -> str:
    """Return calls of curl as on the vendor's pages: placeholders as there, values of variables in arguments.

    Raises CannotExpress for what the script above refuses, and for a body too long for an argument.
    """
    return "\n".join(_documented_call(api, entity) for entity in entities)


def _documented_call(api: Api, entity: PluginEntity) -> str:
    refuse_unsendable(api, entity)
    path = ""
    body = _fields(entity)
    for kind, name in _named(entity)[:1]:
        segment = api.open_segment.replace("{kind}", kind) if name is None else quote(name, safe="")
        path = f"/{kind}s/{segment}"
    for kind, name in _named(entity)[1:]:
        body[kind] = {"id": f"{{{kind}Id}}"} if name is None else _by_name_or_id(kind, name)
    text = json_text(body, _in_single_quotes, lambda reference: f"\"'${reference.name}'\"")
    if len(text) + len("\n\n\0") > ARGUMENT_BYTES:
        reason = f"an argument of a process holds at most {ARGUMENT_BYTES // 1024} KiB"
        raise CannotExpress(api.format_name, _longest(body), reason, "leave out --as-documented")
    headers = [f'     --header "{header}" \\' for header in api.documented_headers]
    call = f"{api.documented_command} {api.documented_base}{path}/plugins/ \\"
    return "\n".join([call, *headers, "     --data '", text, "'", ""])


def _in_single_quotes(text: str) -> str:
    # JSON has another way to write the one character that would end the shell's quotes.
    return text.replace("'", "\\u0027")


def _longest(body: dict[str, Value]) -> Pointer:
    """Return the place of the longest string."""

    def strings(value: Value, at: Pointer) -> list[tuple[int, Pointer]]:
        if isinstance(value, dict):
            return [found for name, part in value.items() for found in (*strings(part, (*at, name)), (len(name), at))]
        if isinstance(value, list):
            return [found for index, part in enumerate(value) for found in strings(part, (*at, index))]
        return [(len(value), at)] if isinstance(value, str) else []

    return max(strings(body, ()), key=lambda found: found[0])[1]


# What both have in common.


def _fields(entity: PluginEntity) -> dict[str, Value]:
    """Return the entity's fields but its scope; after the three of the vendor's pages, those not at their default."""
    fields: dict[str, Value] = {"name": entity.name, "config": entity.config, "tags": list(entity.tags)}
    if not entity.enabled:
        fields["enabled"] = False
    if entity.instance_name is not None:
        fields["instance_name"] = entity.instance_name
    if entity.protocols != DEFAULT_PROTOCOLS:
        fields["protocols"] = list(entity.protocols)
    if entity.condition is not None:
        fields["condition"] = entity.condition
    if entity.ordering is not None:
        fields["ordering"] = entity.ordering
    if entity.id is not None:
        fields["id"] = entity.id
    return fields


def _named(entity: PluginEntity) -> list[tuple[str, str | None]]:
    """Return kinds and names of the scope: the first one's path is posted to, the others stand in the body."""
    return [(kind, entity.scope[kind]) for kind in SCOPE_KINDS if kind in entity.scope]


def _by_name_or_id(kind: str, name: str) -> dict[str, Value]:
    if is_uuid(name):
        return {"id": name}
    return {"username" if kind == "consumer" else "name": name}
