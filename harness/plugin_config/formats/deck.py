"""decK: a state file, ``kong.yaml``, in which decK fills in ``${{ env "DECK_…" }}`` from its environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plugin_emulator.documents import Pointer

from ..entity import PluginEntity, Reference
from .format import Limit, OutputFile, RenderOptions
from .state_plugins import state_file_text
from .yaml_text import Verbatim

FILE_NAME = "kong.yaml"
#: decK reads no other variables.
PREFIX = "DECK_"


@dataclass(frozen=True, slots=True)
class Deck:
    """Writes decK state files. One file holds any number of plugins."""

    name: str = "deck"
    title: str = "decK state file"
    limits: Sequence[Limit] = ()

    def render(self, entities: Sequence[PluginEntity], options: RenderOptions) -> list[OutputFile]:
        """Return ``kong.yaml``. Raises CannotExpress for text that YAML cannot hold.

        A Reference is written between single quotes, so that whatever decK fills in stays text. The one thing it
        may not hold is a single quote.
        """
        return [OutputFile(FILE_NAME, deck_text(self.name, entities))]


def deck_text(format_name: str, entities: Sequence[PluginEntity]) -> str:
    """Return a decK state file; ``format_name`` is the format told in CannotExpress."""
    return state_file_text(format_name, {"_format_version": "3.0"}, entities, _environment)


def _environment(entity: PluginEntity, at: Pointer, reference: Reference) -> str:
    return Verbatim(f'${{{{ env "{PREFIX}{reference.name}" }}}}')


FORMAT = Deck()
