"""A gateway state compiled for proxying: what to do with a request is looked up, not worked out anew.

A configuration change makes a new snapshot; requests under way finish with the one they began with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plugin_emulator import exchange
from plugin_emulator.gateway.ai_proxy import AiRoute, ai_route
from plugin_emulator.gateway.entities import Consumer, GatewayState, PluginInstance, Route, Service
from plugin_emulator.gateway.forwarding import RequestHeaders
from plugin_emulator.gateway.gateway_plugins import AI_PROXY, KEY_AUTH
from plugin_emulator.gateway.http1 import MessageError, parse_request_line
from plugin_emulator.gateway.key_auth import Identity, KeyAuth
from plugin_emulator.gateway.key_auth_config import KeyAuthConfig
from plugin_emulator.gateway.metering_instances import MeteringInstances, MeteringSelection
from plugin_emulator.gateway.plugin_conditions import RouteConditions
from plugin_emulator.gateway.plugin_precedence import PluginPrecedence
from plugin_emulator.gateway.router import Router
from plugin_emulator.gateway.uri import normalize, upstream_path, upstream_path_v1
from plugin_emulator.metering_plugin import Configured
from plugin_emulator.metering_plugins import BY_NAME as METERING

_MAX_PLANS = 4096
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """Where a Service's requests go, with its time-outs in seconds; ``server_name`` is set for TLS.

    Compared by identity, which is what a pool of connections wants; a snapshot makes equal ones only once.
    """

    host: str
    port: int
    server_name: str | None
    connect_timeout: float
    read_timeout: float
    write_timeout: float


class RouteChain:
    """A Route with everything that its requests share: Service, endpoint and plugins."""

    __slots__ = (
        "_metering",
        "_metering_of",
        "ai",
        "conditions",
        "endpoint",
        "exchange_route",
        "exchange_service",
        "key_auth",
        "retries",
        "route",
        "service",
    )

    def __init__(
        self,
        route: Route | None,
        metering: MeteringSelection,
        authentication: PluginInstance | None,
        key_auth: KeyAuth | None,
        endpoint: Endpoint | None,
        instances: Mapping[str, PluginInstance],
        ai: AiRoute | None = None,
    ) -> None:
        service = route.service if route else None
        self.route = route
        self.service = service
        self.key_auth = key_auth
        self.ai = ai
        self.endpoint = endpoint
        self.retries = service.retries if service else 0
        self.exchange_route = exchange.Route(route.id, route.name) if route else None
        self.exchange_service = (
            exchange.Service(service.id, service.name, service.port, service.protocol) if service else None
        )
        ids = (route.id if route else None, service.id if service else None)
        self._metering = metering.select(*ids)
        self._metering_of = (
            {consumer: metering.select(*ids, consumer) for consumer in metering.consumers} if route else {}
        )
        candidates = {each for some in (self._metering, *self._metering_of.values()) for each in some.every}
        #: None when no plugin that may run has a condition
        self.conditions = RouteConditions.of(route, candidates, authentication, instances)

    def metering(self, consumer: str | None) -> MeteringInstances:
        """Return the metering instances that run for a request of this Consumer (its id)."""
        return self._metering_of.get(consumer, self._metering) if consumer else self._metering


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with requests that have this request line and Host.

    The upstream head is ``start`` + what precedes the gateway in Via + ``middle`` + what precedes the client in
    X-Forwarded-For + the client's address + ``end`` + the client's address + request id and headers.
    ``host`` is the client's, lower-case, without port.
    """

    chain: RouteChain
    method: str
    path: str
    query: str | None
    host: str
    upstream_path: str
    upstream_query: str
    start: str
    middle: str
    end: str
    https_only: bool


