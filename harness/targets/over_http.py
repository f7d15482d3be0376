"""What a gateway that is reached over HTTP alone cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.targets.target import PluginOptions


class OverHttpOnly:
    """The part of the target protocol that takes a look inside. Never called: such a target lacks the capability."""

    def simulate(self, schedule: Mapping[str, Any]) -> dict[str, Any]:
        """Not to be had of a gateway in real time."""
        raise NotImplementedError

    def set_plugin_options(self, options: PluginOptions) -> None:
        """Not to be had of a gateway that somebody else makes."""
        raise NotImplementedError

    def advice(self, plugins: Sequence[Mapping[str, Any]]) -> list[str]:
        """Not to be had of a gateway: advice is the generator's."""
        raise NotImplementedError

    def pipeline_events(
        self, plugin: Mapping[str, Any], exchanges: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Not to be had of a gateway behind HTTP."""
        raise NotImplementedError
