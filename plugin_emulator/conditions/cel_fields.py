"""The fields of CEL conditions (SPEC CND-2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import facts
from .facts import FIXED, Reader

Path = tuple[str, ...]

#: Fields that no request of the emulated gateway has.
_NEVER: tuple[Path, ...] = (
    ("consumer_group", "names"),
    ("consumer_group", "ids"),
    ("principal", "id"),
    ("principal", "display_name"),
    ("principal", "metadata"),
)
#: What higher-priority plugins leave behind: no plugin here does.
SHARED: Path = ("kong", "ctx", "shared")
#: Fields whose last part is the name of a header or parameter.
_NAMED: dict[Path, Callable[[str], Reader]] = {
    ("http", "headers"): facts.all_headers,
    ("http", "headers_list"): facts.all_headers,
    ("http", "queries"): facts.all_queries,
    ("http", "queries_list"): facts.all_queries,
}
_PLUGIN_ATTRIBUTES = ("is_matched", "priority", "access_has_executed")

_PATHS: dict[Path, Reader] = {
    **{tuple(name.split(".")): reader for name, reader in FIXED.items()},
    **dict.fromkeys(_NEVER, facts.nothing),
    ("http", "path_segments"): facts.segments,
}
#: Names an expression may begin with.
ROOTS = frozenset(path[0] for path in (*_PATHS, SHARED, ("plugins",)))
#: What stands above fields; it is no value by itself.
_ABOVE = frozenset(
    (
        *(path[:length] for path in (*_PATHS, SHARED) for length in range(1, len(path))),
        *_NAMED,
        ("plugins",),
    )
)


@dataclass(frozen=True, slots=True)
class Field:
    """A field that an expression names; ``path`` is its own part of what the expression selects."""

    path: Path
    reader: Reader

    @property
    def name(self) -> str:
        """Its name with dots."""
        return ".".join(self.path)


def field_of(path: Path) -> Field | None:
    """Return the field that ``path`` names or selects from; None when there is no such field."""
    if len(path) >= 3 and path[:2] in _NAMED:
        values = _NAMED[path[:2]](path[2])
        return Field(path[:3], values if path[1].endswith("_list") else facts.first_of(values))
    if len(path) >= 3 and path[0] == "plugins":
        return Field(path[:3], facts.plugin_state(path[1], path[2])) if path[2] in _PLUGIN_ATTRIBUTES else None
    for length in range(len(path), 1, -1):
        reader = _PATHS.get(path[:length])
        if reader is not None:
            return Field(path[:length], reader)
    return None


def is_above_fields(path: Path) -> bool:
    """Return whether ``path`` stands for several fields, as ``http.headers`` does."""
    return path in _ABOVE or (len(path) == 2 and path[0] == "plugins")


def is_shared(path: Path) -> bool:
    """Return whether ``path`` leads to ``kong.ctx.shared`` or into it."""
    return path[:3] == SHARED
