"""The metering plugins that a load can go through. A new one adds its line here, and one in ``queue_model.py``."""

from __future__ import annotations

from collections.abc import Mapping

from loadtests.plugins.amberflo import AmberfloUnderLoad
from loadtests.plugins.loaded_plugin import LoadedPlugin
from loadtests.plugins.metering_and_billing import MeteringAndBillingUnderLoad

_EVERY: tuple[LoadedPlugin, ...] = (MeteringAndBillingUnderLoad(), AmberfloUnderLoad())

#: By name; the first is the default.
LOADED_PLUGINS: Mapping[str, LoadedPlugin] = {plugin.name: plugin for plugin in _EVERY}
DEFAULT_PLUGIN = _EVERY[0].name
