"""``kong-metering config``: the plugin's configuration, for every tool that can carry it."""

from __future__ import annotations

from .main import Verbs

command = Verbs(
    name="config",
    help="Generate, check and size the plugin's configuration.",
    table={
        "convert": ("config_convert", "Turn a configuration of one format into another."),
        "formats": ("config_formats", "List the output formats, and what each cannot express."),
        "lint": ("config_lint", "Advice on a configuration that the gateway would take."),
        "render": ("config_render", "Write a configuration from a short description of intent."),
        "size": ("config_size", "Queue settings that lose nothing, found in virtual time."),
        "validate": ("config_validate", "Check files as the gateway of a version would."),
    },
)
