"""Which metering plugins there are. A new one adds its line here."""

from __future__ import annotations

from .amberflo.kind import AMBERFLO
from .metering_and_billing.kind import METERING_AND_BILLING
from .plugin_kind import PluginKind

PLUGIN_KINDS = (METERING_AND_BILLING, AMBERFLO)


def plugin_kind(name: object) -> PluginKind | None:
    """Return the metering plugin that goes by ``name``; None when no metering plugin does."""
    return next((kind for kind in PLUGIN_KINDS if name in kind.names), None)
