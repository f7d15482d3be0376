"""``kong-metering config render``: a configuration from a short description of intent.

The description is a small YAML file, options, or both; an option wins over the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.plugin_config.entity import PluginEntity, value_at
from harness.plugin_config.intent import merged
from harness.plugin_config.intent_document import entity_of_intent
from harness.plugin_config.plugin_kind import PluginKind
from harness.plugin_config.plugin_kinds import PLUGIN_KINDS, plugin_kind
from harness.plugin_config.secrets import literal_secrets
from harness.plugin_config.validation import entity_problems
from plugin_emulator.documents import Document, InvalidDocument, Pointer, Problem, parse_document, read_document
from plugin_emulator.metering_and_billing.config import GATEWAY_VERSIONS, NEWEST_GATEWAY

from .main import CannotContinue
from .render_options import render_options, write

#: Key of an intent -> the option that stands for it, for messages.
_OPTION_OF = {
    "plugin": "--plugin",
    "plugin_name": "--plugin-name",
    "scope": "--scope",
    "ingest": "--ingest",
    "token": "--token",
    "subject": "--subject",
    "attributes": "--attribute",
    "meters": "--meter",
    "meter_name": "--meter-name",
    "batch": "--batch",
    "delay": "--delay",
    "status": "--status",
    "instance_name": "--instance-name",
    "tags": "--tag",
    "protocols": "--protocol",
    "condition": "--condition",
    "enabled": "--disabled",
    "config": "--set",
}

#: Options that are keys of an intent as they are, and those that may be given more than once, with their keys.
_SINGLE = (
    *("plugin", "plugin_name", "ingest", "token", "subject", "meter_name"),
    *("batch", "delay", "instance_name", "condition"),
)
_REPEATED = (
    *(("scope", "scope"), ("meters", "meter"), ("status", "status")),
    *(("tags", "tag"), ("protocols", "protocol")),
)


@click.command(help=__doc__)
@click.argument("intent", required=False, type=click.Path(path_type=Path))
@click.option("--plugin", metavar="NAME", help=f"{' or '.join(kind.name for kind in PLUGIN_KINDS)}.")
@click.option("--plugin-name", metavar="NAME", help="The name the gateway knows it by (Amberflo: also metering).")
@click.option("--gateway", type=click.Choice(GATEWAY_VERSIONS), help=f"Gateway version (default {NEWEST_GATEWAY}).")
@click.option("--scope", multiple=True, metavar="KIND=NAME", help="global, service=NAME, route=NAME, consumer=NAME.")
@click.option("--ingest", metavar="WHERE", help="konnect:REGION, openmeter:URL, URL, env:NAME, vault:BACKEND/KEY.")
@click.option("--token", metavar="REFERENCE", help="env:NAME (default env:AUTH_TOKEN) or vault:BACKEND/KEY.")
@click.option("--token-file", type=click.Path(path_type=Path), help="File with the token itself, to be written out.")
@click.option("--subject", metavar="SOURCE", help="consumer, consumer:FIELD, application, header:NAME or query:NAME.")
@click.option("--attribute", multiple=True, metavar="SOURCE=PROPERTY", help="E.g. header:x-department=department.")
@click.option("--meter", multiple=True, metavar="WHAT", help="api-requests, ai-tokens; none: the plugin's default.")
@click.option("--meter-name", metavar="NAME", help="Amberflo: API name of the meter.")
@click.option("--batch", type=int, help="How many events leave together at most.")
@click.option("--delay", type=float, help="How long a batch waits for more, in seconds.")
@click.option("--status", multiple=True, metavar="RANGE", help="Only these are metered, e.g. 200-299 (from 3.16).")
@click.option("--instance-name", metavar="NAME", help="Name of the instance.")
@click.option("--tag", multiple=True, metavar="TAG", help="Tag of the instance.")
@click.option("--protocol", multiple=True, metavar="NAME", help="Protocol it runs for.")
@click.option("--condition", metavar="EXPRESSION", help="Run only when this holds.")
@click.option("--disabled", is_flag=True, help="Write it disabled.")
@click.option("--set", "fields", multiple=True, metavar="PATH=VALUE", help="Any field, e.g. queue.max_entries=50000.")
@render_options
def command(intent: Path | None, gateway: str | None, token_file: Path | None, **options: Any) -> int:
    """Render what the intent means, after checking it as the gateway would."""
    given = _given(options)
    if token_file is not None:
        if "token" in given:
            raise click.UsageError("give either --token or --token-file")
        given["token"] = _token(token_file)
    if intent is None and not given:
        raise click.UsageError("say what you want: a file, or options such as --ingest konnect:us --subject consumer")
    document = Document({}, {}) if intent is None else read_document(intent)
    entity, meant_for = _entity(_overlaid(document, given), given)
    version = gateway or meant_for or NEWEST_GATEWAY
    _refuse_secrets_in_arguments(entity, given)
    _refuse_unsound(entity, version, document, given, allow_literals=options["allow_literal_secrets"])
    return write([entity], version, options)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options that speak of the intent out of ``options``, and return them as keys of an intent."""
    taken = {name: options.pop(name) for name in _SINGLE}
    given: dict[str, Any] = {name: value for name, value in taken.items() if value is not None}
    for key, option in _REPEATED:
        if values := options.pop(option):
            given[key] = list(values)
    if attributes := options.pop("attribute"):
        given["attributes"] = dict(_attribute(text) for text in attributes)
    if fields := options.pop("fields"):
        given["config"] = _fields(fields)
    if options.pop("disabled"):
        given["enabled"] = False
    if "token" in given and not given["token"].startswith(("env:", "vault:", "{vault://")):
        # An argument of a process is for everyone on the machine to read.
        raise click.UsageError("--token takes env:NAME or vault:BACKEND/KEY, no token: that goes in --token-file")
    return given


