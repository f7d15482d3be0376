"""An intent as a document: a YAML file, or what the options of the command line make."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

from plugin_emulator.documents import Document, InvalidDocument, Pointer, Problem, did_you_mean
from plugin_emulator.schema_check import Schema, without_nulls

from .entity import PluginEntity, Value
from .intent import Intent, NotMeant, merged, named_value, scope, source
from .plugin_kind import PluginKind
from .plugin_kinds import PLUGIN_KINDS, plugin_kind
from .secrets import with_secrets_marked

INTENT_SCHEMA = Schema.read(Path(__file__).parent / "schemas" / "intent.json")

_VARIABLE = re.compile(r"\$\{([A-Za-z0-9_-]+)\}")


def entity_of_intent(document: Document) -> tuple[PluginEntity, str | None]:
    """Return the entity that an intent means, and the gateway version it names, if it does.

    Raises InvalidDocument, located in the document, for what cannot be meant. What the gateway would refuse in the
    entity is not looked at here.
    """
    problems = INTENT_SCHEMA.check(document.data)
    if problems:
        raise InvalidDocument([document.located(problem) for problem in problems])
    data: dict[str, Any] = without_nulls(document.data, INTENT_SCHEMA.definition)
    try:
        return _entity(data), data.get("gateway")
    except NotMeant as reason:
        raise InvalidDocument([document.located(Problem(reason.message, reason.at, reason.hint))]) from None


def _entity(data: dict[str, Any]) -> PluginEntity:
    kind = _kind(data)
    intent = _intent(data)
    if intent.attributes and isinstance(intent.config.get("attributes"), list):
        raise NotMeant("attributes", "config has attributes too, which would replace them", "put all in one place")
    config = merged(kind.derive_config(intent), intent.config)
    plain = ("enabled", "instance_name", "condition", "ordering")
    given: dict[str, Any] = {name: data[name] for name in plain if name in data}
    given |= {name: tuple(data[name]) for name in ("tags", "protocols") if name in data}
    scopes = data.get("scope", [])
    return PluginEntity(
        name=data.get("plugin_name", kind.name),
        config=with_secrets_marked(config, kind),
        scope=scope([scopes] if isinstance(scopes, str) else scopes),
        **given,
    )


def _kind(data: dict[str, Any]) -> PluginKind:
    wanted = data.get("plugin", PLUGIN_KINDS[0].name)
    kind = plugin_kind(wanted)
    known = " or ".join(each.name for each in PLUGIN_KINDS)
    if kind is None:
        raise NotMeant("plugin", f"no metering plugin is called {wanted!r}", f"write {known}")
    name = data.get("plugin_name", kind.name)
    if name not in kind.names:
        raise NotMeant("plugin_name", f"{kind.name} does not go by {name!r}", f"write {' or '.join(kind.names)}")
    return kind


def _intent(data: dict[str, Any]) -> Intent:
    subjects = ("consumer", "application", "header", "query")
    attributes = data.get("attributes", {})
    return Intent(
        ingest=data.get("ingest"),
        token=named_value(data["token"], "token") if "token" in data else None,
        subject=source(data["subject"], subjects, "subject") if "subject" in data else None,
        attributes=tuple(
            (name, source(text, ("header", "query"), ("attributes", name))) for name, text in attributes.items()
        ),
        meters=tuple(data.get("meters", ())),
        meter_name=data.get("meter_name"),
        batch=int(data["batch"]) if "batch" in data else None,
        delay=data.get("delay"),
        status=tuple(data.get("status", ())),
        config=cast("dict[str, Value]", _filled(data.get("config", {}), data.get("variables", {}), ("config",))),
    )


def _filled(value: Any, variables: dict[str, Any], at: Pointer) -> Value:
    """Return ``value`` with ``${name}`` replaced wherever ``name`` is declared.

    Without any variables, and inside other text, what is not declared is text like any other. Raises NotMeant.
    """
    if isinstance(value, dict):
        return {str(name): _filled(part, variables, (*at, str(name))) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, variables, (*at, index)) for index, part in enumerate(value)]
    if not isinstance(value, str):
        return cast(Value, value)
    whole = _VARIABLE.fullmatch(value)
    if whole and variables and whole[1] not in variables:
        near = did_you_mean(whole[1], variables)
        hint = f"did you mean ${{{near}}}?" if near else "declare it there"
        raise NotMeant(at, f"{value} is not among the variables", hint)
    if whole and whole[1] in variables:
        text = variables[whole[1]]["value"]
        return named_value(f"env:{text[1:]}" if re.fullmatch(r"\$[A-Za-z_][A-Za-z0-9_]*", text) else text, at)
    for part in _VARIABLE.finditer(value):
        if part[1] in variables:
            raise NotMeant(at, f"${{{part[1]}}} is only part of the value", "let the variable stand for all of it")
    return value
