"""The Admin API's entities: their paths, and what each method does to the store.

Nothing here takes effect by itself: a write returns the store as it is to be.
"""

from __future__ import annotations

import secrets
import string
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from plugin_emulator.gateway.admin_errors import method_not_allowed, not_found, not_without_database
from plugin_emulator.gateway.call_arguments import body_fields, query_fields, typed_fields
from plugin_emulator.gateway.entity_fields import sound_fields
from plugin_emulator.gateway.entity_forms import entity_schema
from plugin_emulator.gateway.entity_pages import page
from plugin_emulator.gateway.entity_rows import ENTITY_KINDS, Row, complete_row, merged_fields
from plugin_emulator.gateway.entity_store import EntityStore, is_uuid
from plugin_emulator.gateway.http_service import Call

_KIND_OF_PATH = {kind.path: kind.name for kind in ENTITY_KINDS.values()}
#: Lists inside an entity: (kind of the entity, path of the list) -> (kind in the list, its field for the entity).
_LISTS = {
    ("services", "routes"): ("routes", "service"),
    ("services", "plugins"): ("plugins", "service"),
    ("routes", "plugins"): ("plugins", "route"),
    ("consumers", "plugins"): ("plugins", "consumer"),
    ("consumers", "key-auth"): ("keyauth_credentials", "consumer"),
}
_KEY_LETTERS = string.ascii_letters + string.digits
_ACTIONS = {"POST": "create", "PUT": "create or update", "PATCH": "update", "DELETE": "remove"}

