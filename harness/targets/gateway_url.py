"""Any running gateway as a target: found by its URLs, configured through its Admin API or by its owner."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from harness.conformance.profiles import profiles
from harness.targets.admin_api import AdminApi
from harness.targets.echo_upstream import EchoUpstream, with_upstream
from harness.targets.gateway_version import profile_for
from harness.targets.limits import NO_LIMITS, Limits
from harness.targets.over_http import OverHttpOnly
from harness.targets.stand_in import PROFILE as STAND_IN_PROFILE
from harness.targets.stand_in import runs_the_stand_in, stand_in_limits
from harness.targets.target import Capability, NotApplicableError, TargetUnavailableError

#: Seconds between a configuration's being taken and every worker's routing by it, where nobody tells (Kong's
#: ``worker_state_update_frequency`` is five seconds with a database; DB-less it is a matter of milliseconds).
PROPAGATION = 0.5
#: How far the clock of another machine may be from ours, in seconds.
CLOCK_TOLERANCE = 1.0
_PLACEHOLDERS = ("id", "lane")
_WITHOUT_UPSTREAMS = Limits(
    event_fields={
        "service_port": "the emulated gateway has no Upstreams: its Services lead to the suite's echo upstream, on a "
        "port of its own, and keep theirs only with its own (gateway --echo-upstream)"
    }
)


@dataclass(frozen=True, slots=True)
class UrlWish:
    """Where the gateway is, and how it reaches us.

    ``admin_url`` None: its owner has configured it, with ``standing`` (a declarative configuration).
    ``upstream_bind`` and ``upstream_port`` are where the echo upstream listens, ``upstream_host`` how the gateway
    reaches it.
    """

    proxy_url: str
    admin_url: str | None = None
    admin_token: str | None = field(default=None, repr=False)
    upstream_bind: str = "127.0.0.1"
    upstream_port: int = 0
    upstream_host: str = "127.0.0.1"
    clock_tolerance: float = CLOCK_TOLERANCE
    standing: Mapping[str, Any] | None = field(default=None, repr=False)


class GatewayUrlTarget(OverHttpOnly):
    """One gateway that somebody runs. It is never stopped, and what it is configured with last stays."""

    name = "url"
    capabilities: frozenset[Capability] = frozenset({"proxy"})

    def __init__(self, profile: str, wish: UrlWish) -> None:
        self.version = profiles()[profile].gateway
        self.genuine = True
        self.limits = NO_LIMITS
        self._profile = profile
        self.clock_tolerance = wish.clock_tolerance
        self._wish = wish
        self._admin = None if wish.admin_url is None else AdminApi(wish.admin_url, wish.admin_token)
        self._upstream = EchoUpstream(wish.upstream_bind, wish.upstream_port)
        self._tells_queues = False
        self._echoes = False
        self._plugins: frozenset[str] = frozenset()

    @property
    def proxy_url(self) -> str:
        """Base URL of the proxy."""
        return self._wish.proxy_url.rstrip("/")

    def start(self) -> None:
        """Make sure that the gateway is there. Raises TargetUnavailableError."""
        self._upstream.start()
        try:
            if self._admin is not None:
                status = self._admin.ask("GET", "/status")[0]
                if status in (401, 403):
                    raise TargetUnavailableError(
                        f"the Admin API at {self._admin.url} answers {status}: put a token into KONG_ADMIN_TOKEN"
                    )
                if status != 200:
                    raise TargetUnavailableError(f"the Admin API at {self._admin.url} answers /status with {status}")
                self._learn(self._admin)
        except BaseException:
            self.stop()
            raise

    def _learn(self, admin: AdminApi) -> None:
        """Find out which gateway it is. Raises TargetUnavailableError for one not to be judged by the profile."""
        told = admin.information()
        version = told.get("version")
        self._tells_queues = admin.metering() is not None  # as only the emulated gateway does
        if self._tells_queues:
            configuration = told.get("configuration")
            self._echoes = isinstance(configuration, dict) and configuration.get("echo_upstream") is True
            self.genuine = False
            self.limits = NO_LIMITS if self._echoes else _WITHOUT_UPSTREAMS
        elif runs_the_stand_in(told):
            self.genuine = False
            self.limits = stand_in_limits(self._profile)
        told_profile(told, self._profile)
        self.version = self.version if version is None else str(version)

    def stop(self) -> None:
        """End the echo upstream."""
        self._upstream.stop()

    def apply(self, state: Mapping[str, Any]) -> None:
        """Load ``state``, or make sure that it is what the gateway's owner was asked to configure.

        Raises ConfigurationRefusedError, TargetUnavailableError, NotApplicableError.
        """
        if self._admin is None:
            assert self._wish.standing is not None
            if comparable(state) != comparable(self._wish.standing):
                raise NotApplicableError("needs another configuration than the one the gateway stands with")
            return
        changed = dict(state)
        if not self._echoes:
            balanced = not self._tells_queues
            changed = with_upstream(state, self._wish.upstream_host, self._upstream.port, balanced=balanced)
        self._admin.load(changed)
        self._plugins = frozenset(str(plugin.get("id")) for plugin in state.get("plugins", ()))
        if not self._tells_queues:
            time.sleep(PROPAGATION)

    def settle(self, seconds: float) -> None:
        """Return when the queues applied last are empty, where the gateway tells; else after ``seconds``."""
        told = self._admin is not None and self._tells_queues and self._admin.settled(self._plugins, seconds)
        if not told:
            time.sleep(seconds)

    def idle(self) -> bool:
        """Return whether every queue is empty; False where the gateway does not tell."""
        return self._admin is not None and self._tells_queues and self._admin.idle()

    def queue_statistics(self) -> Mapping[str, Mapping[str, Any]] | None:
        """Return the counters of each plugin instance, by id; None where the gateway does not tell."""
        return self._admin.metering() if self._admin is not None and self._tells_queues else None

    def restart(self, how: str) -> None:
        """Not to be had: it is not ours to stop."""
        raise NotImplementedError

    def freeze(self, seconds: float) -> None:
        """Not to be had: its processes are not ours."""
        raise NotImplementedError

    def log_lines(self) -> list[str]:
        """Not to be had."""
        raise NotImplementedError


def told_profile(told: Mapping[str, Any], asked: str | None) -> str:
    """Return the profile for a gateway that tells this of itself at ``/``.

    The stand-in may be judged by any that is ``asked`` for. Raises TargetUnavailableError as ``profile_for`` does.
    """
    if runs_the_stand_in(told):
        return asked or STAND_IN_PROFILE
    version = told.get("version")
    return profile_for(None if version is None else str(version), asked)


def comparable(state: Mapping[str, Any]) -> str:
    """Return what of a declarative configuration matters to a scenario, the same text for the same configuration.

    Ids, the place of upstream and ingest endpoint, and tokens differ from run to run.
    """
    plain = copy.deepcopy(dict(state))
    for kind in ("services", "routes", "consumers", "plugins"):
        plain.setdefault(kind, [])
    for service in plain["services"]:
        url = service.pop("url", None)
        if url is not None and urlsplit(url).path:
            service["path"] = urlsplit(url).path
        for key in ("host", "port", "protocol"):
            service.pop(key, None)
    for plugin in plain["plugins"]:
        for key in _PLACEHOLDERS:
            plugin.pop(key, None)
        for key in ("ingest_endpoint", "api_token"):
            plugin.get("config", {}).pop(key, None)
    for key in ("_format_version", "upstreams"):
        plain.pop(key, None)
    plain["plugins"].sort(key=lambda plugin: json.dumps(plugin, sort_keys=True))
    return json.dumps(plain, sort_keys=True)
