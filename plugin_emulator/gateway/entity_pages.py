"""Lists of entities in pages: ``size``, ``offset``, ``next``, and the ``tags`` filter."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from plugin_emulator.gateway.admin_errors import invalid_offset, invalid_size, invalid_tags
from plugin_emulator.gateway.entity_rows import Row
from plugin_emulator.gateway.entity_store import is_uuid

#: The workspace that everything is in, for a gateway that has no others.
_WORKSPACE = "0dc6f45b-8f8d-40d2-a504-473544ee190b"
_SIZE = 100
_LARGEST = 1000
_ALL = re.compile(r"[^,/]+(,[^,/]+)*,?")
_ANY = re.compile(r"[^,/]+(/[^,/]+)*/?")


def page(rows: Iterable[Row], kind: str, path: str, query: Mapping[str, str], *, database: bool) -> dict[str, Any]:
    """Return the page of ``rows``, of this ``kind``, that ``query`` asks for; ``path`` is the list's, for ``next``.

    Rows come in the order of their ids, as from a database. A gateway without one does not look ahead: a full page
    has a ``next`` even when it was the last. Raises AdminError.
    """
    size = _size(query.get("size"))
    after = _after(query.get("offset"))
    wanted = sorted((row for row in _tagged(rows, query.get("tags")) if row["id"] > after), key=lambda row: row["id"])
    data = wanted[:size]
    if len(wanted) <= size and (database or len(data) < size):
        return {"data": data, "next": None}
    offset = _offset(kind, data[-1]["id"], database)
    following = f"{path}?offset={offset}"
    for name in ("tags", "size"):
        if name in query:
            following += f"&{name}={quote(query[name], safe='')}"
    return {"data": data, "offset": offset, "next": following}


def _size(text: str | None) -> int:
    if text is None:
        return _SIZE
    try:
        size = float(text)
    except ValueError:
        raise invalid_size("size must be a number") from None
    if not size.is_integer() or not 1 <= size <= _LARGEST:
        raise invalid_size(f"size must be an integer between 1 and {_LARGEST}")
    return int(size)


def _offset(kind: str, last_id: str, database: bool) -> str:
    """Return the offset of the page after ``last_id``; without a database it is a key of Kong's own store."""
    key = last_id if database else f"{kind}|{_WORKSPACE}|*|{last_id}\0"
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _after(offset: str | None) -> str:
    """Return the id after which a page begins; a text before all ids for the first page."""
    if offset is None:
        return ""
    try:
        decoded = base64.b64decode(offset + "=" * (-len(offset) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise invalid_offset(offset) from None
    last_id = decoded.rpartition("|")[2].removesuffix("\0")
    if not is_uuid(last_id):
        raise invalid_offset(offset)
    return last_id


def _tagged(rows: Iterable[Row], tags: str | None) -> Iterable[Row]:
    if tags is None:
        return rows
    if _ALL.fullmatch(tags):
        wanted = {tag for tag in tags.split(",") if tag}
        return (row for row in rows if wanted <= set(row["tags"] or ()))
    if _ANY.fullmatch(tags):
        wanted = {tag for tag in tags.split("/") if tag}
        return (row for row in rows if wanted & set(row["tags"] or ()))
    raise invalid_tags()