#: The store after a call, the status of its answer, and the JSON in it; None for an answer without a body.
Outcome = tuple[EntityStore, int, dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Place:
    """What a path leads to: a list of ``kind``, or with ``key`` (an id or a name) one of it.

    With ``parent`` (kind, key, field) it is in that entity's list; with ``child`` (kind, key, field) it is what that
    field of the child refers to.
    """

    kind: str
    key: str | None = None
    parent: tuple[str, str, str] | None = None
    child: tuple[str, str, str] | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of this place, HEAD and OPTIONS aside."""
        if self.child is not None:
            return ("GET", "PATCH", "PUT")
        return ("GET", "POST") if self.key is None else ("DELETE", "GET", "PATCH", "PUT")

    @property
    def path(self) -> str:
        """The path of a list, as ``next`` has it."""
        if self.parent is None:
            return f"/{ENTITY_KINDS[self.kind].path}"
        kind, key, _ = self.parent
        name = next(path for (outer, path), inner in _LISTS.items() if outer == kind and inner[0] == self.kind)
        return f"/{ENTITY_KINDS[kind].path}/{quote(key, safe='')}/{name}"


def place_of(path: str) -> Place | None:
    """Return what a path, as in a request line, leads to; None when it is no path of entities."""
    # A request line is bytes, one character each; names are UTF-8, percent-encoded or not.
    given = path.strip("/").encode("latin-1").split(b"/")
    parts = [unquote_to_bytes(part).decode("utf-8", "replace") for part in given]
    kind = _KIND_OF_PATH.get(parts[0])
    if kind is None or not all(parts):
        return None
    if len(parts) <= 2:
        return Place(kind, parts[1] if len(parts) == 2 else None)
    key, name = parts[1], parts[2]
    if (kind, name) in _LISTS and len(parts) <= 4:
        inner, field = _LISTS[kind, name]
        return Place(inner, parts[3] if len(parts) == 4 else None, parent=(kind, key, field))
    referred = ENTITY_KINDS[kind].foreign.get(name)
    return Place(referred, child=(kind, key, name)) if referred is not None and len(parts) == 3 else None


@dataclass(frozen=True, slots=True)
class EntityEndpoints:
    """Answers calls for one gateway version. ``now`` is the time in seconds; without a ``database`` all is read-only.

    Every method raises AdminError for what it refuses.
    """

    gateway: str
    database: bool
    now: Callable[[], float]

    def read(self, store: EntityStore, place: Place, call: Call) -> dict[str, Any]:
        """Return what a GET shows."""
        if place.key is not None or place.child is not None:
            return self._found(store, place)
        query = query_fields(call)
        if place.parent is not None:
            rows = list(store.children(place.kind, place.parent[2], self._parent(store, place)["id"]))
        else:
            rows = list(store.rows[place.kind].values())
        if place.kind == "consumers" and "custom_id" in query:
            rows = [row for row in rows if row["custom_id"] == query["custom_id"]]
        return page(rows, place.kind, place.path, query, database=self.database)

    def write(self, store: EntityStore, place: Place, call: Call) -> Outcome:
        """Return what a POST, PUT, PATCH or DELETE leads to."""
        method = call.line.method
        if not self.database:
            name = ENTITY_KINDS[place.kind].key if place.key is not None and not is_uuid(place.key) else None
            raise not_without_database(_ACTIONS[method], place.kind, name)
        match method:
            case "POST":
                return self._create(store, place, self._fields(store, place, call, None))
            case "PUT":
                return self._put(store, place, call)
            case "PATCH":
                row = self._found(store, place)
                fields = merged_fields(place.kind, row, self._fields(store, place, call, row), self.gateway)
                row = self._row(store, place.kind, {**fields, "id": row["id"], "created_at": row["created_at"]})
                return store.put(place.kind, row), 200, row
            case "DELETE":
                return self._remove(store, place)
            case _:
                raise method_not_allowed()

    def _create(self, store: EntityStore, place: Place, fields: dict[str, Any]) -> Outcome:
        if place.parent is not None:
            fields[place.parent[2]] = {"id": self._parent(store, place)["id"]}
        if place.kind == "keyauth_credentials" and fields.get("key") is None:
            fields["key"] = new_key()
        row = self._row(store, place.kind, fields)
        return store.added(place.kind, row), 201, row

    def _put(self, store: EntityStore, place: Place, call: Call) -> Outcome:
        fields = self._fields(store, place, call, None)
        if place.parent is not None:
            fields[place.parent[2]] = {"id": self._parent(store, place)["id"]}
        before: Row | None = None
        if place.child is not None:
            kind, key, field = place.child
            child = self._one(store, kind, key)
            if child[field] is not None:
                before = store.rows[place.kind][child[field]["id"]]
            fields["id"] = before["id"] if before else str(uuid.uuid4())
            store, status, row = self._replace(store, place.kind, fields, before)
            if before is None:
                child = {**child, field: {"id": fields["id"]}, "updated_at": int(self.now())}
                store = store.put(kind, child)
            return store, status, row
        assert place.key is not None
        before = store.find(place.kind, place.key)
        if is_uuid(place.key):
            fields["id"] = place.key.lower()
        else:
            fields["id"] = before["id"] if before else str(uuid.uuid4())
            fields[ENTITY_KINDS[place.kind].key] = place.key
        return self._replace(store, place.kind, fields, before)

    def _replace(self, store: EntityStore, kind: str, fields: dict[str, Any], before: Row | None) -> Outcome:
        if before is not None:
            fields["created_at"] = before["created_at"]
        if kind == "keyauth_credentials" and fields.get("key") is None:
            fields["key"] = before["key"] if before else new_key()
        row = self._row(store, kind, fields)
        return store.put(kind, row), 200, row

    def _remove(self, store: EntityStore, place: Place) -> Outcome:
        assert place.key is not None
        if place.parent is not None:
            row: Row | None = self._found(store, place)
        else:
            row = store.find(place.kind, place.key)
        return (store if row is None else store.removed(place.kind, row["id"])), 204, None

    def _row(self, store: EntityStore, kind: str, fields: Mapping[str, Any]) -> Row:
        """Return the row that ``fields`` are, with a new id when they have none."""
        sound = sound_fields(kind, fields, self.gateway, store)
        sound["id"] = (sound.get("id") or str(uuid.uuid4())).lower()
        return complete_row(kind, sound, self.gateway, now=int(self.now()))

    def _fields(self, store: EntityStore, place: Place, call: Call, row: Row | None) -> dict[str, Any]:
        """Return the fields in a call's body; ``row`` is what they change, which a form may be silent about."""
        fields, is_form = body_fields(call)
        if not is_form:
            return fields
        named = fields if row is None or "name" in fields else {**fields, "name": row.get("name")}
        return typed_fields(fields, entity_schema(place.kind, named, self.gateway))

    # ----------------------------------------------------------------- what a place leads to

    def _one(self, store: EntityStore, kind: str, key: str) -> Row:
        row = store.find(kind, key)
        if row is None:
            raise not_found()
        return row

    def _parent(self, store: EntityStore, place: Place) -> Row:
        assert place.parent is not None
        return self._one(store, *place.parent[:2])

    def _found(self, store: EntityStore, place: Place) -> Row:
        """Return the one row a place leads to."""
        if place.child is not None:
            kind, key, field = place.child
            reference = self._one(store, kind, key)[field]
            if reference is None:
                raise not_found()
            return self._one(store, place.kind, reference["id"])
        assert place.key is not None
        if place.parent is None:
            return self._one(store, place.kind, place.key)
        parent = self._parent(store, place)
        row = self._one(store, place.kind, place.key)
        reference = row[place.parent[2]]
        if reference is None or reference["id"] != parent["id"]:
            raise not_found()
        return row


def new_key() -> str:
    """Return a key for a credential that was given none."""
    return "".join(secrets.choice(_KEY_LETTERS) for _ in range(32))
