"""A metering plugin's instance as a file or an intent configures it: where it runs, and its biller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from harness.plugin_config.config_file import FoundPlugin
from harness.plugin_config.entity import MixedText, Reference, Value
from harness.plugin_config.lint.scopes import Scope, scope_of, scope_text
from harness.plugin_config.plugin_kind import PluginKind
from plugin_emulator.amberflo.config import PLUGIN_NAMES as AMBERFLO
from plugin_emulator.conditions import Condition, compile_condition
from plugin_emulator.documents import InvalidDocument, Pointer, Problem
from plugin_emulator.exchange import Exchange
from plugin_emulator.gateway.exchange_facts import kept_out
from plugin_emulator.metering_and_billing.config import PLUGIN_NAME as METERING_AND_BILLING
from plugin_emulator.metering_plugin import Drop
from plugin_emulator.metering_plugins import BY_NAME

from .amberflo import AmberfloBiller
from .bill import Bill, Biller
from .metering_and_billing import MeteringAndBillingBiller

#: Makes a biller of a plugin's loaded ``config``, its options, the gateway's version and a seed for ids.
_MakeBiller = Callable[[Any, Any, str, "int | None"], Biller]

#: The plugins that can be compared, by their own names. A new one adds its line here.
BILLERS: Mapping[str, _MakeBiller] = {
    METERING_AND_BILLING: lambda config, options, gateway, seed: MeteringAndBillingBiller(
        config, gateway, options.subject_form, seed
    ),
    AMBERFLO[0]: lambda config, options, gateway, seed: AmberfloBiller(config, options.client, seed),
}

#: Where events go and with which secret does not matter to what is billed.
_UNUSED = "{vault://env/unused}"


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a metering plugin: ``where`` it was found, the requests it runs for, and what it bills."""

    biller: Biller
    where: str
    scope: Scope
    enabled: bool
    condition: Condition | None

    @property
    def scope_text(self) -> str:
        """The scope in words."""
        return scope_text(self.scope)

    def bill(self, exchange: Exchange) -> Bill:
        """Return what a finished request is billed as by this instance."""
        drop = self._not_run(exchange)
        return self.biller.bill(exchange) if drop is None else Bill(drop=drop)

    def _not_run(self, exchange: Exchange) -> Drop | None:
        if not self.enabled:
            return Drop("FLT-3", "the plugin is disabled")
        entities = {"service": exchange.service, "route": exchange.route, "consumer": exchange.consumer}
        for kind, wanted in self.scope.items():
            if not _is(entities.get(kind), wanted):
                return Drop(
                    "FLT-1", f"not of {kind} {next(iter(wanted.values()), '?')}, to which the plugin is limited"
                )
        return kept_out(self.condition, exchange) if self.condition is not None else None


def instance_of(
    plugin: FoundPlugin, kind: PluginKind, gateway: str, options: Mapping[str, msgspec.Struct], seed: int | None
) -> Instance:
    """Return the instance that ``plugin`` configures in a gateway of that version.

    ``options`` has those of every plugin, by its own name. Raises InvalidDocument, located, for what the gateway
    would refuse and for values that are known only where the configuration is applied.
    """
    config = plugin.data.get("config")
    fields = dict(config) if isinstance(config, dict) else {}
    fields |= {str(place[0]): _UNUSED for place in (*kind.secrets, *kind.referenceable)}
    entity: dict[str, Value] = {**plugin.data, "config": fields}
    problems = list(_unknown(entity, ())) or list(BY_NAME[plugin.name].validate(entity, gateway))
    if problems:
        raise InvalidDocument([plugin.located(problem) for problem in problems])
    biller = BILLERS[kind.name](BY_NAME[plugin.name].load(fields, gateway), options[kind.name], gateway, seed)
    text = entity.get("condition")
    condition = compile_condition(text, gateway) if isinstance(text, str) else None
    line = plugin.line()
    where = plugin.file if line is None else f"{plugin.file}:{line}"
    return Instance(biller, where, scope_of(plugin), entity.get("enabled") is not False, condition)


def _unknown(value: Value, at: Pointer) -> list[Problem]:
    """Return a problem for each value inside ``value`` that is filled in later."""
    if isinstance(value, (Reference, MixedText)):
        return [Problem("is filled in only where the configuration is applied", at, "write the value itself")]
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [problem for name, part in parts for problem in _unknown(part, (*at, name))]


def _is(entity: Any, wanted: Mapping[str, str]) -> bool:
    """Return whether an exchange's entity is the one that a scope names."""
    if entity is None:
        return False
    names = {str(getattr(entity, field, "")) for field in ("id", "name", "username")}
    ids = {name.lower() for name in names}
    return any(value in (ids if key == "id" else names) for key, value in wanted.items())
