"""What is run against: the options of each target, and the deployment that they describe."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from harness.cli.main import CannotContinue
from harness.conformance.rules import DEFAULT_PROFILE
from harness.targets.image_name import DEFAULT_IMAGE
from harness.targets.target import Target, TargetUnavailableError

if TYPE_CHECKING:  # loaded only where they are used: a help text needs none of them
    from harness.conformance.outcome import SubjectForm
    from harness.targets.fake_ingest import IngestPlace
    from harness.targets.licence import Licence
    from harness.targets.standing_configuration import StandingConfiguration

TARGETS = ("emulator", "docker", "url")
PROFILE_HELP = f"Gateway version (default: that of the gateway; {DEFAULT_PROFILE} for the emulator)."
DEFAULT_INGEST_PORT, DEFAULT_UPSTREAM_PORT = 8088, 8089

_Command = TypeVar("_Command", bound=Callable[..., Any])

_DOCKER = (
    click.option("--image", metavar="NAME", help=f"docker: the gateway's image (default {DEFAULT_IMAGE})."),
    click.option("--network", type=click.Choice(["host", "bridge"]), help="docker: its network (default host)."),
    click.option(
        "--plugin",
        type=click.Choice(["own", "stand-in"]),
        help="docker: the image's own plugin (default for kong-gateway) or the stand-in (for open-source Kong).",
    ),
    click.option(
        "--license-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="docker: Kong's licence (default: KONG_LICENSE_DATA or KONG_LICENSE_PATH).",
    ),
    click.option(
        "--wait-for", type=click.Choice(["admin", "log", "health"]), help="docker: what says it is ready (admin)."
    ),
    click.option("--start-timeout", type=click.FloatRange(1, 3600), help="docker: seconds to become ready (90)."),
    click.option("--keep", is_flag=True, help="docker: leave the containers running, and say how to reach them."),
)
_URL = (
    click.option("--proxy-url", metavar="URL", help="url: the gateway's proxy."),
    click.option("--admin-url", metavar="URL", help="url: its Admin API; KONG_ADMIN_TOKEN is sent when set."),
    click.option("--no-admin", is_flag=True, help="url: you configure the gateway yourself, as --state FILE says."),
    click.option(
        "--state",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="url, --no-admin: the configuration; written when the file is not there.",
    ),
    click.option("--clock-tolerance", type=click.FloatRange(0, 60), help="url: seconds its clock may be off (1)."),
)
_REACH = (
    click.option("--ingest-advertise", metavar="HOST", help="docker, url: how the gateway reaches this machine."),
    click.option(
        "--ingest-bind", metavar="ADDRESS", help="docker, url: where the fake endpoint listens (127.0.0.1)."
    ),
    click.option("--ingest-port", type=click.IntRange(0, 65535), help="docker, url: its port (default: a free one)."),
    click.option("--upstream-port", type=click.IntRange(0, 65535), help="url: port of the echo upstream."),
)
#: Option -> the targets that it goes with.
OF_TARGET: Mapping[str, tuple[str, ...]] = {
    "image": ("docker",),
    "network": ("docker",),
    "plugin": ("docker",),
    "license_file": ("docker",),
    "wait_for": ("docker",),
    "start_timeout": ("docker",),
    "keep": ("docker",),
    "proxy_url": ("url",),
    "admin_url": ("url",),
    "no_admin": ("url",),
    "state": ("url",),
    "clock_tolerance": ("url",),
    "ingest_advertise": ("docker", "url"),
    "ingest_bind": ("docker", "url"),
    "ingest_port": ("docker", "url"),
    "upstream_port": ("url",),
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """A target as asked for: how to make it, and where its fake ingest endpoint listens (None: where it likes).

    ``profile`` is the one asked for, or else that of the gateway's version. ``standing`` is what a gateway that only
    its owner configures stands with.
    """

    make_target: Callable[[], Target]
    profile: str
    place: IngestPlace | None = None
    standing: StandingConfiguration | None = None
    logs: GatewayLogs | None = None


@dataclass(frozen=True, slots=True)
class StandingWish:
    """A configuration to be written for a gateway's owner, and what to say about it in a sentence."""

    state: Mapping[str, Any]
    about: str


#: Makes, for the ingest endpoint's place and the echo upstream's port, the configuration for a gateway's owner.
WriteStanding = Callable[["IngestPlace", int], StandingWish]


