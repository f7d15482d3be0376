"""A client of a gateway's Admin API, Kong's or the emulator's, for what the suite needs of it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from harness.targets.target import ConfigurationRefusedError, TargetUnavailableError

#: Seconds the Admin API may take to answer.
ADMIN_TIMEOUT = 30.0
_SETTLE_POLL = 0.02


class AdminApi:
    """The Admin API at ``url``; ``token`` goes into the header ``Kong-Admin-Token`` where access is restricted.

    Keeps no connection, so one object can be used by any number of threads.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._token = token

    def status(self, timeout: float = ADMIN_TIMEOUT) -> int | None:
        """Return the HTTP status of ``GET /status``, None when nothing answers."""
        try:
            return self._ask("GET", "/status", timeout=timeout)[0]
        except (OSError, http.client.HTTPException):
            return None

    def information(self) -> Mapping[str, Any]:
        """Return what the gateway tells of itself at ``/``, empty when it does not. Raises TargetUnavailableError."""
        status, text = self.ask("GET", "/")
        if status != 200:
            return {}
        try:
            told = json.loads(text)
        except ValueError:
            return {}
        return told if isinstance(told, dict) else {}

    def version(self) -> str | None:
        """Return the gateway's version as it names it, None when it does not. Raises TargetUnavailableError."""
        version = self.information().get("version")
        return None if version is None else str(version)

    def load(self, state: Mapping[str, Any]) -> None:
        """Replace the declarative configuration. Raises ConfigurationRefusedError, TargetUnavailableError."""
        status, text = self.ask("POST", "/config", json.dumps(state).encode())
        if status == 400:
            raise ConfigurationRefusedError(text)
        if status == 405:
            raise TargetUnavailableError(
                f"the gateway at {self.url} takes no declarative configuration: it runs with a database"
            )
        if not 200 <= status < 300:
            raise TargetUnavailableError(f"the gateway's Admin API answered POST /config with status {status}")

    def metering(self) -> Mapping[str, Mapping[str, Any]] | None:
        """Return what each metering queue has to do, None where the gateway does not tell, as Kong does not."""
        status, text = self.ask("GET", "/metering")
        if status != 200:
            return None
        document = json.loads(text)
        assert isinstance(document, dict)
        return document

    def settled(self, plugins: Collection[str], seconds: float) -> bool:
        """Wait until the queues of ``plugins`` are empty, up to ``seconds``.

        Returns False, at once, where the gateway does not tell.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            queues = self.metering()
            if queues is None:
                return False
            if not any(busy(one) for name, one in queues.items() if name in plugins):
                return True
            time.sleep(_SETTLE_POLL)
        return True

    def idle(self) -> bool:
        """Return whether every queue is empty, those of removed plugins too; False where it is not told."""
        queues = self.metering()
        return queues is not None and not any(busy(one) for one in queues.values())

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        """Return status and body of an answer. Raises TargetUnavailableError."""
        try:
            return self._ask(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            raise TargetUnavailableError(f"the gateway's Admin API at {self.url} does not answer: {error}") from None

    def _ask(
        self, method: str, path: str, body: bytes | None = None, timeout: float = ADMIN_TIMEOUT
    ) -> tuple[int, str]:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=timeout)
        headers = {"Content-Type": "application/json"} if body else {}
        if self._token is not None:
            headers["Kong-Admin-Token"] = self._token
        try:
            connection.request(method, parts.path.rstrip("/") + path, body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode("utf-8", "replace")
        finally:
            connection.close()


def busy(statistics: Mapping[str, Any]) -> bool:
    """Return whether a queue has events that wait or are being sent."""
    return bool(statistics.get("busy")) or int(statistics.get("waiting", 0)) > 0
