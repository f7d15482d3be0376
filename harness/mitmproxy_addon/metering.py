"""What mitmproxy loads: ``mitmweb -s "$(kong-metering ingest --addon-path)"``."""

from harness.mitmproxy_addon.addon import MeteringAddon

addons = [MeteringAddon()]
