"""The metering-and-billing plugin as a gateway sees it."""

from __future__ import annotations

from typing import Any

import msgspec

from plugin_emulator.documents import Problem
from plugin_emulator.event_ids import id_source
from plugin_emulator.metering_plugin import InstanceMaker, Phase, PluginProcess
from plugin_emulator.runtime.simulation import Schedule, Trace, trace
from plugin_emulator.schema_check import Schema

from .config import PLUGIN_NAME, MeteringConfig, config_schema, load_config
from .instance import MeteringInstance
from .pipeline import Pipeline
from .plugin_entity import validate_plugin
from .subject import SubjectForm


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``subject_form`` says how a Consumer or an application is named in events (SPEC SUB-1, SUB-4)."""

    subject_form: SubjectForm = "username"


class MeteringAndBilling:
    """Fulfils :class:`plugin_emulator.metering_plugin.MeteringPlugin`."""

    names: tuple[str, ...] = (PLUGIN_NAME,)
    priority = 16
    phases: tuple[Phase, ...] = ("log",)
    options: type[msgspec.Struct] = Options
    schedule: type[msgspec.Struct] = Schedule

    def config_schema(self, gateway: str) -> Schema:
        """Return the schema of ``config`` in a gateway version. Raises ValueError for an unknown one."""
        return config_schema(gateway)

    def validate(self, entity: Any, gateway: str) -> list[Problem]:
        """Return what is wrong in a plugin entity, ``config`` included."""
        return validate_plugin(entity, gateway)

    def load(self, config: Any, gateway: str) -> MeteringConfig:
        """Return the typed form of ``config``. Raises InvalidDocument."""
        return load_config(config, gateway)

    def trace(self, schedule: Schedule) -> Trace:
        """Return what the queue of one instance does in virtual time."""
        return trace(schedule)

    def start(self, process: PluginProcess, options: Options) -> InstanceMaker:
        """Begin to work in a gateway process: every instance has a queue of its own (SPEC BAT-1)."""
        new_id = id_source()

        def pipeline(config: MeteringConfig) -> Pipeline:
            return Pipeline(config, process.gateway, options.subject_form, new_id)

        return lambda instance_id, config: MeteringInstance(
            instance_id, config, pipeline, process.log, process.observe
        )
