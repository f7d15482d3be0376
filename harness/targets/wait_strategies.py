"""How it is found out that a gateway in a container is ready."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from harness.targets.admin_api import AdminApi
from harness.targets.target import TargetUnavailableError

#: Seconds a gateway may take to come up; Kong takes ten on a busy machine.
START_TIMEOUT = 90.0
_POLL = 0.1
_ASK_TIMEOUT = 5.0
_LAST_LINES = 8

#: What stands in a log, and what to do about it.
_HINTS = (
    (
        re.compile(r"(?i)address (?:is )?already in use"),
        "another process has the port: end it, or choose other ports",
    ),
    (re.compile(r"(?i)licen[cs]e.*(?:expired|invalid|not valid)"), "the licence is not accepted: see --license-file"),
    (
        re.compile(r"(?i)plugin.*(?:is enabled but not installed|not found)"),
        "this image lacks the plugin: see --plugin",
    ),
    (
        re.compile(r"(?i)(?:postgres|database).*(?:connection refused|could not|needs bootstrapping)"),
        "it wants a database: the image must honour KONG_DATABASE=off",
    ),
    (re.compile(r"(?i)permission denied"), "the container's user may not read or write a file"),
    (re.compile(r"(?i)exec format error"), "the image is for another processor"),
)


class Watched(Protocol):
    """What is waited for, as a wait strategy sees it."""

    @property
    def name(self) -> str: ...

    @property
    def running(self) -> bool: ...

    @property
    def health(self) -> str | None: ...

    @property
    def exit_code(self) -> int: ...

    def log(self) -> str: ...


class WaitStrategy(Protocol):
    """Tells readiness; ``what`` says in a few words what is waited for."""

    @property
    def what(self) -> str: ...

    def ready(self, container: Watched) -> bool:
        """Return whether it is ready now."""
        ...


@dataclass(frozen=True, slots=True)
class AdminStatus:
    """``GET /status`` of the Admin API answers 200."""

    admin: AdminApi

    @property
    def what(self) -> str:
        """What is waited for."""
        return f"an answer of {self.admin.url}/status"

    def ready(self, container: Watched) -> bool:
        """Ask once."""
        return self.admin.status(_ASK_TIMEOUT) == 200


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the log matches ``pattern``."""

    pattern: re.Pattern[str]

    @property
    def what(self) -> str:
        """What is waited for."""
        return f"a log line that matches {self.pattern.pattern!r}"

    def ready(self, container: Watched) -> bool:
        """Look through the log."""
        return any(self.pattern.search(line) for line in container.log().splitlines())


@dataclass(frozen=True, slots=True)
class Healthy:
    """The image's own health check says so."""

    @property
    def what(self) -> str:
        """What is waited for."""
        return "the image's health check"

    def ready(self, container: Watched) -> bool:
        """Ask the engine. Raises TargetUnavailableError for an image that has no health check."""
        health = container.health
        if health is None:
            raise TargetUnavailableError("the image has no health check; wait for the Admin API or a log line")
        return health == "healthy"


def wait_until_ready(
    container: Watched,
    strategy: WaitStrategy,
    seconds: float = START_TIMEOUT,
    redact: Callable[[str], str] = lambda text: text,
) -> None:
    """Return when ``strategy`` says so.

    Raises TargetUnavailableError when the container ends or ``seconds`` have passed: the first line says what was
    waited for, then come the last lines of the log, ``redact``-ed, and a hint.
    """
    deadline = time.monotonic() + seconds
    # What answers may be another process, which has the port: then the container has ended or is about to.
    while not (strategy.ready(container) and container.running):
        if not container.running:
            said = f"container {container.name} ended with exit code {container.exit_code} before it was ready"
            raise TargetUnavailableError(_with_log(said, redact(container.log()), "its log says why"))
        if time.monotonic() >= deadline:
            said = f"container {container.name} was not ready after {seconds:g} s: waited for {strategy.what}"
            longer = "if the machine is slow, give it longer with --start-timeout SECONDS"
            raise TargetUnavailableError(_with_log(said, redact(container.log()), longer))
        time.sleep(_POLL)


def _with_log(said: str, log: str, otherwise: str) -> str:
    """Return ``said`` with the end of the log, and a hint from what stands in it, or ``otherwise``."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    shown = [f"  | {line[:300]}" for line in lines[-_LAST_LINES:]] or ["  | (it has logged nothing)"]
    hint = next((advice for pattern, advice in _HINTS if pattern.search(log)), otherwise)
    return "\n".join([said, *shown, f"  hint: {hint}"])