class GatewayLogs:
    """Logs of gateways that are gone, kept until it is known whether anybody wants them."""

    def __init__(self) -> None:
        self._logs: dict[str, str] = {}

    def take(self, name: str, text: str) -> None:
        """Keep one."""
        self._logs[name] = text

    def write(self, directory: Path) -> list[Path]:
        """Write them into ``directory``; return the files. Raises CannotContinue."""
        written: list[Path] = []
        for name, text in sorted(self._logs.items()):
            file = directory / f"gateway-{name}.log"
            try:
                directory.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            except OSError as error:
                raise CannotContinue(f"{file}: cannot be written: {error.strerror}") from None
            written.append(file)
        return written


def deployment_options(command: _Command) -> _Command:
    """Give a command the options; it takes them as ``**deployment``."""
    for option in reversed((*_DOCKER, *_URL, *_REACH)):
        command = option(command)
    return command


def asked_for(
    target: str, given: Mapping[str, Any], more: Mapping[str, tuple[str, ...]] | None = None
) -> dict[str, Any]:
    """Return the options that were given. Raises UsageError for those that go with another target.

    ``more`` are options of a command's own, and the targets they go with.
    """
    asked = {name: value for name, value in given.items() if value not in (None, False)}
    for name in asked:
        targets = {**OF_TARGET, **(more or {})}[name]
        if target not in targets:
            raise click.UsageError(f"--{name.replace('_', '-')} goes with --target {' or '.join(targets)}")
    if "ingest_bind" in asked:
        _check_own_address(asked["ingest_bind"])
    return asked


def choose_deployment(
    target: str, profile: str | None, asked: Mapping[str, Any], write_standing: WriteStanding
) -> Deployment | None:
    """Return the deployment asked for; None when a configuration was written instead, for the user to apply.

    ``profile`` None is that of the gateway's version. Raises UsageError for options that do not fit, CannotContinue,
    also for a gateway of another version than ``profile`` is for.
    """
    if target == "docker":
        return _docker(profile, asked)
    if target == "url":
        return _url(profile, asked, write_standing)
    from harness.targets.emulator import EmulatorTarget  # loads the emulator, which --list and --dry-run do not need

    form, played = _played(asked), profile or DEFAULT_PROFILE
    return Deployment(lambda: EmulatorTarget(played, subject_form=form), played)


