"""What a gateway under test must offer, whatever it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from harness.targets.limits import Limits

Capability = Literal["proxy", "simulate", "exchanges", "restart", "log", "advice", "plugin_options"]

#: By plugin: what of its make is beside its configuration (``kong-metering gateway --plugin-option``).
PluginOptions = Mapping[str, Mapping[str, Any]]

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

    ``genuine`` tells a gateway with its vendor's own plugin, for which nothing is settled that no document settles,
    from the emulator and the stand-in plugin, which were made to keep every rule. ``clock_tolerance`` is how far its
    clock may be from ours, in seconds. ``limits`` are what it cannot do; the reasons are for people.
    ``capabilities`` say which kinds of scenario it can run; ``simulate``, ``pipeline_events``, ``advice``,
    ``restart``, ``log_lines`` and ``set_plugin_options`` are called only where the capability is there, ``freeze``
    where ``restart`` is.
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
    def limits(self) -> Limits: ...

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

    def set_plugin_options(self, options: PluginOptions) -> None:
        """Let metering plugins be made with ``options`` from now on; those that are made otherwise are gone.

        The gateway's URLs may be others afterwards. Raises TargetUnavailableError.
        """
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

    def queue_statistics(self) -> Mapping[str, Mapping[str, Any]] | None:
        """Return what each metering queue has counted (delivered, posts, lost by reason, waiting …), by plugin id.

        None where the gateway does not tell, as Kong does not. Raises TargetUnavailableError.
        """
        ...

    def restart(self, how: Stop) -> None:
        """Stop the gateway that way, wait for its end, and start it anew with the configuration applied last.

        Its URLs may be others afterwards. Raises TargetUnavailableError.
        """
        ...

    def freeze(self, seconds: float) -> None:
        """Have the gateway's processes stand still for ``seconds``, then go on. Raises TargetUnavailableError."""
        ...

    def log_lines(self) -> list[str]:
        """Return the lines the gateway has logged since the last ``apply``, restarts included."""
        ...

    def simulate(self, schedule: Mapping[str, Any]) -> dict[str, Any]:
        """Run a queue schedule in virtual time and return its trace (forms of ``kong-metering simulate``)."""
        ...

    def advice(self, plugins: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return the ids of the lint rules that have something to say about plugin entities of one file."""
        ...

    def pipeline_events(
        self, plugin: Mapping[str, Any], exchanges: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return for each exchange ``{"events": […], "dropped": null | {"rule", "reason"}}``."""
        ...