def _attribute(text: str) -> tuple[str, str]:
    source, equals, name = text.rpartition("=")
    if not (source and equals and name):
        raise click.UsageError(f"--attribute {text!r}: write SOURCE=PROPERTY, e.g. header:x-department=department")
    return name, source


def _fields(pairs: Sequence[str]) -> dict[str, Any]:
    """Return what ``--set`` says as an object; a value is read as YAML, so that 10 is a number and true a boolean."""
    config: dict[str, Any] = {}
    for pair in pairs:
        path, equals, text = pair.partition("=")
        names = path.removeprefix("config.").split(".")
        if not equals or not all(names):
            raise click.UsageError("--set: write PATH=VALUE, e.g. queue.max_entries=50000")
        try:
            value = parse_document(text).data
        except InvalidDocument:
            raise click.UsageError(f"--set {path}: the value is not YAML: put it in quotes") from None
        at = config
        for name in names[:-1]:
            at = at.setdefault(name, {})
            if not isinstance(at, dict):
                raise click.UsageError(f"--set {path}: {name} is given a value of its own as well")
        at[names[-1]] = value
    return config


def _token(path: Path) -> str:
    """Return the token in a file, which is its only line."""
    try:
        token = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise CannotContinue(f"{path}: cannot be read: {reason}") from None
    if not token:
        raise CannotContinue(f"{path}: is empty: put the token in it")
    if len(token.splitlines()) > 1:
        raise CannotContinue(f"{path}: has several lines: put the token alone in it")
    return token


def _overlaid(document: Document, given: Mapping[str, Any]) -> Document:
    """Return ``document`` with the options' keys in it. Attributes and fields add to the file's, others replace.

    A field of the plugin's own that an option decides is the option's too: the file's ``config`` loses it.
    """
    data = document.data
    if data is None:
        data = {}
    if not given or not isinstance(data, dict):
        return document if data is document.data else Document(data, document.lines, document.file)
    data = {**data, **{name: value for name, value in given.items() if name not in ("attributes", "config")}}
    kind = plugin_kind(data.get("plugin", PLUGIN_KINDS[0].name))
    if kind is not None and isinstance(data.get("config"), dict):
        for word in given.keys() - {"attributes"}:
            for place in kind.decided_by.get(word, ()):
                data["config"] = _without(data["config"], place)
    for name in ("attributes", "config"):
        if name in given:
            before = data.get(name)
            data[name] = merged(before, given[name]) if isinstance(before, dict) else given[name]
    return Document(data, document.lines, document.file)


def _without(value: Any, place: Pointer) -> Any:
    """Return ``value`` without what stands at ``place``, if anything does."""
    if not isinstance(value, dict) or place[0] not in value:
        return value
    rest = {name: part for name, part in value.items() if name != place[0]}
    return rest if len(place) == 1 else {**value, place[0]: _without(value[place[0]], place[1:])}


def _entity(document: Document, given: Mapping[str, Any]) -> tuple[PluginEntity, str | None]:
    try:
        return entity_of_intent(document)
    except InvalidDocument as error:
        raise InvalidDocument([_worded(problem, given) for problem in error.problems]) from None


def _worded(problem: Problem, given: Mapping[str, Any]) -> Problem:
    """Return ``problem`` as one of an option, if the key it is about came from one."""
    key = problem.pointer[0] if problem.pointer else None
    if key in given and isinstance(key, str):
        text = f"{_OPTION_OF[key]}: {problem.message}"
        return Problem(text, hint=problem.hint)
    return problem


def _refuse_secrets_in_arguments(entity: PluginEntity, given: Mapping[str, Any]) -> None:
    """Raise UsageError for a secret that came by an option, whether or not it may be written out."""
    kind = plugin_kind(entity.name)
    assert kind is not None
    for problem in literal_secrets(entity, kind):
        option = _option_for(problem.pointer, kind, given)
        if option not in (None, "--token"):
            why = "a secret in an argument is for all on the machine to read"
            raise click.UsageError(f"{option}: {why}: put it in the intent's file, or a token in --token-file")


def _refuse_unsound(
    entity: PluginEntity, version: str, document: Document, given: Mapping[str, Any], allow_literals: bool
) -> None:
    kind = plugin_kind(entity.name)
    assert kind is not None
    problems = entity_problems(entity, kind, version)
    if not allow_literals:
        problems += literal_secrets(entity, kind)
    if problems:
        raise InvalidDocument([_placed(problem, kind, document, given) for problem in problems])


def _placed(problem: Problem, kind: PluginKind, document: Document, given: Mapping[str, Any]) -> Problem:
    """Return ``problem`` with the option that what it is about came by, or its place in the file."""
    option = _option_for(problem.pointer, kind, given)
    if option is not None:
        return Problem(f"{option}: {replace(problem, hint=None)}", hint=problem.hint)
    word = kind.word_for(problem.pointer[1:])
    data = document.data
    if problem.pointer not in document.lines and isinstance(data, dict) and word in data:
        return document.located(replace(problem, pointer=(str(word),)))
    return document.located(problem)


def _option_for(pointer: Pointer, kind: PluginKind, given: Mapping[str, Any]) -> str | None:
    """Return the option that gave what stands at ``pointer`` in the entity; None when none did."""
    if pointer[:1] != ("config",):
        return _OPTION_OF[str(pointer[0])] if pointer and pointer[0] in given else None
    if value_at(given.get("config"), pointer[1:]) is not None:
        return f"--set {'.'.join(map(str, pointer[1:]))}"
    word = kind.word_for(pointer[1:])
    return _OPTION_OF[word] if word is not None and word in given else None
