"""The emulated gateway's process: one for a run, or for each of its workers."""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from harness.targets.process import VerbProcess
from harness.targets.scratch_folder import ScratchFolder
from harness.targets.target import Stop, TargetUnavailableError

_EMPTY_STATE = '_format_version: "3.0"\n'
_ADMIN_TIMEOUT = 30.0  # seconds
_SIGNALS: Mapping[Stop, signal.Signals] = {
    "graceful": signal.SIGQUIT,
    "fast": signal.SIGTERM,
    "kill": signal.SIGKILL,
}


class GatewayProcess:
    """``kong-metering gateway`` as a child, on free ports; started when it is first needed."""

    def __init__(self, version: str, *, echo: bool) -> None:
        self._version = version
        self._echo = echo
        self._process: VerbProcess | None = None
        self.proxy_url = self.admin_url = ""

    @property
    def running(self) -> bool:
        """Whether it is up."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start it with nothing configured, unless it runs. Raises TargetUnavailableError."""
        if self.running:
            return
        with ScratchFolder() as directory:
            config = directory / "kong.yml"
            config.write_text(_EMPTY_STATE, encoding="utf-8")
            options = ["--admin-port", "0", "--proxy-port", "0", "--json", "--config", str(config)]
            options += ["--gateway", self._version, *(["--echo-upstream"] if self._echo else [])]
            self._process = VerbProcess("gateway", options)
            ready = self._process.start()
        self.proxy_url, self.admin_url = str(ready["proxy"]).rstrip("/"), str(ready["admin"]).rstrip("/")

    def stop(self, how: Stop) -> None:
        """End it, if it runs, as Kong is ended: gracefully its queues are delivered first."""
        if self._process is not None:
            self._process.end(_SIGNALS[how])
            self._process = None

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        """Call the Admin API; return status and body. Raises TargetUnavailableError."""
        try:
            return call_admin(self.admin_url, method, path, body)
        except TargetUnavailableError:
            if self._process is not None and not self._process.running:
                raise TargetUnavailableError(self._process.why_gone()) from None
            raise

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Return the counters of each plugin instance, by id. Raises TargetUnavailableError."""
        status, text = self.ask("GET", "/metering")
        if status != 200:
            raise TargetUnavailableError(f"the gateway's Admin API answered GET /metering with status {status}")
        statistics: dict[str, dict[str, Any]] = json.loads(text)
        return statistics


def call_admin(
    base: str, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Call an Admin API at ``base``; return status and body. Raises TargetUnavailableError."""
    parts = urlsplit(base)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=_ADMIN_TIMEOUT)
    try:
        sent = {**({"Content-Type": "application/json"} if body else {}), **(headers or {})}
        connection.request(method, parts.path + path, body, sent)
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise TargetUnavailableError(f"the Admin API at {base} does not answer: {error}") from None
    finally:
        connection.close()
