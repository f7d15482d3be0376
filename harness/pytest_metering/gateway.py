"""The fixture ``gateway``: the gateway under test, emulated or a user's own."""

from __future__ import annotations

import abc
import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import pytest
import requests

from harness.pytest_metering.gateway_process import GatewayProcess, call_admin
from harness.pytest_metering.ingest import Ingest
from harness.pytest_metering.settings import Settings
from harness.pytest_metering.state import State, example_state, metering_plugin, point_at, read_state
from harness.targets.target import ConfigurationRefusedError, Stop, TargetUnavailableError

#: Seconds that a request through the gateway may take.
REQUEST_TIMEOUT = 30.0
_POLL = 0.01
_LEFT_BEHIND = 0.5  # seconds that a test's last events may take, once it is over, before the gateway is killed
_BY_REASON = ("dropped", "lost")
_COUNTERS = ("requests", "events", "delivered", "posts", "failed_posts")


class Gateway(abc.ABC):
    """What a test can do with its gateway, whatever it is made of."""

    def __init__(self, settings: Settings, ingest: Ingest) -> None:
        self._settings = settings
        self._ingest = ingest
        self._session = requests.Session()
        self._session.trust_env = False  # neither a proxy nor a .netrc of the user's is meant for this
        ingest.metering = self

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """Base URL of the proxy, without a slash at its end."""

    @abc.abstractmethod
    def apply(self, state: State) -> None:
        """Replace the gateway's configuration with ``state`` as it is. Raises ConfigurationRefusedError."""

    @abc.abstractmethod
    def statistics(self) -> dict[str, Any]:
        """Return what metering counted in this test, all plugin instances together.

        ``requests``, ``events``, ``delivered``, ``posts`` and ``failed_posts`` are numbers; ``dropped`` (requests
        without an event) and ``lost`` (events) are numbers by reason.
        """

    @abc.abstractmethod
    def stop(self, how: Stop = "graceful") -> None:
        """Stop the gateway: ``graceful`` delivers what is queued, ``fast`` and ``kill`` lose it (LIF-1, LIF-2)."""

    @abc.abstractmethod
    def settle(self, seconds: float) -> str | None:
        """Wait until no event is on its way any more; return what is when ``seconds`` have passed."""

    @abc.abstractmethod
    def account(self) -> list[str]:
        """Return what metering says of itself, in lines."""

    def close(self) -> None:
        """End what the test began."""
        self._session.close()

    def configure(self, state: Mapping[str, Any] | str | os.PathLike[str], *, keep_endpoints: bool = False) -> None:
        """Replace the gateway's configuration.

        ``state`` is a decK or DB-less state: data, YAML or JSON text, or the name of a file. Every metering plugin in
        it is pointed at ``ingest``, so that no test ever bills anybody, unless ``keep_endpoints``. Raises
        ConfigurationRefusedError with the gateway's reason, InvalidDocument for what is no state at all.
        """
        read = read_state(state, self._ingest.token)
        if not keep_endpoints:
            point_at(read, self._ingest.url, self._ingest.token)
        self.apply(read)

    def meter(
        self,
        *,
        subject: str = "consumer",
        attributes: Mapping[str, str] | None = None,
        scope: str | Sequence[str] = "global",
        meters: Sequence[str] | None = None,
        status: Sequence[str] | None = None,
        batch: int | None = None,
        delay: float | None = None,
        queue: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        enabled: bool | None = None,
        condition: str | None = None,
        key_auth: bool | None = None,
        upstream: str | None = None,
    ) -> None:
        """Configure the tutorial's example with one metering plugin that sends to ``ingest``.

        Service ``example-service``, Route ``example-route`` on /anything, Consumer ``alice`` with key ``alice-key``
        in header ``apikey``. The words are an intent's (docs/config.md): ``subject`` consumer, header:NAME …,
        ``attributes`` property to header:NAME or query:NAME, ``scope`` global or KIND=NAME, ``batch`` events at
        most, ``delay`` in seconds. ``queue`` and ``config`` hold fields of the plugin's own. ``key_auth`` is on
        where a Consumer is needed; ``upstream`` is the Service's URL. Raises InvalidDocument,
        ConfigurationRefusedError.
        """
        scopes = [scope] if isinstance(scope, str) else list(scope)
        own = {**(config or {}), **({"queue": {**(config or {}).get("queue", {}), **queue}} if queue else {})}
        intent = {
            "subject": subject,
            "attributes": dict(attributes) if attributes else None,
            "scope": scopes,
            "meters": list(meters) if meters else None,
            "status": list(status) if status else None,
            "batch": batch,
            "delay": delay,
            "enabled": enabled,
            "condition": condition,
            "config": own,
        }
        if key_auth is None:
            key_auth = subject.partition(":")[0] == "consumer" or any(one.startswith("consumer") for one in scopes)
        plugin = metering_plugin(intent, self._ingest.url, self._ingest.token)
        self.apply(example_state(plugin, key_auth=key_auth, upstream=upstream))

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request through the gateway; ``options`` are those of ``requests``."""
        options.setdefault("timeout", REQUEST_TIMEOUT)
        options.setdefault("allow_redirects", False)
        return self._session.request(method, self.url + path, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET ``path`` through the gateway."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        """POST to ``path`` through the gateway."""
        return self.request("POST", path, **options)


class EmulatedGateway(Gateway):
    """The emulated gateway: one process for the run, nothing configured and nothing queued at a test's beginning."""

    def __init__(self, process: GatewayProcess, settings: Settings, ingest: Ingest) -> None:
        super().__init__(settings, ingest)
        self._process = process
        self._last: dict[str, Any] | None = None
        self._start()
        self.apply({"_format_version": "3.0"})

    def __repr__(self) -> str:
        return f"<EmulatedGateway {self._process.proxy_url}>"

    @property
    def url(self) -> str:
        """Base URL of the proxy."""
        return self._process.proxy_url

    @property
    def admin_url(self) -> str:
        """Base URL of the Admin API."""
        return self._process.admin_url

    def apply(self, state: State) -> None:
        """Load ``state`` through the Admin API; a gateway that was stopped is started again."""
        if not self._process.running:
            self._start()
        status, text = self._process.ask("POST", "/config", json.dumps(state).encode())
        _check_applied(status, text)

    def statistics(self) -> dict[str, Any]:
        """Return what metering counted in this test since the gateway was started, or until it was stopped."""
        if self._last is not None:
            return self._last
        now = self._process.statistics()
        return _sum([_since(each, self._before.get(name, {})) for name, each in now.items()])

    def stop(self, how: Stop = "graceful") -> None:
        """Stop the gateway; ``configure`` and ``meter`` start another, on other ports."""
        if self._process.running:
            self._last = self.statistics()
            self._process.stop(how)

    def settle(self, seconds: float) -> str | None:
        """Wait until every queue is empty and idle."""
        end = time.monotonic() + seconds
        while True:
            if not self._process.running:
                return None
            busy = [each for each in self._process.statistics().values() if each.get("busy") or each.get("waiting")]
            if not busy:
                return None
            if time.monotonic() > end:
                waiting = sum(int(each.get("waiting", 0)) for each in busy)
                return f"{waiting} waiting in the gateway's queues, and a batch is being sent or retried"
            time.sleep(_POLL)

    def account(self) -> list[str]:
        """Return how many requests were metered, and what was dropped or lost and why."""
        if self._last is None and not self._process.running:
            return []
        counted = self.statistics()
        if not counted["requests"]:
            return []
        lines = [f"metered by the gateway: {counted['requests']}, events made: {counted['events']}"]
        for kind, what in (("dropped", "without an event"), ("lost", "events lost")):
            lines += [f"  {what}: {number} × {reason}" for reason, number in sorted(counted[kind].items())]
        return lines

    def close(self) -> None:
        """Leave no event behind that could reach the next test."""
        super().close()
        if self.settle(_LEFT_BEHIND) is not None:
            self._process.stop("kill")

    def _start(self) -> None:
        self._process.start()
        self._before = self._process.statistics()
        self._last = None


