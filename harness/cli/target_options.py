"""What ``conformance`` is run against: the options of each target, and the target that they describe."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from harness.cli.main import CannotContinue
from harness.conformance.pool import StartedEndpoint
from harness.conformance.scenario import MAIN_LANE, Scenario
from harness.conformance.state import LaneAccess, declarative_state
from harness.targets.target import Target, TargetUnavailableError

TARGETS = ("emulator", "docker", "url")
DEFAULT_IMAGE = "kong/kong-gateway:3.14"
DEFAULT_INGEST_PORT, DEFAULT_UPSTREAM_PORT = 8088, 8089
_WORKERS = {"emulator": 4, "docker": 2, "url": 1}

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
    click.option(
        "--predict", is_flag=True, help="docker, url: show what differs from the emulator, given the same traffic."
    ),
    click.option("--upstream-port", type=click.IntRange(0, 65535), help="url: port of the echo upstream."),
)
_OF_TARGET: Mapping[str, tuple[str, ...]] = {
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
    "predict": ("docker", "url"),
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A target as asked for: how to make it and its endpoint, how many side by side, the words that ask for it."""

    make_target: Callable[[], Target]
    make_endpoint: Callable[[], StartedEndpoint]
    workers: int
    words: tuple[str, ...] = ()
    make_predictor: Callable[[], Target] | None = None
    logs: GatewayLogs | None = None


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


def target_options(command: _Command) -> _Command:
    """Give a command the options; it takes them as ``**deployment``."""
    for option in reversed((*_DOCKER, *_URL, *_REACH)):
        command = option(command)
    return command


def choose(target: str, profile: str, given: Mapping[str, Any], scenarios: Sequence[Scenario]) -> Chosen | None:
    """Return the target asked for; None when a configuration was written instead, for the user to apply.

    Raises UsageError for options that do not fit, CannotContinue.
    """
    asked = {name: value for name, value in given.items() if value not in (None, False)}
    for name in asked:
        if target not in _OF_TARGET[name]:
            raise click.UsageError(f"--{name.replace('_', '-')} goes with --target {' or '.join(_OF_TARGET[name])}")
    if target == "docker":
        return _docker(profile, asked)
    if target == "url":
        return _url(profile, asked, scenarios)
    from harness.targets.emulator import EmulatorTarget  # loads the emulator, which --list and --dry-run do not need

    return Chosen(lambda: EmulatorTarget(profile), lambda: _endpoint(None), _WORKERS[target])


@contextlib.contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C, so that a run that is cancelled cleans up behind itself."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _docker(profile: str, asked: dict[str, Any]) -> Chosen:
    from harness.targets.containers import Engine
    from harness.targets.docker_kong import DockerKongTarget, DockerWish
    from harness.targets.fake_ingest import IngestPlace
    from harness.targets.licence import LicenceError, find_licence
    from harness.targets.wait_strategies import START_TIMEOUT

    logs = GatewayLogs()
    try:
        licence = find_licence(asked.get("license_file"), os.environ)
        engine = Engine.reach()
        for name in engine.sweep():
            _tell(f"container {name}, left behind by a run that is gone, was removed")
        network = asked.get("network", "host")
        bind = asked.get("ingest_bind") or ("127.0.0.1" if network == "host" else engine.gateway_address())
    except (LicenceError, TargetUnavailableError) as error:
        raise CannotContinue(str(error)) from None
    wish = DockerWish(
        image=asked.get("image", DEFAULT_IMAGE),
        network=network,
        plugin=asked.get("plugin"),
        licence=licence,
        wait_for=asked.get("wait_for", "admin"),
        start_timeout=asked.get("start_timeout", START_TIMEOUT),
        keep=asked.get("keep", False),
        tell=_tell,
        keep_log=logs.take,
    )
    place = IngestPlace(bind, asked.get("ingest_port", 0), asked.get("ingest_advertise"))
    return Chosen(
        lambda: DockerKongTarget(profile, wish),
        lambda: _endpoint(place),
        _WORKERS["docker"],
        _words(asked),
        _predictor(profile, asked),
        logs,
    )


def _url(profile: str, asked: dict[str, Any], scenarios: Sequence[Scenario]) -> Chosen | None:
    from harness.targets.fake_ingest import IngestPlace
    from harness.targets.gateway_url import CLOCK_TOLERANCE, GatewayUrlTarget, UrlWish
    from harness.targets.standing_configuration import StandingLane, read_configuration

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
            _write_standing(file, scenarios, place.host, place.port, upstream_port)
            return None
        standing = read_configuration(file, place.port)
    wish = UrlWish(
        proxy_url=asked["proxy_url"],
        admin_url=asked.get("admin_url"),
        admin_token=os.environ.get("KONG_ADMIN_TOKEN") or None,
        upstream_bind=bind,
        upstream_port=upstream_port,
        upstream_host=place.host.strip("[]"),
        clock_tolerance=asked.get("clock_tolerance", CLOCK_TOLERANCE),
        standing=None if standing is None else standing.state,
    )

    def endpoint() -> StartedEndpoint:
        started = _endpoint(place)
        if standing is None:
            return started
        return StartedEndpoint(StandingLane(started.endpoint, standing.token), started.stop, started.endpoint)

    predictor = _predictor(profile, asked)
    return Chosen(lambda: GatewayUrlTarget(profile, wish), endpoint, _WORKERS["url"], _words(asked), predictor)


def _predictor(profile: str, asked: Mapping[str, Any]) -> Callable[[], Target] | None:
    if not asked.get("predict"):
        return None
    from harness.targets.emulator import EmulatorTarget

    return lambda: EmulatorTarget(profile)


def _write_standing(file: Path, scenarios: Sequence[Scenario], host: str, port: int, upstream_port: int) -> None:
    """Write the configuration that most of the scenarios need, and say what to do with it."""
    from harness.targets.echo_upstream import with_upstream
    from harness.targets.gateway_url import comparable
    from harness.targets.standing_configuration import LANE, new_token, write_configuration

    access = {MAIN_LANE: LaneAccess(f"http://{host}:{port}/lane/{LANE}/v3/openmeter/events", "", new_token())}
    states = [declarative_state(one, access, "standing") for one in scenarios if _stands(one)]
    if not states:
        raise click.UsageError("none of these scenarios can be run with one configuration alone")
    (commonest, count), *_ = Counter(map(comparable, states)).most_common(1)
    state = next(state for state in states if comparable(state) == commonest)
    try:
        write_configuration(file, with_upstream(state, host.strip("[]"), upstream_port, balanced=True))
    except OSError as error:
        raise CannotContinue(f"{file}: cannot be written: {error.strerror}") from None
    click.echo(
        f"{file} was written. It is the configuration for {count} of these scenarios; the others will be skipped.\n"
        "Apply it to the gateway (deck gateway sync, or your usual way), then run the same command again."
    )


def _stands(scenario: Scenario) -> bool:
    steps_fit = all(step.reconfigure is None and step.restart is None for step in scenario.steps)
    return scenario.kind == "traffic" and steps_fit and set(scenario.lanes) == {MAIN_LANE}


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


def _words(asked: Mapping[str, Any]) -> tuple[str, ...]:
    words: list[str] = []
    for name, value in asked.items():
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(f"{value:g}" if isinstance(value, float) else str(value))
    return tuple(words)


def _endpoint(place: Any) -> StartedEndpoint:
    from harness.targets.fake_ingest import FakeIngest

    ingest = FakeIngest(place)
    return StartedEndpoint(ingest.start(), ingest.stop)


def _tell(line: str) -> None:
    click.echo(f"kong-metering: {line}", err=True)
