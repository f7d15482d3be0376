"""Kong's metering-and-billing plugin, as the generator sees it."""

from __future__ import annotations

from plugin_emulator.metering_and_billing.config import PLUGIN_NAME
from plugin_emulator.metering_and_billing.plugin_entity import validate_plugin

from ..plugin_kind import PluginKind
from .derivation import DECIDED_BY, derive_config

METERING_AND_BILLING = PluginKind(
    names=(PLUGIN_NAME,),
    secrets=(("api_token",),),
    referenceable=frozenset({("api_token",), ("ingest_endpoint",)}),
    typed_resource="metering_and_billing",
    validate=validate_plugin,
    derive_config=derive_config,
    decided_by=DECIDED_BY,
)
