"""Every plugin of one gateway, found by name and by scope: what a rule asks when it looks beyond its plugin.

A gateway may have thousands of instances, one for each Consumer say, so no rule goes through all for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..config_file import ConfigFile, FoundPlugin
from ..plugin_kind import PluginKind
from ..plugin_kinds import plugin_kind
from .scopes import Scope, scope_of

#: Formats whose files hold all that a gateway is configured with.
_STATE_FORMATS = frozenset(("deck", "dbless"))


@dataclass(frozen=True, slots=True)
class PlacedPlugin:
    """A plugin of any name and where it runs.

    ``kind`` is None for one that does not meter; ``place`` is its index among the gateway's plugins.
    """

    plugin: FoundPlugin
    kind: PluginKind | None
    scope: Scope
    place: int

    @property
    def runs(self) -> bool:
        """Whether it runs for any request at all."""
        return self.plugin.attached and self.plugin.data.get("enabled") is not False

    def is_same_object(self, other: PlacedPlugin) -> bool:
        """Return whether both stand for one object of a manifest, attached in two places."""
        one, two = self.plugin, other.plugin
        return (
            one.line() is not None
            and (one.file, one.line()) == (two.file, two.line())
            and one.data.get("config") == two.data.get("config")
        )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The plugins of one gateway, in the order of its files.

    ``is_state`` says whether the files are the whole state of a gateway, so that what is not there is not configured.
    ``running`` has those that run, by name; ``instances`` the metering ones among them, by their usual name and then
    by what kinds of entity they are limited to.
    """

    plugins: Sequence[PlacedPlugin]
    is_state: bool
    running: Mapping[str, Sequence[PlacedPlugin]] = field(repr=False)
    instances: Mapping[str, Mapping[frozenset[str], Sequence[PlacedPlugin]]] = field(repr=False)
    _first: Mapping[tuple[object, ...], PlacedPlugin] = field(repr=False)

    @classmethod
    def of(cls, files: Sequence[ConfigFile]) -> Surroundings:
        """Return the surroundings that the plugins of ``files`` make."""
        every = [plugin for file in files for plugin in file.plugins]
        plugins = [
            PlacedPlugin(plugin, plugin_kind(plugin.name), scope_of(plugin), place)
            for place, plugin in enumerate(every)
        ]
        running: dict[str, list[PlacedPlugin]] = {}
        instances: dict[str, dict[frozenset[str], list[PlacedPlugin]]] = {}
        first: dict[tuple[object, ...], PlacedPlugin] = {}
        for each in plugins:
            if not each.runs:
                continue
            running.setdefault(each.plugin.name, []).append(each)
            if each.kind is not None:
                instances.setdefault(each.kind.name, {}).setdefault(frozenset(each.scope), []).append(each)
                for identity in _identities(each):
                    first.setdefault(identity, each)
        return cls(plugins, all(file.format in _STATE_FORMATS for file in files), running, instances, first)

    def twin(self, of: PlacedPlugin) -> PlacedPlugin | None:
        """Return the first instance with the same scope if it stands before ``of``, which meters and runs."""
        firsts = (self._first[identity] for identity in _identities(of))
        return next((each for each in firsts if each.place < of.place and not each.is_same_object(of)), None)


def _identities(placed: PlacedPlugin) -> Iterator[tuple[object, ...]]:
    """Yield what two plugins with one scope have in common: all targets by name, all by id."""
    assert placed.kind is not None
    for key in ("name", "id") if placed.scope else ("name",):
        if all(key in target for target in placed.scope.values()):
            yield (placed.kind.name, key, *sorted((kind, target[key]) for kind, target in placed.scope.items()))