def words(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the options as words of a command line."""
    said: list[str] = []
    for name, value in asked.items():
        said.append(f"--{name.replace('_', '-')}")
        if value is not True:
            said.append(f"{value:g}" if isinstance(value, float) else str(value))
    return tuple(said)


def _docker(asked_profile: str | None, asked: Mapping[str, Any]) -> Deployment:
    from harness.targets.containers import Engine
    from harness.targets.docker_kong import DockerKongTarget, DockerWish
    from harness.targets.fake_ingest import IngestPlace
    from harness.targets.gateway_image import images_here, nearest_to_kong, provide
    from harness.targets.wait_strategies import START_TIMEOUT

    logs = GatewayLogs()
    image = asked.get("image", DEFAULT_IMAGE)
    licence = _licence(image, asked)
    try:
        engine = Engine.reach()
        for name in engine.sweep():
            _tell(f"container {name}, left behind by a run that is gone, was removed")
        network = asked.get("network", "host")
        bind = asked.get("ingest_bind") or ("127.0.0.1" if network == "host" else engine.gateway_address())
    except TargetUnavailableError as error:
        raise CannotContinue(str(error)) from None
    try:
        found = provide(engine, image, asked.get("plugin"), licence)
        profile = found.profile(asked_profile)
    except TargetUnavailableError as error:
        other = None if "image" in asked else nearest_to_kong(images_here(engine), licensed=False)
        advice = "" if other is None else f"; one that is here is {other}: --image {other}"
        raise CannotContinue(f"{error}{advice}") from None
    if found.plugin == "own" and not found.emulated:
        _tell_if_newer(found.version, profile)
    wish = DockerWish(
        image=image,
        network=network,
        plugin=asked.get("plugin"),
        licence=licence,
        wait_for=asked.get("wait_for", "admin"),
        start_timeout=asked.get("start_timeout", START_TIMEOUT),
        keep=asked.get("keep", False),
        tell=_tell,
        keep_log=logs.take,
        subject_form=_played(asked),
    )
    place = IngestPlace(bind, asked.get("ingest_port", 0), asked.get("ingest_advertise"))
    return Deployment(lambda: DockerKongTarget(profile, wish), profile, place, logs=logs)


def _licence(image: str, asked: Mapping[str, Any]) -> Licence | None:
    """Return the licence there is. Raises CannotContinue for one that is wanted and none."""
    from harness.targets.gateway_image import wants_licence
    from harness.targets.licence import LicenceError, find_licence

    try:
        return find_licence(asked.get("license_file"), os.environ)
    except LicenceError as error:
        if "license_file" in asked or wants_licence(image, asked.get("plugin")):
            raise CannotContinue(str(error)) from None
        _tell(f"{error}; {image} needs none")
        return None


def _url(asked_profile: str | None, asked: Mapping[str, Any], write_standing: WriteStanding) -> Deployment | None:
    from harness.targets.fake_ingest import IngestPlace
    from harness.targets.gateway_url import CLOCK_TOLERANCE, GatewayUrlTarget, UrlWish
    from harness.targets.standing_configuration import read_configuration

    no_admin = asked.get("no_admin", False)
    if "proxy_url" not in asked:
        raise click.UsageError("--target url needs --proxy-url URL")
    if no_admin == ("admin_url" in asked):
        raise click.UsageError("--target url needs --admin-url URL, or --no-admin and --state FILE")
    if no_admin != ("state" in asked):
        raise click.UsageError("--no-admin and --state FILE go together")
    for name in ("proxy_url", "admin_url"):
        _check_url(name, asked.get(name))
    bind = asked.get("ingest_bind", "127.0.0.1")
    place = IngestPlace(
        bind, asked.get("ingest_port", DEFAULT_INGEST_PORT if no_admin else 0), asked.get("ingest_advertise")
    )
    upstream_port = asked.get("upstream_port", DEFAULT_UPSTREAM_PORT if no_admin else 0)
    standing = None
    if no_admin:
        if not place.port or not upstream_port:
            raise click.UsageError("with --no-admin, --ingest-port and --upstream-port cannot be 0")
        file = asked["state"]
        if not file.exists():
            _write(file, write_standing(place, upstream_port))
            return None
        standing = read_configuration(file, place.port)
    profile = asked_profile or DEFAULT_PROFILE
    if not no_admin:
        profile = _profile_of_url(asked["admin_url"], asked_profile)
    wish = UrlWish(
        proxy_url=asked["proxy_url"],
        admin_url=asked.get("admin_url"),
        admin_token=_admin_token(),
        upstream_bind=bind,
        upstream_port=upstream_port,
        upstream_host=place.host.strip("[]"),
        clock_tolerance=asked.get("clock_tolerance", CLOCK_TOLERANCE),
        standing=None if standing is None else standing.state,
    )
    return Deployment(lambda: GatewayUrlTarget(profile, wish), profile, place, standing)


def _profile_of_url(admin_url: str, asked: str | None) -> str:
    """Return the profile for the gateway with this Admin API. Raises CannotContinue."""
    from harness.targets.admin_api import AdminApi
    from harness.targets.gateway_url import told_profile

    try:
        told = AdminApi(admin_url, _admin_token()).information()
        profile = told_profile(told, asked)
    except TargetUnavailableError as error:
        raise CannotContinue(str(error)) from None
    _tell_if_newer(str(told.get("version")), profile)
    return profile


def _tell_if_newer(version: str | None, profile: str) -> None:
    from harness.targets.gateway_version import newer_than_known

    if newer_than_known(version):
        _tell(f"the gateway is version {version}, newer than every profile: it is judged by {profile}")


def _admin_token() -> str | None:
    return os.environ.get("KONG_ADMIN_TOKEN") or None


def _check_own_address(address: str) -> None:
    """Raise UsageError for what this machine cannot listen on, whatever the port."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        with socket.socket(family, kind) as trial:
            trial.bind(place)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "is no host name"
        raise click.UsageError(
            f"--ingest-bind {address}: {reason}; it must be an address of this machine (the one that the gateway is "
            "told may be another: --ingest-advertise)"
        ) from None


def _played(asked: Mapping[str, Any]) -> SubjectForm:
    """Return the form in which a gateway of ours is told to name Consumers."""
    return "prefixed-id" if asked.get("subject_form") == "prefixed-id" else "username"


def _write(file: Path, wish: StandingWish) -> None:
    from harness.targets.standing_configuration import write_configuration

    try:
        write_configuration(file, wish.state)
    except OSError as error:
        raise CannotContinue(f"{file}: cannot be written: {error.strerror}") from None
    click.echo(
        f"{file} was written. {wish.about}\n"
        "Apply it to the gateway (deck gateway sync, or your usual way), then run the same command again."
    )


def _check_url(name: str, value: str | None) -> None:
    if value is None:
        return
    option = f"--{name.replace('_', '-')}"
    try:
        parts = urlsplit(value)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise click.UsageError(f"{option} must be an http or https URL")
    if parts.username or parts.password:
        raise click.UsageError(f"{option} must not hold credentials; KONG_ADMIN_TOKEN is sent to the Admin API")


def _tell(line: str) -> None:
    click.echo(f"kong-metering: {line}", err=True)
