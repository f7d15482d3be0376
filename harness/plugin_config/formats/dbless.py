"""DB-less Kong: the declarative file ``kong.yml`` that the gateway itself reads when it starts.

Nothing is filled in while the file is read. What the gateway does look up, when it runs, are vault references in
fields made for them; so a variable becomes a reference to the gateway's own environment, ``{vault://env/…}``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plugin_emulator.documents import Pointer

from ..entity import PluginEntity, Reference
from ..plugin_kinds import plugin_kind
from .format import CannotExpress, Limit, OutputFile, RenderOptions
from .state_plugins import state_file_text

FILE_NAME = "kong.yml"
#: ``_transform`` is the gateway's own, and its default.
_HEAD: dict[str, object] = {"_format_version": "3.0", "_transform": True}
_PIECE = "# Kong reads one file that holds everything: add this to the one with the {targets} named below.\n"


@dataclass(frozen=True, slots=True)
class Dbless:
    """Writes declarative files for Kong without a database. One file holds any number of plugins."""

    name: str = "dbless"
    title: str = "Kong without a database: kong.yml"
    limits: Sequence[Limit] = (
        Limit("config", "a variable only where the gateway looks up vault references: api_token, ingest_endpoint"),
    )

    def render(self, entities: Sequence[PluginEntity], options: RenderOptions) -> list[OutputFile]:
        """Return ``kong.yml``.

        A plugin with a scope makes it a piece of a file, since Kong refuses one that names a Service, Route or
        Consumer it does not hold; a comment says so. For the same reason a scope yet to be filled in is no
        obstacle: it is decK's placeholder. Raises CannotExpress for a Reference in a field where the gateway looks
        nothing up, and for text that YAML cannot hold.
        """
        text = state_file_text(self.name, _HEAD, entities, _vault)
        targets = sorted({f"{kind}s" for entity in entities for kind in entity.scope})
        return [OutputFile(FILE_NAME, (_PIECE.format(targets=" and ".join(targets)) if targets else "") + text)]


def _vault(entity: PluginEntity, at: Pointer, reference: Reference) -> str:
    kind = plugin_kind(entity.name)
    if kind is None or at not in kind.referenceable:
        secret = ", with --allow-literal-secrets" if reference.secret else ""
        raise CannotExpress(
            FORMAT.name, ("config", *at), "Kong looks up no variable in this field", f"give the value itself{secret}"
        )
    return "{vault://env/" + reference.name.lower().replace("_", "-") + "}"


FORMAT = Dbless()
