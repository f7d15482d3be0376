"""Containers of ours: started, labelled, stopped, and swept away when the run that made them is gone."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import os
import socket
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import docker
import docker.errors
import psutil
import requests

from harness.targets.target import TargetUnavailableError

#: On every container of ours: the host and the process that made it, and when that process began.
LABEL = "io.kong-metering.container"
_HOST_LABEL, _PROCESS_LABEL, _BEGAN_LABEL = f"{LABEL}.host", f"{LABEL}.process", f"{LABEL}.process-began"
KEEP_LABEL = f"{LABEL}.keep"
#: On the image of the emulated gateway.
EMULATED_LABEL = "io.kong-metering.emulated-gateway"

#: Seconds the engine may take for its first answer, and for any call after that.
REACH_TIMEOUT = 10
ENGINE_TIMEOUT = 60
_EXIT_POLL = 0.05
#: A process id may be given out anew; one that began within so many seconds of the label is the same process.
_SAME_BEGINNING = 2.0


@dataclass(frozen=True, slots=True)
class ContainerWish:
    """A container to be made.

    ``environment`` is for all who may ask the engine; what is secret goes into ``files`` (absolute path in the
    container: content). ``ports`` are container ports to publish on 127.0.0.1, for network ``bridge`` alone.
    """

    image: str
    environment: Mapping[str, str]
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    network: str = "host"
    ports: Sequence[int] = ()
    keep: bool = False


class Engine:
    """The Docker engine that the environment names (``DOCKER_HOST``), or the usual one."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    def reach(cls) -> Engine:
        """Return the engine. Raises TargetUnavailableError with what to do when there is none."""
        try:
            client = docker.from_env(timeout=REACH_TIMEOUT)
            client.ping()
            client.api.timeout = ENGINE_TIMEOUT
        except (docker.errors.DockerException, requests.RequestException, OSError) as error:
            raise TargetUnavailableError(
                f"no Docker engine answers ({_reason(error)}); start it, or name another one by DOCKER_HOST"
            ) from None
        return cls(client)

    def version(self) -> str:
        """Return the engine's version."""
        return str(self._client.version()["Version"])

    def images(self) -> list[str]:
        """Return the names of all images that have one, sorted."""
        return sorted(tag for image in self._client.images.list() for tag in image.tags)

    def image_labels(self, image: str) -> Mapping[str, str] | None:
        """Return the labels of an image, None when the engine does not have it. Raises TargetUnavailableError."""
        with _engine_errors("cannot look for the image"):
            try:
                return cast(Mapping[str, str], self._client.images.get(image).labels)
            except docker.errors.ImageNotFound:
                return None

    def image_environment(self, image: str) -> Mapping[str, str]:
        """Return the variables that an image sets, none when it is not there. Raises TargetUnavailableError."""
        with _engine_errors("cannot look for the image"):
            try:
                entries = self._client.images.get(image).attrs["Config"]["Env"] or ()
            except docker.errors.ImageNotFound:
                return {}
        return dict(entry.split("=", 1) for entry in entries if "=" in entry)

    def pull(self, image: str) -> None:
        """Fetch an image. Raises TargetUnavailableError."""
        repository, tag = _name_and_tag(image)
        with _engine_errors(f"image {image} is not there and cannot be pulled"):
            self._client.images.pull(repository, tag=tag)

    def gateway_address(self) -> str:
        """Return this host's address on the network ``bridge``. Raises TargetUnavailableError."""
        with _engine_errors("cannot read the network bridge"):
            configuration = self._client.networks.get("bridge").attrs["IPAM"]["Config"]
        for entry in configuration or ():
            # Engines before 23 name the gateway only once a container has been there; it is the subnet's first.
            subnet = ipaddress.ip_network(entry["Subnet"], strict=False)
            if subnet.version == 4:
                return str(entry.get("Gateway") or next(subnet.hosts()))
        raise TargetUnavailableError("the network bridge has no gateway address; use --network host")

    def start(self, wish: ContainerWish) -> GatewayContainer:
        """Make a container and start it. Raises TargetUnavailableError; then none is left behind."""
        labels = {LABEL: "yes", **_maker()}
        if wish.keep:
            labels[KEEP_LABEL] = "yes"
        published = {f"{port}/tcp": ("127.0.0.1", None) for port in wish.ports} if wish.network != "host" else None
        with _engine_errors(f"cannot start {wish.image}"):
            made = self._client.containers.create(
                wish.image,
                environment=dict(wish.environment),
                labels=labels,
                network_mode=wish.network,
                ports=published,
                detach=True,
            )
            try:
                if wish.files:
                    made.put_archive("/", _archive(wish.files))
                made.start()
            except BaseException:
                _remove(made)
                raise
        return GatewayContainer(made)

    def sweep(self) -> list[str]:
        """Remove the containers whose run on this host is over; return their names.

        Those of runs that still go on, of other hosts, and those that are to be kept stay.
        """
        removed: list[str] = []
        with _engine_errors("cannot look for containers left behind"):
            for container in self._client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True):
                labels = container.labels
                if KEEP_LABEL in labels or labels.get(_HOST_LABEL) != socket.gethostname() or _alive(labels):
                    continue
                _remove(container)
                removed.append(str(container.name))
        return removed


