"""A configuration file as it was read: the plugins in it, each with the lines its values stand on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from plugin_emulator.documents import Pointer, Problem

from .entity import Value


@dataclass(frozen=True, slots=True)
class FoundPlugin:
    """A plugin of any name where it stands in a file.

    ``data`` has the shape of the gateway's plugin entity (name, config, service, …), whatever shape the file has,
    as written: not checked, unknown fields kept, a :class:`~.entity.Reference` where the tool fills something in.
    A plugin that stands inside a Service, Route or Consumer has it as its scope: ``{"service": {"name": …}}``.
    ``lines`` maps pointers into ``data`` to lines from 1; a pointer that is missing stands on its nearest
    ancestor's. ``attached`` is false for one that the file attaches to nothing, and that is not global either
    (a KongPlugin that no annotation names).
    """

    data: dict[str, Value]
    file: str
    lines: Mapping[Pointer, int] = field(repr=False)
    attached: bool = True

    @property
    def name(self) -> str:
        """The plugin's name; empty when it has none."""
        name = self.data.get("name")
        return name if isinstance(name, str) else ""

    def line(self, pointer: Pointer = ()) -> int | None:
        """Return the line of the value at ``pointer``, or of its nearest ancestor that has one."""
        while pointer and pointer not in self.lines:
            pointer = pointer[:-1]
        return self.lines.get(pointer)

    def located(self, problem: Problem) -> Problem:
        """Return ``problem``, its pointer relative to the entity, with file and line filled in."""
        return replace(problem, file=self.file, line=self.line(problem.pointer))


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file: its format's name (``deck``, ``kic``, …), and every plugin in it, in its order.

    ``around`` are things that stand beside the plugins, matter to them, and are in none of them (the workspace they
    go to), each with its place.
    """

    file: str
    format: str
    plugins: tuple[FoundPlugin, ...]
    around: tuple[Problem, ...] = ()
