"""What an Admin API call brings along: the fields in its body, JSON or a form, and those of its query string."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl

import orjson

from plugin_emulator.gateway.admin_errors import unreadable_json
from plugin_emulator.gateway.http_service import Call

_INDEX = re.compile(r"(.+?)((?:\[\d*\])+)")
#: Levels of a form's field name; beyond it nothing has a meaning.
_DEEPEST = 16


def query_fields(call: Call) -> dict[str, str]:
    """Return the query string's fields, of repeated ones the first."""
    fields: dict[str, str] = {}
    text = (call.line.query or "").encode("latin-1").decode("utf-8", "replace")
    for name, value in parse_qsl(text, keep_blank_values=True):
        fields.setdefault(name, value)
    return fields


def body_fields(call: Call) -> tuple[dict[str, Any], bool]:
    """Return the fields in a call's body, and whether it was a form, whose values are texts still.

    Names such as ``config.queue.max_batch_size``, ``paths[]`` and ``paths[1]`` in a form are taken apart. A body of
    another content type counts as none. Raises AdminError for JSON that is none.
    """
    content_type = call.headers.fields.first.get("content-type", "")
    media = content_type.partition(";")[0].strip().lower()
    if media == "application/json":
        return _json_fields(call.body), False
    if media == "application/x-www-form-urlencoded":
        return _nested(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True)), True
    if media == "multipart/form-data":
        return _nested(_parts(content_type, call.body)), True
    return {}, False


def typed_fields(fields: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a form's fields as the values that ``schema`` wants; what is none stays a text, to be refused."""
    properties = schema.get("properties", {})
    return {name: _typed(value, properties.get(name, {})) for name, value in fields.items()}


def _json_fields(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise unreadable_json() from None
    if document == []:  # for Kong the same as {}
        return {}
    if not isinstance(document, dict):
        raise unreadable_json()
    return document


def _parts(content_type: str, body: bytes) -> Iterable[tuple[str, str]]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            yield name, content.decode("utf-8", "replace")


def _nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        _place(fields, _path(name), value)
    return fields


def _path(name: str) -> list[str | int | None]:
    """Return the parts of a form's field name; None is ``[]``, the end of a list, an integer a place from 0."""
    if name.startswith(".") or name.endswith(".") or name.count(".") >= _DEEPEST:
        return [name]
    path: list[str | int | None] = []
    for part in name.split("."):
        match = _INDEX.fullmatch(part)
        if match is None:
            path.append(part)
            continue
        path.append(match[1])
        indexes = re.findall(r"\d+|(?<=\[)(?=\])", match[2])[:_DEEPEST]
        path += [max(int(index[:9]) - 1, 0) if index else None for index in indexes]
    return path


def _place(fields: dict[str, Any], path: list[str | int | None], value: str) -> None:
    """Put ``value`` where ``path`` leads; what does not fit the fields before it takes their place."""
    place: Any = fields
    for position, part in enumerate(path):
        last = position == len(path) - 1
        following: Any = value if last else [] if not isinstance(path[position + 1], str) else {}
        if isinstance(place, list):
            index = len(place) if not isinstance(part, int) or part > len(place) else part
            if index == len(place):
                place.append(following)
            elif last or type(place[index]) is not type(following):
                place[index] = following
            place = place[index]
            continue
        known = place.get(part)
        if last and known is not None:
            place[part] = [*known, value] if isinstance(known, list) else [known, value]
        elif known is None or type(known) is not type(following):
            place[part] = following
        place = place[part]


def _typed(value: Any, schema: Mapping[str, Any]) -> Any:
    wanted = schema.get("type")
    if value == "":
        return None
    if wanted == "array" and not isinstance(value, list):
        value = [value]
    if isinstance(value, list):
        return [_typed(item, schema.get("items", {})) for item in value]
    if isinstance(value, dict):
        return typed_fields(value, schema) if "properties" in schema else _lists(value)
    if wanted in ("integer", "number"):
        return _number(value)
    if wanted == "boolean":
        return {"true": True, "false": False}.get(value, value)
    return value


def _lists(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return a map of lists, the only kind there is: one value alone is a list of one."""
    return {name: value if isinstance(value, list | dict) else [value] for name, value in headers.items()}


def _number(text: str) -> int | float | str:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
