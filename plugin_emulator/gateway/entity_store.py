"""The gateway's database: rows of all kinds, none of which refers to what is not there.

A store never changes; a write makes another one. What could not be served is dropped with the store it stands in.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from plugin_emulator.gateway.admin_errors import (
    missing_reference,
    primary_key_violation,
    still_referenced,
    unique_violation,
)
from plugin_emulator.gateway.entities import GatewayState
from plugin_emulator.gateway.entity_rows import ENTITY_KINDS, Row, declared_row

#: Children that go with their parent; a Service with Routes stays.
_RESTRICTED = frozenset({("routes", "service")})
#: Fields that make a plugin the only one of its name in its scope.
_PLUGIN_SCOPE = ("consumer", "name", "route", "service")


def _no_rows() -> dict[str, dict[str, Row]]:
    return {kind: {} for kind in ENTITY_KINDS}


@dataclass(frozen=True, slots=True)
class EntityStore:
    """Rows by kind and id, in the order they were made. Rows are never changed in place."""

    rows: Mapping[str, Mapping[str, Row]] = field(default_factory=_no_rows, repr=False)

    @classmethod
    def of(cls, state: GatewayState, gateway: str, *, now: int) -> EntityStore:
        """Return the store of what a state file declares, made at the time ``now`` (whole seconds)."""
        rows = _no_rows()
        for declared in state.declared:
            rows[declared.kind][declared.entity.id] = declared_row(declared, gateway, now=now)
        return cls(rows)

    def find(self, kind: str, key: str) -> Row | None:
        """Return the row with this id or, for a key that is no UUID, with this name; None without one."""
        if is_uuid(key):
            return self.rows[kind].get(key.lower())
        return self.find_by(kind, ENTITY_KINDS[kind].key, key)

    def find_by(self, kind: str, name: str, value: str) -> Row | None:
        """Return the row of which the unique field ``name`` has this value."""
        return next((row for row in self.rows[kind].values() if row[name] == value), None)

    def children(self, kind: str, name: str, parent_id: str) -> Iterator[Row]:
        """Yield the rows of ``kind`` that refer with the field ``name`` to this parent."""
        return (row for row in self.rows[kind].values() if row[name] is not None and row[name]["id"] == parent_id)

    def added(self, kind: str, row: Row) -> EntityStore:
        """Return the store with a new row. Raises AdminError, as :meth:`put` does, and when the id is taken."""
        if row["id"] in self.rows[kind]:
            raise primary_key_violation(row["id"])
        return self.put(kind, row)

    def put(self, kind: str, row: Row) -> EntityStore:
        """Return the store with this row, new or in the place of the one with its id.

        Raises AdminError when it refers to what is not there or has what only one may have.
        """
        meta = ENTITY_KINDS[kind]
        for name, referred in meta.foreign.items():
            if row[name] is not None and row[name]["id"] not in self.rows[referred]:
                raise missing_reference(name, row[name]["id"], referred)
        others = [other for own_id, other in self.rows[kind].items() if own_id != row["id"]]
        for name in meta.unique:
            if row[name] is not None and any(other[name] == row[name] for other in others):
                raise unique_violation({name: row[name]})
        if kind == "plugins":
            scope = {name: row[name] for name in _PLUGIN_SCOPE}
            if any(all(other[name] == value for name, value in scope.items()) for other in others):
                raise unique_violation(scope)
        return EntityStore({**self.rows, kind: {**self.rows[kind], row["id"]: row}})

    def removed(self, kind: str, own_id: str) -> EntityStore:
        """Return the store without a row and what goes with it. Raises AdminError when something else needs it."""
        for child, meta in ENTITY_KINDS.items():
            for name, referred in meta.foreign.items():
                needed = referred == kind and (child, name) in _RESTRICTED
                if needed and any(True for _ in self.children(child, name, own_id)):
                    raise still_referenced(kind, child)
        store = EntityStore(
            {**self.rows, kind: {each: row for each, row in self.rows[kind].items() if each != own_id}}
        )
        for child, meta in ENTITY_KINDS.items():
            for name, referred in meta.foreign.items():
                if referred == kind:
                    for row in list(store.children(child, name, own_id)):
                        store = store.removed(child, row["id"])
        return store


def is_uuid(text: str) -> bool:
    """Return whether ``text`` is a UUID in its usual form."""
    if len(text) != 36 or text.count("-") != 4:
        return False
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
