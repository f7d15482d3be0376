"""The metering plugins there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from plugin_emulator.amberflo.plugin import Amberflo
from plugin_emulator.gateway_versions import NEWEST_GATEWAY
from plugin_emulator.journal import Observer
from plugin_emulator.metering_and_billing.plugin import MeteringAndBilling
from plugin_emulator.metering_plugin import MeteringPlugin, PluginProcess
from plugin_emulator.runtime.metering_runtime import Maker, MeteringRuntime

#: In the order of their priorities.
METERING_PLUGINS: tuple[MeteringPlugin, ...] = (MeteringAndBilling(), Amberflo())

#: By each name that they can be configured under.
BY_NAME: Mapping[str, MeteringPlugin] = {name: plugin for plugin in METERING_PLUGINS for name in plugin.names}


class _Addressed(msgspec.Struct):
    """Of a schedule, the plugin it is for; without one it is the first one's."""

    plugin: str = METERING_PLUGINS[0].names[0]


#: By their own name: what an option may be set to besides its default.
OptionValues = Mapping[str, Mapping[str, Any]]


def plugin_options(given: OptionValues) -> dict[str, msgspec.Struct]:
    """Return the options of every plugin by its own name, those not ``given`` by default.

    A value may be of the option's type or text that stands for it. Raises LookupError for a plugin that is not there,
    msgspec.ValidationError for an option that is none or a value that does not fit.
    """
    known = {plugin.names[0]: plugin.options for plugin in METERING_PLUGINS}
    for name in given:
        if name not in known:
            raise LookupError(f"there is no metering plugin {name!r}; known are {', '.join(known)}")
    return {name: msgspec.convert(given.get(name, {}), options, strict=False) for name, options in known.items()}


class ScheduleDecoder:
    """Decodes schedules as JSON, each for the plugin that it names."""

    def __init__(self) -> None:
        self._plugin = msgspec.json.Decoder(_Addressed)
        self._schedule = {name: msgspec.json.Decoder(plugin.schedule) for name, plugin in BY_NAME.items()}

    def decode(self, line: bytes) -> tuple[MeteringPlugin, msgspec.Struct]:
        """Return the plugin and its schedule. Raises msgspec.DecodeError."""
        name = self._plugin.decode(line).plugin
        if name not in BY_NAME:
            raise msgspec.ValidationError(f"Expected one of: {', '.join(BY_NAME)} - at `$.plugin`")
        return BY_NAME[name], self._schedule[name].decode(line)


def simulate_schedule(schedule: Mapping[str, Any]) -> dict[str, Any]:
    """Simulate a schedule given as JSON data, for the plugin that it names, and return its trace as JSON data.

    Raises msgspec.ValidationError, whose text names the place, when the schedule is not one.
    """
    plugin, decoded = ScheduleDecoder().decode(msgspec.json.encode(schedule))
    result: dict[str, Any] = msgspec.to_builtins(plugin.trace(decoded))
    return result


def metering_runtime(
    gateway: str = NEWEST_GATEWAY,
    options: OptionValues | None = None,
    log: Callable[[str], None] = lambda line: None,
    observe: Observer | None = None,
) -> MeteringRuntime:
    """Return a runtime for every plugin there is. Call it inside a running event loop.

    ``gateway`` is the version to emulate; ``log`` is given lines for an operator, ``observe`` told of how requests
    are metered and their events delivered. Raises as :func:`plugin_options`.
    """
    process = PluginProcess(gateway, log, observe)
    of_plugin = plugin_options(options or {})
    makers: dict[str, Maker] = {}
    for plugin in METERING_PLUGINS:
        for name in plugin.names:
            makers[name] = (plugin.start(process, of_plugin[plugin.names[0]]), plugin.phases)
    return MeteringRuntime(makers, log, observe)
