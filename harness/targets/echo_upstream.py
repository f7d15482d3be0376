"""The echo upstream for gateways that are not ours, in a thread of this process; and Services that lead to it."""

from __future__ import annotations

import asyncio
import copy
import ipaddress
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from harness.targets.target import TargetUnavailableError
from plugin_emulator.gateway.echo_server import serve_echo


class EchoUpstream:
    """Answers any request with what it was, at ``host`` and ``port`` (0: a free one)."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host = host
        self._wanted = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None
        self.port = port

    def start(self) -> None:
        """Begin to answer. Raises TargetUnavailableError when the port cannot be had."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="echo-upstream", daemon=True)
        self._thread.start()
        try:
            starting = serve_echo(self._host, self._wanted)
            self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result()
        except OSError as error:
            self.stop()
            place = f"{self._host}:{self._wanted}"
            raise TargetUnavailableError(
                f"the echo upstream cannot listen on {place}: {error.strerror or error}"
            ) from None
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Take no more requests; harmless when there is nothing to end."""
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        if self._server is not None:
            self._server.close()
        self._loop.close()
        self._loop = self._thread = self._server = None


def with_upstream(state: Mapping[str, Any], host: str, port: int, *, balanced: bool) -> dict[str, Any]:
    """Return ``state`` with every Service's requests sent to ``host`` and ``port``; paths and time-outs stay.

    ``balanced`` does so by an Upstream of the name of the Service's host, so that the Service keeps host and port,
    which events tell of; the emulated gateway has no Upstreams, and its Services are changed.
    """
    changed = copy.deepcopy(dict(state))
    upstreams: dict[str, dict[str, Any]] = {}
    for service in changed.get("services", ()):
        url = service.pop("url", None)
        if url is not None:
            parts = urlsplit(url)
            service["host"] = parts.hostname
            service["port"] = parts.port or (443 if parts.scheme == "https" else 80)
            if parts.path:
                service["path"] = parts.path
        service["protocol"] = "http"  # the echo upstream does not end TLS
        if balanced and _is_name(service["host"]):
            target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            upstreams[service["host"]] = {"name": service["host"], "targets": [{"target": target}]}
        else:
            service.update(host=host, port=port)
    if upstreams:
        changed["upstreams"] = [*changed.get("upstreams", ()), *upstreams.values()]
    return changed


def _is_name(host: str) -> bool:
    """Return whether an Upstream can be named so: an address cannot."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False
