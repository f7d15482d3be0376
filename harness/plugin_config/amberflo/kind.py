"""The Amberflo plugin, as the generator sees it."""

from __future__ import annotations

from plugin_emulator.amberflo.config import PLUGIN_NAMES, validate_plugin

from ..plugin_kind import PluginKind, PluginServer
from .derivation import DECIDED_BY, derive_config

AMBERFLO = PluginKind(
    names=PLUGIN_NAMES,
    secrets=(("apiKey",),),
    referenceable=frozenset(),
    typed_resource=None,
    validate=validate_plugin,
    derive_config=derive_config,
    decided_by=DECIDED_BY,
    server=PluginServer("github.com/amberflo/kong-plugin-amberflo", "kong-plugin-amberflo"),
)