class GatewayContainer:
    """One container of ours."""

    def __init__(self, container: Any) -> None:
        self._container = container

    @property
    def name(self) -> str:
        """The name that the engine has given it."""
        return str(self._container.name)

    @property
    def running(self) -> bool:
        """Whether its process is alive. Raises TargetUnavailableError."""
        return str(self._state()["Status"]) == "running"

    @property
    def paused(self) -> bool:
        """Whether its processes stand still. Raises TargetUnavailableError."""
        return str(self._state()["Status"]) == "paused"

    @property
    def health(self) -> str | None:
        """What the image's own health check says (``starting``, ``healthy``, ``unhealthy``), None without one."""
        state = self._state()
        return state["Health"]["Status"] if state.get("Health") else None

    @property
    def exit_code(self) -> int:
        """The exit code of its process, 0 while that is alive."""
        return int(self._state()["ExitCode"])

    def host_port(self, port: int) -> int:
        """Return the port of 127.0.0.1 that leads to ``port`` in it. Raises TargetUnavailableError."""
        with _engine_errors("cannot look at the container"):
            self._container.reload()
        bindings = (self._container.ports or {}).get(f"{port}/tcp")
        if not bindings:
            raise TargetUnavailableError(f"port {port} of container {self.name} is not published")
        return int(bindings[0]["HostPort"])

    def log(self) -> str:
        """Return all that it has written so far; empty when the engine cannot say."""
        with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
            return cast(bytes, self._container.logs(stdout=True, stderr=True)).decode("utf-8", "replace")
        return ""

    def end(self, signal: str, seconds: float) -> bool:
        """Send a signal and wait for the process's end; one that does not end is killed, and False returned."""
        with _engine_errors("cannot stop the container"):
            with contextlib.suppress(docker.errors.APIError):  # it may have ended by itself
                self._container.kill(signal=signal)
            deadline = time.monotonic() + seconds
            while self.running:
                if time.monotonic() > deadline:
                    self._container.kill(signal="SIGKILL")
                    self._container.wait()
                    return False
                time.sleep(_EXIT_POLL)
        return True

    def freeze(self, seconds: float) -> None:
        """Have all of its processes stand still for ``seconds``, then go on. Raises TargetUnavailableError."""
        with _engine_errors("cannot pause the container"):
            self._container.pause()
            try:
                time.sleep(seconds)
            finally:
                self._container.unpause()

    def start_again(self) -> None:
        """Start its process anew. Raises TargetUnavailableError."""
        with _engine_errors("cannot start the container again"):
            self._container.start()

    def remove(self) -> None:
        """End and remove it; harmless when it is gone."""
        with _engine_errors("cannot remove the container"):
            _remove(self._container)

    def _state(self) -> Mapping[str, Any]:
        with _engine_errors("cannot look at the container"):
            self._container.reload()
        return cast(Mapping[str, Any], self._container.attrs["State"])


def _remove(container: Any) -> None:
    with contextlib.suppress(docker.errors.NotFound):
        try:
            container.remove(force=True, v=True)
        except docker.errors.APIError as error:
            if "already in progress" not in str(error):
                raise


def _maker() -> dict[str, str]:
    """Return the labels that say which process of which host this is."""
    began = psutil.Process().create_time()
    return {_HOST_LABEL: socket.gethostname(), _PROCESS_LABEL: str(os.getpid()), _BEGAN_LABEL: f"{began:.2f}"}


def _alive(labels: Mapping[str, str]) -> bool:
    try:
        process = psutil.Process(int(labels[_PROCESS_LABEL]))
        return bool(abs(process.create_time() - float(labels[_BEGAN_LABEL])) < _SAME_BEGINNING)
    except (psutil.NoSuchProcess, KeyError, ValueError):
        return False


def _archive(files: Mapping[str, bytes]) -> bytes:
    """Return files as a tar that any user in the container may read; folders that are there stay as they are."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content), 0o444
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _name_and_tag(image: str) -> tuple[str, str | None]:
    """Split ``host:5000/name:tag``; a colon before the last slash is that of a port. A digest stays with the name."""
    if "@" in image:
        return image, None
    head, _, last = image.rpartition("/")
    name, colon, tag = last.partition(":")
    return (f"{head}/{name}" if head else name), (tag if colon else "latest")


@contextlib.contextmanager
def _engine_errors(what: str) -> Iterator[None]:
    try:
        yield
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise TargetUnavailableError(f"{what}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    text = getattr(error, "explanation", None) or _cause(error) or str(error) or type(error).__name__
    return " ".join(str(text).split())


def _cause(error: BaseException | None) -> str | None:
    """Return what is behind an error of several layers, in a few words; None when it is no trouble with the line."""
    while error is not None:
        if isinstance(error, requests.Timeout):
            return "no answer in time"
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        error = error.__cause__ or error.__context__
    return None
