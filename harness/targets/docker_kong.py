"""Kong in a container as a target: DB-less, configured through its Admin API, gone when the run is over."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.conformance.outcome import SubjectForm
from harness.conformance.profiles import profiles
from harness.targets.admin_api import AdminApi
from harness.targets.containers import ContainerWish, Engine, GatewayContainer
from harness.targets.echo_upstream import EchoUpstream, with_upstream
from harness.targets.gateway_image import Plugin, provide
from harness.targets.gateway_version import profile_for
from harness.targets.image_name import DEFAULT_IMAGE, is_enterprise
from harness.targets.licence import Licence
from harness.targets.limits import NO_LIMITS
from harness.targets.over_http import OverHttpOnly
from harness.targets.redaction import Redaction
from harness.targets.stand_in import (
    CLOCK_TOLERANCE,
    LUA_FOLDER,
    PLUGIN_NAME,
    stand_in_files,
    stand_in_limits,
)
from harness.targets.target import Capability, Stop, TargetUnavailableError
from harness.targets.wait_strategies import (
    START_TIMEOUT,
    AdminStatus,
    Healthy,
    LogLine,
    WaitStrategy,
    wait_until_ready,
)
from plugin_emulator.gateway.kong_environment import ECHO_VARIABLE, SUBJECT_FORM_VARIABLE, VERSION_VARIABLE

Network = Literal["host", "bridge"]
WaitFor = Literal["admin", "log", "health"]

_SIGNALS: Mapping[Stop, str] = {"graceful": "SIGQUIT", "fast": "SIGTERM", "kill": "SIGKILL"}
#: Seconds a gateway may take to finish its work when asked to, before it is killed.
FINISH_TIMEOUT = 30.0
#: Seconds from Kong's answer to POST /config until its worker surely routes by it: the answer does not wait for the
#: event by which the worker learns of it, and nothing that can be asked tells when it has.
PROPAGATION = 0.3
_PROXY_PORT, _ADMIN_PORT = 8000, 8001
_PORT_TRIES = 3
_PORT_TAKEN = re.compile(r"(?i)address (?:is )?already in use")
#: What Kong logs once a worker serves, and the emulated gateway in its place.
_STARTED = re.compile(r"start worker process|worker initialized|^Admin API http")

_EXIT_OF_KILLED = 137
_KILLED = " (it was killed, by hand or for want of memory)"

_LICENCE_FILE = "/opt/kong-metering/license.json"


@dataclass(frozen=True, slots=True)
class DockerWish:
    """How the container is to be run.

    ``plugin`` None: the image's own in Enterprise images, else the stand-in. ``keep`` leaves it running afterwards.
    ``tell`` is given lines for the user, ``keep_log`` the name and the redacted log of each container at its end.
    ``subject_form`` is how the emulated gateway is told to name Consumers; Kong does as it does.
    """

    image: str = DEFAULT_IMAGE
    network: Network = "host"
    plugin: Plugin | None = None
    licence: Licence | None = field(default=None, repr=False)
    wait_for: WaitFor = "admin"
    start_timeout: float = START_TIMEOUT
    keep: bool = False
    tell: Callable[[str], None] = lambda line: None
    keep_log: Callable[[str, str], None] = lambda name, log: None
    subject_form: SubjectForm = "username"


class DockerKongTarget(OverHttpOnly):
    """One gateway in one container; ``version`` is the profile's (``kong-3.14``) until the gateway says its own.

    The emulated gateway is told to play the profile's version; Kong with its own plugin must have that version.
    """

    name = "docker"
    capabilities: frozenset[Capability] = frozenset({"proxy", "restart", "log"})

    def __init__(self, profile: str, wish: DockerWish) -> None:
        self._profile = profile
        self.version = profiles()[profile].gateway
        self._plugin: Plugin = wish.plugin or ("own" if is_enterprise(wish.image) else "stand-in")
        self._emulated = False
        self.genuine = self._plugin == "own"
        self.limits = NO_LIMITS if self.genuine else stand_in_limits(profile)
        self.clock_tolerance = CLOCK_TOLERANCE
        self._wish = wish
        self._redact = Redaction(wish.licence.secrets() if wish.licence is not None else ())
        self._container: GatewayContainer | None = None
        self._upstream = EchoUpstream()
        self._upstream_host = "127.0.0.1"
        self._admin = AdminApi("http://127.0.0.1")
        self._proxy = ""
        self._tells_queues = False
        self._plugins: frozenset[str] = frozenset()
        self._state: Mapping[str, Any] = {}
        self._log_mark = 0

    @property
    def proxy_url(self) -> str:
        """Base URL of the proxy."""
        return self._proxy

    def start(self) -> None:
        """Start the container and wait until it is ready. Raises TargetUnavailableError; then nothing is left."""
        engine = Engine.reach()
        image = provide(engine, self._wish.image, self._wish.plugin, self._wish.licence)
        self._emulated = image.emulated
        if self._emulated:
            self.genuine, self.limits, self.clock_tolerance = False, NO_LIMITS, 0.0
        files, environment = self._furnishing()
        if self._wish.network == "bridge":
            self._upstream_host = engine.gateway_address()
        self._upstream = EchoUpstream(self._upstream_host)
        self._upstream.start()
        try:
            for left in reversed(range(_PORT_TRIES)):
                try:
                    self._start_container(engine, files, environment)
                    break
                except _PortTakenError as error:
                    if left == 0:
                        raise TargetUnavailableError(str(error)) from None
            self._learn_version()
            self._tells_queues = self._admin.metering() is not None
        except BaseException:
            self._end()
            raise
        if self._wish.keep:
            assert self._container is not None
            self._wish.tell(f"container {self._container.name}: proxy {self._proxy}, Admin API {self._admin.url}")

    def stop(self) -> None:
        """Remove the container, unless it is to be kept."""
        if self._container is not None and self._wish.keep:
            self._wish.keep_log(self._container.name, self._redact(self._container.log()))
            name = self._container.name
            self._wish.tell(f"container {name} is left running; to end it: docker rm -f {name}")
            self._container = None
        self._end()

    def apply(self, state: Mapping[str, Any]) -> None:
        """Load ``state`` through the Admin API, Services led to the echo upstream.

        Raises ConfigurationRefusedError, TargetUnavailableError.
        """
        self._redact.learn_state(state)
        mark = len(self._log())
        changed = dict(state)
        if not self._emulated:  # the emulated gateway has an echo upstream of its own
            changed = with_upstream(state, self._upstream_host, self._upstream.port, balanced=True)
        self._load(changed)
        self._state, self._log_mark = changed, mark

    def settle(self, seconds: float) -> None:
        """Return when the queues applied last are empty, where the gateway tells; else after ``seconds``."""
        with self._telling_of_its_end():
            if not self._tells_queues or not self._admin.settled(self._plugins, seconds):
                time.sleep(seconds)

    def idle(self) -> bool:
        """Return whether every queue is empty; False where the gateway does not tell.

        Raises TargetUnavailableError when the container has ended, which a gateway that does not tell cannot say.
        """
        if not self._tells_queues:
            self._check_alive()
            return False
        with self._telling_of_its_end():
            return self._admin.idle()

    def queue_statistics(self) -> Mapping[str, Mapping[str, Any]] | None:
        """Return the counters of each plugin instance, by id; None where the gateway does not tell."""
        with self._telling_of_its_end():
            return self._admin.metering() if self._tells_queues else None

    def restart(self, how: Stop) -> None:
        """Stop the gateway by the signal its master takes and start the same container with the same state."""
        assert self._container is not None
        self._container.end(_SIGNALS[how], FINISH_TIMEOUT)
        self._container.start_again()
        self._find()
        wait_until_ready(self._container, AdminStatus(self._admin), self._wish.start_timeout, self._redact)
        self._load(self._state)

    def freeze(self, seconds: float) -> None:
        """Have the container's processes stand still for ``seconds``, then go on. Raises TargetUnavailableError."""
        assert self._container is not None
        with self._telling_of_its_end():
            self._container.freeze(seconds)

    def log_lines(self) -> list[str]:
        """Return what the gateway has logged since the last ``apply``, secrets hidden."""
        return self._redact(self._log()[self._log_mark :]).splitlines()

    def _furnishing(self) -> tuple[dict[str, bytes], dict[str, str]]:
        """Return files and environment of the container but for its ports."""
        files: dict[str, bytes] = {}
        environment = {
            "KONG_DATABASE": "off",
            "KONG_ADMIN_GUI_LISTEN": "off",  # ports nobody asked for, which the next container would want too
            "KONG_ANONYMOUS_REPORTS": "off",
            "KONG_LOG_LEVEL": "notice",
            "KONG_NGINX_WORKER_PROCESSES": "1",  # each worker has queues of its own
            "KONG_PROXY_ACCESS_LOG": "off",
            "KONG_ADMIN_ACCESS_LOG": "off",
            "KONG_PROXY_ERROR_LOG": "/dev/stderr",
            "KONG_ADMIN_ERROR_LOG": "/dev/stderr",
        }
        if self._emulated:
            environment[ECHO_VARIABLE] = "on"
            environment[SUBJECT_FORM_VARIABLE] = self._wish.subject_form
            environment[VERSION_VARIABLE] = profiles()[self._profile].gateway
            return files, environment
        if self._plugin == "stand-in":
            files.update(stand_in_files())
            environment["KONG_PLUGINS"] = f"bundled,{PLUGIN_NAME}"
            environment["KONG_LUA_PACKAGE_PATH"] = f"{LUA_FOLDER}/?.lua;;"
        if self._wish.licence is not None:
            # A file: what is in the environment of a container, anyone who may ask the engine can read.
            files[_LICENCE_FILE] = self._wish.licence.text.encode()
            environment["KONG_LICENSE_PATH"] = _LICENCE_FILE
        return files, environment

    def _learn_version(self) -> None:
        """Ask for the version. Raises TargetUnavailableError for one that is not to be judged by the profile."""
        version = self._admin.version()
        if self._emulated or self._plugin == "own":
            profile_for(version, self._profile)
        self.version = version or self.version

    def _start_container(self, engine: Engine, files: Mapping[str, bytes], environment: Mapping[str, str]) -> None:
        host = self._wish.network == "host"
        proxy, admin = _free_ports(2) if host else (_PROXY_PORT, _ADMIN_PORT)
        address = "127.0.0.1" if host else "0.0.0.0"
        ports = {"KONG_PROXY_LISTEN": f"{address}:{proxy}", "KONG_ADMIN_LISTEN": f"{address}:{admin}"}
        wish = ContainerWish(
            self._wish.image,
            {**environment, **ports},
            files,
            self._wish.network,
            () if host else (proxy, admin),
            self._wish.keep,
        )
        container = self._container = engine.start(wish)
        self._proxy, self._admin = f"http://127.0.0.1:{proxy}", AdminApi(f"http://127.0.0.1:{admin}")
        try:
            self._find()
            wait_until_ready(container, self._strategy(), self._wish.start_timeout, self._redact)
        except TargetUnavailableError as error:
            taken = self._container is not None and not container.running and _PORT_TAKEN.search(container.log())
            self._end(upstream=False)
            if taken:
                raise _PortTakenError(str(error)) from None
            raise

    def _find(self) -> None:
        """Find out where the published ports are: the engine gives them out anew at each start."""
        assert self._container is not None
        if self._wish.network == "bridge" and self._container.running:
            self._proxy = f"http://127.0.0.1:{self._container.host_port(_PROXY_PORT)}"
            self._admin = AdminApi(f"http://127.0.0.1:{self._container.host_port(_ADMIN_PORT)}")

    def _strategy(self) -> WaitStrategy:
        if self._wish.wait_for == "log":
            return LogLine(_STARTED)
        return Healthy() if self._wish.wait_for == "health" else AdminStatus(self._admin)

    def _load(self, state: Mapping[str, Any]) -> None:
        with self._telling_of_its_end():
            self._admin.load(state)
        self._plugins = frozenset(str(plugin.get("id")) for plugin in state.get("plugins", ()))
        if not self._emulated:
            time.sleep(PROPAGATION)

    @contextlib.contextmanager
    def _telling_of_its_end(self) -> Iterator[None]:
        """A gateway that does not answer is explained by its container's end, if that is why."""
        try:
            yield
        except TargetUnavailableError:
            self._check_alive()
            raise

    def _check_alive(self) -> None:
        """Raise TargetUnavailableError when the container has ended, by itself or by somebody's doing."""
        container = self._container
        if container is None:
            raise TargetUnavailableError("the container was removed")
        if not container.running and not container.paused:
            raise TargetUnavailableError(
                f"container {container.name} ended in the midst of a scenario, with exit code {container.exit_code}"
                f"{_KILLED if container.exit_code == _EXIT_OF_KILLED else ''}; another one takes its place"
            )

    def _log(self) -> str:
        return self._container.log() if self._container is not None else ""

    def _end(self, *, upstream: bool = True) -> None:
        if upstream:
            self._upstream.stop()
        container, self._container = self._container, None
        if container is not None:
            self._wish.keep_log(container.name, self._redact(container.log()))
            container.remove()


class _PortTakenError(TargetUnavailableError):
    """The gateway could not listen: between choice and use, somebody else took a port."""


def _free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that are free now, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