class UserGateway(Gateway):
    """A gateway that the user runs. Without its Admin API it is taken as it is configured."""

    def __init__(self, settings: Settings, ingest: Ingest) -> None:
        super().__init__(settings, ingest)
        self._asked = False

    def __repr__(self) -> str:
        return f"<UserGateway {self.url}>"

    @property
    def url(self) -> str:
        """Base URL of the proxy."""
        assert self._settings.gateway_url is not None
        return self._settings.gateway_url

    def apply(self, state: State) -> None:
        """Load ``state`` through the gateway's own Admin API; ``KONG_ADMIN_TOKEN`` is sent when it is set."""
        __tracebackhide__ = True
        if self._settings.admin_url is None:
            _cannot("configure a gateway of your own without its Admin API: give --metering-admin-url")
        token = os.environ.get("KONG_ADMIN_TOKEN")
        headers = {"Kong-Admin-Token": token} if token else {}
        self._asked = True
        _check_applied(*call_admin(self._settings.admin_url, "POST", "/config", json.dumps(state).encode(), headers))

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request through the gateway."""
        self._asked = True
        return super().request(method, path, **options)

    def statistics(self) -> dict[str, Any]:
        """Fail the test: only the emulated gateway counts what it drops."""
        __tracebackhide__ = True
        _cannot("ask a gateway of your own what it dropped: only the emulated one counts that")

    def stop(self, how: Stop = "graceful") -> None:
        """Fail the test: whoever started the gateway stops it."""
        __tracebackhide__ = True
        _cannot("stop a gateway of your own: whoever started it stops it")

    def settle(self, seconds: float) -> str | None:
        """Wait until nothing has arrived for a while, if the test sent anything since the last time."""
        if not self._asked:
            return None
        busy = self._ingest.wait_until_quiet(seconds)
        self._asked = busy is not None
        return busy

    def account(self) -> list[str]:
        """Return nothing: what a gateway of the user's dropped is not known."""
        return []


def _check_applied(status: int, text: str) -> None:
    if 200 <= status < 300:
        return
    try:
        message = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        message = f"the Admin API answered POST /config with status {status}"
    if 400 <= status < 500:
        raise ConfigurationRefusedError(message)
    raise TargetUnavailableError(message)


def _cannot(text: str) -> NoReturn:
    __tracebackhide__ = True
    pytest.fail(f"metering: cannot {text}")


def _since(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return how much each counter of one instance has grown."""
    grown: dict[str, Any] = {name: now.get(name, 0) - before.get(name, 0) for name in _COUNTERS}
    for name in _BY_REASON:
        grown[name] = Counter(now.get(name, {})) - Counter(before.get(name, {}))
    return grown


def _sum(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {name: sum(one[name] for one in each) for name in _COUNTERS}
    for name in _BY_REASON:
        total[name] = dict(sum((one[name] for one in each), Counter()))
    return total


__all__ = ["ConfigurationRefusedError", "EmulatedGateway", "Gateway", "UserGateway"]
