"""The echo upstream for gateways that are not ours, in a thread of this process; and Services that lead to it."""

from __future__ import annotations

import asyncio
import copy
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


def with_upstream(state: Mapping[str, Any], host: str, port: int) -> dict[str, Any]:
    """Return ``state`` with every Service's requests sent to ``host`` and ``port``; paths and time-outs stay."""
    changed = copy.deepcopy(dict(state))
    for service in changed.get("services", ()):
        url = service.pop("url", None)
        if url is not None:
            path = urlsplit(url).path
            if path:
                service["path"] = path
        service.update(protocol="http", host=host, port=port)
    return changed