class Snapshot:
    """The compiled form of ``state``.

    ``via`` is the gateway's name in Via, ``proxy_port`` its own port, ``upstream`` an address that stands in for all
    Services (the echo upstream). ``before`` is the snapshot this one takes the place of: what is made for a
    credential that both have is made once. Raises re.error for a Route with an unusable regular expression.
    """

    def __init__(
        self,
        state: GatewayState,
        *,
        via: str,
        proxy_port: int,
        upstream: tuple[str, int] | None = None,
        before: Snapshot | None = None,
    ) -> None:
        self._via = via
        self._proxy_port = proxy_port
        self._upstream = upstream
        self._plans: dict[tuple[bytes, object], Plan] = {}
        self._endpoints: dict[tuple[object, ...], Endpoint] = {}
        routes = [route for route in state.routes if route.service is None or route.service.enabled]
        self._router = Router(routes)
        identities = _identities(state, before._identities if before else {})
        self._identities: dict[str, Identity] = identities
        metering = MeteringSelection(state.plugins)
        authentication = PluginPrecedence(state.plugins, KEY_AUTH)
        models = PluginPrecedence(state.plugins, AI_PROXY)
        authenticators = {
            instance.id: KeyAuth(instance.config, identities, _anonymous(instance.config, state.consumers))
            for instance in state.plugins
            if isinstance(instance.config, KeyAuthConfig)
        }
        self._chains: dict[str, RouteChain] = {}
        enabled = {instance.id: instance for instance in state.plugins if instance.enabled}
        for route in routes:
            instance = authentication.select(route.id, route.service.id if route.service else None)
            key_auth = authenticators[instance.id] if instance else None
            ai = ai_route(models.select(route.id, route.service.id if route.service else None), route.service)
            endpoint = self._endpoint(ai.provider if ai else route.service)
            self._chains[route.id] = RouteChain(route, metering, instance, key_auth, endpoint, enabled, ai)
        #: for requests without a Route: only global instances (FLT-7)
        self.unrouted = RouteChain(None, metering, None, None, None, enabled)
        #: the enabled metering instances, by id
        self.metering: dict[str, Configured] = {
            instance.id: Configured(instance.name, instance.config)
            for instance in state.plugins
            if instance.enabled and instance.name in METERING
        }

    def plan(self, line: bytes, headers: RequestHeaders) -> Plan:
        """Return the plan for a request line (without its line end) and headers. Raises MessageError."""
        routed_by: object = headers.host
        if self._router.header_names:
            routed_by = (headers.host, *(self._values(headers, name) for name in self._router.header_names))
        plan = self._plans.get((line, routed_by))
        if plan is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            plan = self._plans[line, routed_by] = self._make_plan(line, headers)
        return plan

    def _make_plan(self, line: bytes, headers: RequestHeaders) -> Plan:
        request = parse_request_line(line)
        if request.minor == 1 and headers.host is None:
            raise MessageError
        raw_host = request.host if request.host is not None else headers.host or ""
        if any(character in raw_host for character in "/\\ \t,"):
            raise MessageError
        host, port = _split_host(raw_host.lower(), self._proxy_port)
        path = normalize(request.path)
        match = self._router.find(
            request.method,
            host,
            port,
            path,
            {name: self._values(headers, name) for name in self._router.header_names},
        )
        if match is None:
            return Plan(self.unrouted, request.method, request.path, request.query, host, "", "", "", "", "", False)
        route = match.route
        service = route.service
        rewrite = upstream_path_v1 if route.path_handling == "v1" else upstream_path
        ai = self._chains[route.id].ai
        if ai is not None:
            target = ai.provider.path or "/"
        else:
            target = rewrite(service.path if service else None, path, match.path, strip=route.strip_path)
        query = "" if request.query is None else f"?{request.query}"
        upstream_host = raw_host if route.preserve_host and ai is None else _authority(ai.provider if ai else service)
        prefix = f"X-Forwarded-Prefix: {match.path}\r\n" if route.strip_path and match.path else ""
        return Plan(
            self._chains[route.id],
            request.method,
            request.path,
            request.query,
            host,
            target,
            query,
            f"{request.method} {target}{query} HTTP/1.1\r\nVia: ",
            f"1.{request.minor} {self._via}\r\nHost: {upstream_host}\r\nConnection: keep-alive\r\nX-Forwarded-For: ",
            f"\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: {host or 'kong'}\r\n"
            f"X-Forwarded-Port: {self._proxy_port}\r\nX-Forwarded-Path: {request.path}\r\n{prefix}X-Real-IP: ",
            "https" in route.protocols and "http" not in route.protocols,
        )

    def _endpoint(self, service: Service | None) -> Endpoint | None:
        if service is None:
            return None
        host, port = self._upstream or (service.host, service.port)
        server_name = service.host if service.protocol == "https" and not self._upstream else None
        timeouts = service.connect_timeout / 1000, service.read_timeout / 1000, service.write_timeout / 1000
        return self._endpoints.setdefault(
            (host, port, server_name, timeouts), Endpoint(host, port, server_name, *timeouts)
        )

    @staticmethod
    def _values(headers: RequestHeaders, name: str) -> tuple[str, ...]:
        return tuple(value for given, value in headers.fields.pairs if given.lower() == name)


def _identities(state: GatewayState, before: Mapping[str, Identity]) -> dict[str, Identity]:
    """Return who is behind each key."""
    identities = {}
    for credential in state.credentials:
        known = before.get(credential.key)
        same = known is not None and known.credential is credential
        identities[credential.key] = known if known and same else Identity(credential.consumer, credential)
    return identities


def _anonymous(config: KeyAuthConfig, consumers: tuple[Consumer, ...]) -> Identity | None:
    for consumer in consumers:
        if config.anonymous is not None and config.anonymous in (consumer.id, consumer.username):
            return Identity(consumer, None)
    return None


def _split_host(host: str, default_port: int) -> tuple[str, int]:
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit() and not host.endswith("]"):
        return name, int(port)
    return host.removesuffix(":"), default_port


def _authority(service: Service | None) -> str:
    if service is None:
        return ""
    host = f"[{service.host}]" if ":" in service.host and not service.host.startswith("[") else service.host
    return host if service.port == _DEFAULT_PORTS.get(service.protocol) else f"{host}:{service.port}"
