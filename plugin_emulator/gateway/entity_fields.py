"""Entities as clients of the Admin API write them: checked, references looked up, ready to become rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plugin_emulator.documents import Problem
from plugin_emulator.gateway.admin_errors import schema_violation, unresolved_reference
from plugin_emulator.gateway.entity_forms import EMULATED_PLUGINS, NESTED, check_form
from plugin_emulator.gateway.entity_rows import ENTITY_KINDS
from plugin_emulator.gateway.entity_store import EntityStore, is_uuid
from plugin_emulator.gateway.gateway_plugins import GATEWAY_PLUGINS
from plugin_emulator.gateway.kong_messages import in_kongs_words


def sound_fields(kind: str, fields: Mapping[str, Any], gateway: str, store: EntityStore | None) -> dict[str, Any]:
    """Return the fields of an entity, every reference as ``{"id": …}``.

    Without a ``store`` references are not looked up. Raises AdminError with all that is wrong, in Kong's words.
    """
    meta = ENTITY_KINDS[kind]
    own = {name: value for name, value in fields.items() if name not in meta.foreign}
    if kind == "plugins" and own.get("config") is None and own.get("name") in EMULATED_PLUGINS:
        own["config"] = {}
    nested = [name for name in NESTED.get(kind, ()) if name in own]
    problems = [Problem("unknown field", (name,)) for name in nested]
    form = {name: value for name, value in own.items() if name not in nested}
    problems += [in_kongs_words(kind, form, problem, gateway) for problem in check_form(kind, form, gateway)]
    references = {name: fields[name] for name in meta.foreign if fields.get(name) is not None}
    for name, reference in references.items():
        problems += _check_reference(name, reference, ENTITY_KINDS[meta.foreign[name]].key)
    if kind == "keyauth_credentials" and "consumer" not in references:
        problems.append(Problem("required field missing", ("consumer",)))
    if kind == "plugins" and "consumer" in references and str(own.get("name")) in GATEWAY_PLUGINS:
        problems.append(Problem("value must be null", ("consumer",)))
    if problems:
        raise schema_violation(problems)
    for name, reference in references.items():
        own[name] = _looked_up(name, reference, meta.foreign[name], store)
    return own


def _check_reference(field: str, reference: Any, key: str) -> list[Problem]:
    if not isinstance(reference, dict):
        return [Problem("expected a record", (field,))]
    problems = [Problem("unknown field", (field, str(name))) for name in reference if name not in ("id", key)]
    given = {name: value for name, value in reference.items() if name in ("id", key) and value is not None}
    if not given and not problems:
        problems.append(Problem("required field missing", (field, "id")))
    for name, value in given.items():
        if not isinstance(value, str):
            problems.append(Problem("expected a string", (field, name)))
        elif name == "id" and not is_uuid(value):
            problems.append(Problem("expected a valid UUID", (field, name)))
    return problems


def _looked_up(field: str, reference: Mapping[str, Any], kind: str, store: EntityStore | None) -> dict[str, str]:
    """Return a reference by its id, which need not be there: the store tells when the entity is put into it."""
    if reference.get("id") is not None:
        return {"id": reference["id"].lower()}
    key = ENTITY_KINDS[kind].key
    row = None if store is None else store.find_by(kind, key, reference[key])
    if row is None and store is not None:
        raise unresolved_reference(field, key, reference[key], kind)
    return {"id": row["id"] if row else ""}
