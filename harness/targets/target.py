"""What a gateway under test must offer, whatever it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

Capability = Literal["proxy", "simulate", "exchanges", "restart", "log", "advice"]

#: How a gateway is stopped: it finishes its work (``kong quit``, SIGQUIT), it stops at once but by itself
#: (``kong stop``, SIGTERM), or it is killed (SIGKILL, a crash).
Stop = Literal["graceful", "fast", "kill"]


class ConfigurationRefusedError(RuntimeError):
    """The gateway refused a declarative configuration; the text is its own message."""


class TargetUnavailableError(RuntimeError):
    """The target cannot be started or no longer answers; the text is one line for the user."""


class NotApplicableError(RuntimeError):
    """This target, as it stands, cannot run a scenario; the text says why, as a reason to skip it."""


class Target(Protocol):
    """One gateway that can be configured and sent traffic.

    ``genuine`` tells a real gateway, for which nothing is settled that no document settles, from the emulator.
    ``clock_tolerance`` is how far its clock may be from ours, in seconds. ``capabilities`` say which kinds of
    scenario it can run; ``simulate``, ``pipeline_events``, ``advice``, ``restart`` and ``log_lines`` are called only
    where the capability is there.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def genuine(self) -> bool: ...

    @property
    def clock_tolerance(self) -> float: ...

    @property
    def capabilities(self) -> frozenset[Capability]: ...

    @property
    def proxy_url(self) -> str:
        """Base URL of the proxy, without a slash at its end."""
        ...

    def start(self) -> None:
        """Make the gateway ready. Raises TargetUnavailableError."""
        ...

    def stop(self) -> None:
        """End what ``start`` began; harmless when there is nothing to end."""
        ...

    def apply(self, state: Mapping[str, Any]) -> None:
        """Replace the configuration.

        Raises ConfigurationRefusedError, TargetUnavailableError, NotApplicableError.
        """
        ...

    def settle(self, seconds: float) -> None:
        """Return when no metering work is left or ``seconds`` have passed, whichever is first."""
        ...

    def idle(self) -> bool:
        """Return whether the gateway itself says that no metering work is left; False when it cannot tell.

        Whoever waits for events then need not wait any longer.
        """
        ...

    def restart(self, how: Stop) -> None:
        """Stop the gateway that way, wait for its end, and start it anew with the configuration applied last.

        Its URLs may be others afterwards. Raises TargetUnavailableError.
        """
        ...

    def log_lines(self) -> list[str]:
        """Return the lines the gateway has logged since the last ``apply``, restarts included."""
        ...

    def simulate(self, schedule: Mapping[str, Any]) -> dict[str, Any]:
        """Run a queue schedule in virtual time and return its trace (forms of ``kong-metering simulate``)."""
        ...

    def advice(self, plugin: Mapping[str, Any]) -> list[str]:
        """Return the ids of the lint rules that have something to say about a plugin entity."""
        ...

    def pipeline_events(
        self, plugin: Mapping[str, Any], exchanges: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return for each exchange ``{"events": […], "dropped": null | {"rule", "reason"}}``."""
        ...
