"""The Amberflo plugin as a gateway sees it."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from plugin_emulator.documents import Problem
from plugin_emulator.event_ids import id_source
from plugin_emulator.http_url import is_http_url
from plugin_emulator.metering_plugin import InstanceMaker, Phase, PluginProcess
from plugin_emulator.schema_check import Schema

from .client import AmberfloClient, AmberfloClients
from .config import PLUGIN_NAMES, AmberfloConfig, config_schema, load_config, validate_plugin
from .instance import AmberfloInstance
from .meter_record import RecordMaker
from .retry_schedule import INGEST_ENDPOINTS, ClientVersion, retry_schedule
from .simulation import Schedule, Trace, trace


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``endpoint`` stands in for the ingest endpoint that the client has built in (SPEC AMB-13). Without one nothing
    is sent: an emulator must not bill anybody by default. ``client`` is the version of the Go client (AMB-9).
    ``shared_client`` False gives every key its own client, which the real plugin does not (AMB-10).
    """

    endpoint: str = ""
    client: ClientVersion = "2.0.2"
    shared_client: bool = True

    def __post_init__(self) -> None:
        if self.endpoint and not is_http_url(self.endpoint):
            raise ValueError("`endpoint` is not an absolute http(s) URL")


class Amberflo:
    """Fulfils :class:`plugin_emulator.metering_plugin.MeteringPlugin`."""

    names: tuple[str, ...] = PLUGIN_NAMES
    priority = 10
    phases: tuple[Phase, ...] = ("access",)
    options: type[msgspec.Struct] = Options
    schedule: type[msgspec.Struct] = Schedule

    def config_schema(self, gateway: str) -> Schema:
        """Return the schema of ``config``, the same for every gateway version."""
        return config_schema()

    def validate(self, entity: Any, gateway: str) -> list[Problem]:
        """Return what is wrong in a plugin entity, ``config`` included."""
        return validate_plugin(entity, gateway)

    def load(self, config: Any, gateway: str) -> AmberfloConfig:
        """Return the typed form of ``config``. Raises InvalidDocument."""
        return load_config(config)

    def trace(self, schedule: Schedule) -> Trace:
        """Return what the client does in virtual time."""
        return trace(schedule)

    def start(self, process: PluginProcess, options: Options) -> InstanceMaker:
        """Begin to work: all instances share one client, unless told otherwise (SPEC AMB-10).

        Each name is a plugin server of its own in Kong's configuration, and so a process with a client of its own.
        """
        new_id = id_source()
        schedule = retry_schedule(options.client, random.random)

        def client(config: AmberfloConfig) -> AmberfloClient:
            if not options.endpoint:
                real = INGEST_ENDPOINTS[options.client]
                process.log(f"amberflo: nothing is sent: plugin option amberflo.endpoint stands in for {real}")
            return AmberfloClient(config, options.endpoint, schedule, process.log)

        clients = AmberfloClients(client, shared=options.shared_client)
        return lambda instance_id, config: AmberfloInstance(
            instance_id, config, clients, lambda config: RecordMaker(config, new_id), process.log, process.observe
        )
