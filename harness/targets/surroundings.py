"""What of the things that the harness can use is there: engine, images, licence, ports, programs."""

from __future__ import annotations

import datetime
import errno
import importlib.util
import os
import resource
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.targets.containers import Engine
from harness.targets.gateway_image import images_here, nearest_to_kong
from harness.targets.image_name import DEFAULT_IMAGE, is_enterprise
from harness.targets.licence import LICENCE_VARIABLE, Licence, LicenceError, find_licence
from harness.targets.target import TargetUnavailableError

Purpose = Literal["emulator", "docker", "load"]
PURPOSES: tuple[Purpose, ...] = ("emulator", "docker", "load")
State = Literal["ok", "missing", "note"]

#: Ports that verbs take when none is asked for, and the options that change them.
_PORTS = {8000: "gateway --proxy-port", 8001: "gateway --admin-port", 8088: "ingest --port"}
_PROGRAMS = {
    "terraform": "checks and applies `config render --format terraform-*`; https://developer.hashicorp.com/terraform",
    "kubectl": "applies `config render --format kubernetes`; https://kubernetes.io/docs/tasks/tools",
    "deck": "applies `config render --format deck`; https://github.com/Kong/deck",
    "chromium": "lets the tests of report pages run; apt-get install chromium",
}
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: A licence that ends within so many days is worth a word.
_ENDS_SOON = 30
#: Open files that a load test of a few thousand connections needs.
_LOAD_FILES = 4096


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked for. ``needed_for`` are the purposes that cannot do without; ``advice`` is what to do.

    ``option`` is what a run must be given to make use of what was found; empty where it needs no word.
    """

    name: str
    state: State
    found: str
    advice: str = ""
    needed_for: tuple[Purpose, ...] = ()
    option: str = ""


def look(
    environ: Mapping[str, str],
    licence_file: Path | None = None,
    *,
    reach: Callable[[], Engine] = Engine.reach,
    today: datetime.date | None = None,
) -> list[Check]:
    """Return all checks, in the order to read them."""
    checks = [Check("emulator", "ok", "needs nothing but this package", needed_for=("emulator",))]
    try:
        engine = reach()
        checks.append(Check("docker engine", "ok", f"version {engine.version()}", needed_for=("docker",)))
    except TargetUnavailableError as error:
        checks.append(Check("docker engine", "missing", "none answers", str(error), ("docker",)))
        engine = None
    images = images_here(engine) if engine is not None else []
    day = today or datetime.datetime.now(datetime.UTC).date()
    licence: Licence | LicenceError | None
    try:
        licence = find_licence(licence_file, environ)
    except LicenceError as error:
        licence = error
    checks.append(_images(images, engine is not None, licensed=isinstance(licence, Licence) and licence.valid(day)))
    checks.append(_licence(licence, images, day))
    checks += [_port(port, option) for port, option in _PORTS.items()]
    checks.append(_locust())
    checks.append(_open_files())
    checks += [_program(name, use) for name, use in _PROGRAMS.items()]
    return checks


def good(checks: list[Check], purpose: Purpose) -> bool:
    """Return whether everything is there that ``purpose`` needs."""
    return not any(check.state == "missing" and purpose in check.needed_for for check in checks)


def _images(images: list[str], engine: bool, *, licensed: bool) -> Check:
    if images:
        choice = nearest_to_kong(images, licensed=licensed)
        option = "" if choice in (None, DEFAULT_IMAGE) else f"--image {choice}"
        advice = f"name it: conformance --target docker {option}" if option else ""
        return Check("gateway images", "ok", ", ".join(images), advice, ("docker",), option)
    advice = f"docker pull {DEFAULT_IMAGE} (needs a licence), or docker pull kong:3.9, or make image"
    found = "none" if engine else "unknown without an engine"
    return Check("gateway images", "missing", found, advice, ("docker",))


def _licence(licence: Licence | LicenceError | None, images: list[str], today: datetime.date) -> Check:
    # An image that wants no licence will do; then a licence is no more than a possibility.
    enterprise_only = bool(images) and all(map(is_enterprise, images))
    needed: tuple[Purpose, ...] = ("docker",) if enterprise_only else ()
    lacking: State = "missing" if enterprise_only else "note"
    name = "Kong licence"
    if isinstance(licence, LicenceError):
        return Check(name, "missing", "cannot be used", str(licence), ("docker",))
    if licence is None:
        advice = f"for kong/kong-gateway images: set {LICENCE_VARIABLE}, or give --license-file FILE"
        return Check(name, lacking, "none", advice, needed)
    until = f"valid until {licence.expires} ({licence.origin})"
    if not licence.valid(today):
        advice = "renew it: the gateway starts without its Enterprise plugins"
        return Check(name, "missing", f"expired on {licence.expires} ({licence.origin})", advice, ("docker",))
    if (licence.expires - today).days <= _ENDS_SOON:
        return Check(name, "note", until, "renew it soon", needed)
    return Check(name, "ok", until, needed_for=needed)


def _port(port: int, option: str) -> Check:
    name = f"port {port}"
    try:
        with socket.create_server(("127.0.0.1", port)):
            return Check(name, "ok", "free")
    except OSError as error:
        found = "taken" if error.errno == errno.EADDRINUSE else str(error.strerror)
        return Check(name, "note", found, f"choose another one: {option} (0: a free one)")


def _locust() -> Check:
    if importlib.util.find_spec("locust") is not None:
        return Check("locust", "ok", "installed", needed_for=("load",))
    return Check("locust", "missing", "not installed", "pip install 'locust>=2.32'", ("load",))


def _open_files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
    if soft != resource.RLIM_INFINITY and soft < _LOAD_FILES:
        advice = f"ulimit -n {_LOAD_FILES}" if hard >= _LOAD_FILES or hard < 0 else "have the hard limit raised"
        return Check("open files", "note", f"{allowed} at once", f"for load tests: {advice}")
    return Check("open files", "ok", f"{allowed} at once")


def _program(name: str, use: str) -> Check:
    names = _CHROMIUM if name == "chromium" else (name,)
    path = next(filter(None, map(shutil.which, names)), None)
    return Check(name, "note", "not there", use) if path is None else Check(name, "ok", os.fspath(path))
