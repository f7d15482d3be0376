"""The gateway's entities, as a state file declares them and with Kong's defaults filled in.

All are immutable and hashable; an entity refers to another by holding it. Two entities are the same when all their
fields are: ids are unique among the entities of one kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plugin_emulator.conditions import Condition
from plugin_emulator.documents import Problem


@dataclass(frozen=True, slots=True)
class Service:
    """An upstream API. Time-outs are in milliseconds; ``retries`` counts the tries after the first one."""

    id: str
    host: str
    name: str | None = None
    protocol: str = "http"
    port: int = 80
    path: str | None = None
    retries: int = 5
    connect_timeout: int = 60_000
    read_timeout: int = 60_000
    write_timeout: int = 60_000
    tags: tuple[str, ...] = ()
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Route:
    """A rule that leads requests to a Service, or, without one, to a plugin that answers by itself.

    An empty ``methods``, ``hosts``, ``paths`` or ``headers`` matches everything. A path that begins with ``~`` is a
    regular expression. ``headers`` is a tuple of (lower-case name, accepted values); a single value that begins with
    ``~*`` is a regular expression.
    """

    id: str
    name: str | None = None
    service: Service | None = None
    protocols: tuple[str, ...] = ("http", "https")
    methods: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    headers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    strip_path: bool = True
    preserve_host: bool = False
    regex_priority: int = 0
    path_handling: str = "v0"
    https_redirect_status_code: int = 426
    request_buffering: bool = True
    response_buffering: bool = True
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Consumer:
    """A client of the gateway; at least one of ``username`` and ``custom_id`` is set."""

    id: str
    username: str | None = None
    custom_id: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyAuthCredential:
    """A Consumer's API key. The key is a secret: it is in no ``repr``."""

    id: str
    key: str = field(repr=False)
    consumer: Consumer
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PluginInstance:
    """A plugin with its configuration and its scope; a scope of None, None, None is global (SPEC CFG-9).

    ``config`` is the typed form that the plugin of this ``name`` has for it. ``condition`` decides for each request
    whether it runs; None runs always (SPEC CND).
    """

    id: str
    name: str
    config: Any
    enabled: bool = True
    instance_name: str | None = None
    protocols: tuple[str, ...] = ("grpc", "grpcs", "http", "https")
    service: Service | None = None
    route: Route | None = None
    consumer: Consumer | None = None
    condition: Condition | None = None
    tags: tuple[str, ...] = ()


Entity = Service | Route | Consumer | KeyAuthCredential | PluginInstance


@dataclass(frozen=True, slots=True)
class DeclaredEntity:
    """An entity with the ``fields`` it was written with (secrets among them); ``kind`` is ``services`` …"""

    kind: str
    fields: Mapping[str, Any]
    entity: Entity


@dataclass(frozen=True, slots=True)
class GatewayState:
    """Everything one state file declares, in its order, nested entities after those beside their parent.

    ``warnings`` are problems the gateway lives with, such as a vault reference that could not be resolved;
    ``declared`` are the same entities as they were written.
    """

    services: tuple[Service, ...] = ()
    routes: tuple[Route, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    credentials: tuple[KeyAuthCredential, ...] = ()
    plugins: tuple[PluginInstance, ...] = ()
    warnings: tuple[Problem, ...] = ()
    declared: tuple[DeclaredEntity, ...] = field(default=(), repr=False, compare=False)
