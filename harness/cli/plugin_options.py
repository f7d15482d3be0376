"""``--plugin-option PLUGIN.NAME=VALUE``: how a metering plugin is emulated, beside its configuration."""

from __future__ import annotations

from collections.abc import Iterable

import click
import msgspec

from harness.cli.json_lines import what_is_wrong
from plugin_emulator.metering_plugins import plugin_options


def read_plugin_options(texts: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the values by plugin and option. Raises click.UsageError for what no plugin understands."""
    values: dict[str, dict[str, str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        plugin, dot, option = name.strip().rpartition(".")
        if not equals or not dot:
            raise click.UsageError(f"--plugin-option {name!r}: write PLUGIN.NAME=VALUE")
        values.setdefault(plugin, {})[option] = value.strip()
        try:
            plugin_options({plugin: {option: value.strip()}})
        except LookupError as error:
            raise click.UsageError(f"--plugin-option {name!r}: {error.args[0]}") from None
        except msgspec.ValidationError as error:
            raise click.UsageError(f"--plugin-option {name!r}: {what_is_wrong(error)}") from None
    return values
