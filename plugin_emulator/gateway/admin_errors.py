"""What the Admin API answers when it cannot do what it is asked: Kong's codes, names, messages and fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from plugin_emulator.documents import Problem
from plugin_emulator.gateway.lua_text import lua_block, lua_text

Fields = dict[str | int, Any]


class AdminError(Exception):
    """An answer that is an error: its ``status`` and JSON ``body``. The body may hold what the caller sent."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(status)
        self.status = status
        self.body = body

    def __str__(self) -> str:
        return f"status {self.status}, code {self.body.get('code')}"


def not_found() -> AdminError:
    """Return the answer for a path or an entity that is not there."""
    return AdminError(404, {"message": "Not found"})


def method_not_allowed() -> AdminError:
    """Return the answer for a method that the path does not have."""
    return AdminError(405, {"message": "Method not allowed"})


def unreadable_json() -> AdminError:
    """Return the answer for a body that says it is JSON and is not."""
    return AdminError(400, {"message": "Cannot parse JSON body"})


def schema_violation(problems: Iterable[Problem]) -> AdminError:
    """Return the answer for an entity that is not in its form; the problems' messages are the gateway's."""
    fields = nested_fields(problems)
    said: list[str] = list(fields["@entity"]) if "@entity" in fields else []
    for name in sorted(str(name) for name in fields if name != "@entity"):
        found = fields[name]
        if isinstance(found, dict):
            for key in sorted(found, key=lambda key: (isinstance(key, str), key)):
                part = key + 1 if isinstance(key, int) else key
                text = found[key] if isinstance(found[key], str) else lua_block(found[key])
                said.append(f"{name}.{part}: {text}")
        else:
            said.append(f"{name}: {found}")
    count = "schema violation" if len(said) == 1 else f"{len(said)} schema violations"
    return _error(400, 2, "schema violation", f"{count} ({'; '.join(said)})", with_lists(fields))


def primary_key_violation(own_id: str) -> AdminError:
    """Return the answer for a new entity with the id of another one of its kind."""
    key = {"id": own_id}
    return _error(400, 3, "primary key violation", f"primary key violation on key '{lua_text(key)}'", key)


def missing_reference(field: str, referred_id: str, kind: str) -> AdminError:
    """Return the answer for an entity that refers by id to one of ``kind`` which is not there."""
    key = {"id": referred_id}
    message = f"the foreign key '{lua_text(key)}' does not reference an existing '{kind}' entity."
    return _error(400, 4, "foreign key violation", message, {field: key})


def still_referenced(kind: str, by: str) -> AdminError:
    """Return the answer for the removal of an entity that others, of the kind ``by``, refer to."""
    message = f"an existing '{by}' entity references this '{kind}' entity"
    return _error(400, 4, "foreign key violation", message, {"@referenced_by": by})


def unique_violation(values: Mapping[str, Any]) -> AdminError:
    """Return the answer for an entity with values that only one of its kind may have."""
    message = f"UNIQUE violation detected on '{lua_text(dict(values))}'"
    return _error(409, 5, "unique constraint violation", message, values)


def unresolved_reference(field: str, key: str, value: str, kind: str) -> AdminError:
    """Return the answer for an entity that refers by ``key``, a name, to one of ``kind`` which is not there."""
    complaint = f"the foreign key cannot be resolved with '{lua_text({key: value})}' for an existing '{kind}' entity"
    message = f"foreign key unresolved ({field}.{key}: {complaint})"
    return _error(400, 13, "foreign keys unresolved", message, {field: {key: complaint}})


def invalid_offset(offset: str) -> AdminError:
    """Return the answer for an ``offset`` that no page has had."""
    return _error(400, 7, "invalid offset", f"'{offset}' is not a valid offset: bad base64 encoding", None)


def invalid_size(message: str) -> AdminError:
    """Return the answer for a page size out of bounds."""
    return _error(400, 9, "invalid size", message, None)


def invalid_tags() -> AdminError:
    """Return the answer for a tags filter that mixes ``,`` and ``/`` or is empty."""
    complaint = "must be a string of tags separated by either ',' or '/'"
    body = {"code": 11, "name": "invalid options", "message": f"invalid option (tags: {complaint})"}
    return AdminError(400, {**body, "options": {"tags": complaint}})


def not_without_database(action: str, kind: str, key: str | None) -> AdminError:
    """Return the answer for a write to a gateway without a database; ``action`` is ``create``, ``remove``, …"""
    by = f" by '{key}'" if key else ""
    message = f"cannot {action} '{kind}' entities{by} when not using a database"
    return AdminError(405, {"code": 12, "message": message, "name": "operation unsupported"})


def invalid_configuration(problems: Iterable[Problem]) -> dict[str, Any]:
    """Return the body of a 400 for a declarative configuration with these problems."""
    fields = nested_fields(problems)
    return {
        "code": 14,
        "message": f"declarative config is invalid: {lua_text(fields)}",
        "name": "invalid declarative configuration",
        "fields": with_lists(fields),
    }


def nested_fields(problems: Iterable[Problem]) -> Fields:
    """Return messages by field, nested as the data is; a list is a dict of those of its places that have any.

    What concerns an entity as a whole stands in a list under ``@entity`` beside its fields; alone, and inside other
    data, it is the text itself unless the pointer ends with ``@entity``.
    """
    fields: Fields = {}
    for problem in problems:
        message = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
        place: Any = fields
        path = problem.pointer or ("@entity",)
        for part in path[:-1]:
            inner = place.get(part)
            if not isinstance(inner, dict):
                inner = place[part] = {"@entity": [inner]} if isinstance(inner, str) else {}
            place = inner
        last = path[-1]
        if isinstance(place.get(last), dict):
            place, last = place[last], "@entity"
        if last == "@entity":
            place.setdefault(last, []).append(message)
        else:
            place[last] = message
    return fields


def with_lists(value: Any) -> Any:
    """Return nested fields as JSON has them: lists, with null for places without a message."""
    if not isinstance(value, dict):
        return value
    if value and all(isinstance(key, int) for key in value):
        return [with_lists(value.get(index)) for index in range(max(value) + 1)]
    return {str(key): with_lists(each) for key, each in value.items()}


def _error(status: int, code: int, name: str, message: str, fields: Any) -> AdminError:
    body: dict[str, Any] = {"code": code, "name": name, "message": message}
    if fields is not None:
        body["fields"] = fields
    return AdminError(status, body)
