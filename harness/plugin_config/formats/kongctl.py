"""kongctl: Konnect's declarative file, which has decK apply a state file to a control plane.

kongctl itself has no words for a gateway's plugins: its ``_deck`` names the state files that it hands to decK.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..entity import PluginEntity, is_uuid
from . import deck
from .format import CannotExpress, Limit, OutputFile, RenderOptions
from .yaml_text import NotInYaml, yaml_text

FILE_NAME = "konnect.yaml"
_PLACEHOLDER = "controlPlaneId"
_WARNING = (
    "# Run: kongctl apply -f konnect.yaml\n"
    f"# Not sync: it would delete whatever the control plane has and {deck.FILE_NAME} has not.\n"
)


@dataclass(frozen=True, slots=True)
class Kongctl:
    """Writes kongctl configurations: the control plane, and beside it the state file for decK."""

    name: str = "kongctl"
    title: str = "kongctl (Konnect), with a decK state file"
    limits: Sequence[Limit] = (
        Limit("AI Gateway policies", "the plugin goes to a control plane; an AI Gateway's policies are not written"),
    )

    def render(self, entities: Sequence[PluginEntity], options: RenderOptions) -> list[OutputFile]:
        """Return ``konnect.yaml`` and, to be put into the same folder, ``kong.yaml``.

        The control plane is declared as one that exists and that kongctl does not own: by its id, or by its name
        when ``options.control_plane`` is no id. Raises CannotExpress for text that YAML cannot hold.
        """
        state = deck.deck_text(self.name, entities)
        try:
            main = yaml_text({"control_planes": [_control_plane(options.control_plane or _PLACEHOLDER)]})
        except NotInYaml as error:
            raise CannotExpress(self.name, "control plane", error.reason, "correct its id") from None
        return [OutputFile(FILE_NAME, _WARNING + main), OutputFile(deck.FILE_NAME, state)]


def _control_plane(target: str) -> dict[str, object]:
    by_id = is_uuid(target) or target == _PLACEHOLDER
    external = {"id": target} if by_id else {"selector": {"matchFields": {"name": target}}}
    return {"ref": "metered-control-plane", "_external": external, "_deck": {"files": [deck.FILE_NAME]}}


FORMAT = Kongctl()
