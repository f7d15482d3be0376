"""Controls a running ingest process: sets up lanes, waits for what they capture."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from harness.capture.record import CapturedRequest

_MARGIN = 10.0  # seconds a reply may take beyond the wait that was asked for
_LONGEST_WAIT = 60.0


class ControlError(RuntimeError):
    """The ingest process refused, or cannot be reached. The message is one line."""


class _Page(msgspec.Struct, frozen=True):
    requests: list[CapturedRequest]
    next: int


class IngestControl:
    """A client for the control interface of ``kong-metering ingest``.

    Keeps no connection and no state, so one object can be used by any number of threads.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._host = host
        self._port = port

    def set_lane(
        self,
        name: str,
        *,
        token: str | None = None,
        script: Sequence[Any] | dict[str, Any] | None = None,
        profile: str = "v3",
        path_suffix: str | None = None,
        lenient: bool = False,
        thorough: bool = False,
    ) -> None:
        """Set up lane ``name`` afresh, with the manners of an ingest API (``profile``). Raises ControlError.

        ``token`` is the credential it takes, a bearer token or an API key; None takes any. ``path_suffix`` None is
        the one of the API.
        """
        document = {
            "token": token,
            "script": script,
            "profile": profile,
            "path_suffix": path_suffix,
            "lenient": lenient,
            "thorough": thorough,
        }
        self._call("PUT", self._lane(name), json.dumps(document).encode())

    def remove_lane(self, name: str) -> None:
        """Remove a lane; requests that hang in it are let go. Raises ControlError."""
        self._call("DELETE", self._lane(name))

    def add_faults(self, name: str, script: Sequence[Any] | dict[str, Any]) -> None:
        """Put a fault script behind what lane ``name`` has been told to do; its last step goes on for ever.

        The lane's numbers and memory stay. Raises ControlError.
        """
        self._call("POST", f"{self._lane(name)}/faults", json.dumps(script).encode())

    def remove_faults(self, name: str) -> None:
        """Let nothing be out of the ordinary in lane ``name`` from the next request on. Raises ControlError."""
        self._call("DELETE", f"{self._lane(name)}/faults")

    def set_fault(self, name: str, step: Any, seconds: float | None = None) -> None:
        """Let ``step`` (of a fault script) happen to every request of lane ``name`` that arrives from now on.

        It is stronger than the fault script, replaces one that was set before, and is over after ``seconds`` or, when
        those are None, with ``clear_fault``. Requests that hang are let go when the seconds are over. Raises
        ControlError.
        """
        self._call("PUT", f"{self._lane(name)}/fault", json.dumps({"fault": step, "for": seconds}).encode())

    def clear_fault(self, name: str) -> None:
        """End what ``set_fault`` began; harmless when it is over. Raises ControlError."""
        self._call("DELETE", f"{self._lane(name)}/fault")

    def counts(self, name: str = "") -> dict[str, int]:
        """Return a lane's number of requests and events, and of events by verdict. Raises ControlError."""
        document = json.loads(self._call("GET", self._lane(name)))
        return {key: value for key, value in document.items() if isinstance(value, int)}

    def requests(self, name: str = "", after: int = 0, wait: float = 0.0) -> list[CapturedRequest]:
        """Return the lane's captured requests except the first ``after``.

        Waits up to ``wait`` seconds for there to be one. Raises ControlError.
        """
        found: list[CapturedRequest] = []
        while True:
            query = urlencode({"after": after + len(found), "wait": wait if not found else 0.0})
            body = self._call("GET", f"{self._lane(name)}/requests?{query}", patience=wait)
            page = msgspec.json.decode(body, type=_Page)
            if not page.requests:
                return found
            found.extend(page.requests)

    def wait_for(
        self, name: str, enough: Callable[[list[CapturedRequest]], bool], timeout: float = 15.0
    ) -> list[CapturedRequest]:
        """Return all the lane's requests once ``enough`` says so of them, or what there is after ``timeout`` seconds.

        Raises ControlError.
        """
        end = time.monotonic() + timeout
        found = self.requests(name)
        while not enough(found):
            left = end - time.monotonic()
            if left <= 0:
                break
            found.extend(self.requests(name, after=len(found), wait=min(left, _LONGEST_WAIT)))
        return found

    @staticmethod
    def _lane(name: str) -> str:
        return f"/lanes/{quote(name, safe='')}"

    def _call(self, method: str, path: str, body: bytes | None = None, patience: float = 0.0) -> bytes:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=patience + _MARGIN)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ControlError(f"ingest control at {self._host}:{self._port}: {reason}") from None
        finally:
            connection.close()
        if response.status >= 400:
            raise ControlError(f"{method} {path.partition('?')[0]}: {_errors(answer) or response.status}")
        return answer


def _errors(answer: bytes) -> str:
    try:
        return "; ".join(json.loads(answer)["errors"])
    except (ValueError, KeyError, TypeError):
        return ""
