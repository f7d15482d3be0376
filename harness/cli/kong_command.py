"""``kong``, as the image of the emulated gateway has it: health, version, start, quit and stop, config parse.

It is for what a compose file or an orchestrator calls in a Kong container: ``docker exec … kong health``.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

import click

from harness.cli.main import CannotContinue, main
from plugin_emulator.documents import InvalidDocument
from plugin_emulator.gateway.kong_environment import KongEnvironment, Listener, read_environment

PROCESSES = Path("/proc")
_MODULE = b"harness.cli.kong_gateway"
#: Seconds until a listener counts as one that does not answer.
_PATIENCE = 3.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def kong() -> None:
    """Kong's own command, as far as the emulated gateway has it."""


@kong.command()
def version() -> None:
    """Print the version of Kong that is played."""
    click.echo(f"{_asked(os.environ).version}.0")


@kong.command()
def health() -> int:
    """Say whether the gateway runs and answers; exit code 1 when not."""
    complaint = unhealthy(os.environ)
    if complaint is not None:
        click.echo(f"kong: {complaint}", err=True)
        return 1
    click.echo("Kong is healthy")
    return 0


@kong.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1)
def start(options: tuple[str, ...]) -> None:
    """Run the gateway, in the foreground."""
    if options:
        raise click.UsageError("options of start are not emulated: set KONG_… variables")
    os.execv(sys.executable, [sys.executable, "-m", _MODULE.decode()])  # noqa: S606


kong.add_command(start, "docker-start")


@kong.command()
@click.option("--timeout", "-t", default=10, show_default=True, type=click.IntRange(0), help="Seconds to wait.")
def quit(timeout: int) -> int:
    """Stop the gateway gracefully: requests finish, queued events are delivered. After the time-out by force."""
    return _stop(signal.SIGQUIT, timeout)


@kong.command()
@click.option("--timeout", "-t", default=10, show_default=True, type=click.IntRange(0), help="Seconds to wait.")
def stop(timeout: int) -> int:
    """Stop the gateway at once: queued events are lost."""
    return _stop(signal.SIGTERM, timeout)


@kong.group()
def config() -> None:
    """Declarative configurations."""


@config.command()
@click.argument("file", type=click.Path(path_type=Path))
def parse(file: Path) -> None:
    """Say whether the gateway would take a declarative configuration."""
    main(["gateway", "--check", "--config", str(file), "--gateway", _asked(os.environ).version])


def unhealthy(environ: Mapping[str, str]) -> str | None:
    """Return what is wrong with the gateway that runs with these variables; None when nothing is.

    Its Admin API is asked for ``/status``; without one the proxy must take connections.
    """
    if running_gateway() is None:
        return "the gateway is not running"
    asked = _asked(environ)
    if asked.admin is not None:
        return None if asked.admin.port == 0 else _complaint_of_status(asked.admin)
    return None if asked.proxy.port == 0 else _complaint_of_port(asked.proxy)


def running_gateway(processes: Path | None = None) -> int | None:
    """Return the process id of the gateway in this container; None when there is none.

    ``processes`` is a folder like ``/proc``.
    """
    here = Path("/proc/self/ns/mnt").readlink()
    for folder in (processes or PROCESSES).iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            # A process of another container, where processes are shared, is none of ours.
            if _MODULE in words and (folder / "ns" / "mnt").readlink() == here:
                return int(folder.name)
        except OSError:  # ended meanwhile, or somebody else's
            continue
    return None


def _asked(environ: Mapping[str, str]) -> KongEnvironment:
    try:
        return read_environment(environ)
    except InvalidDocument as error:
        raise CannotContinue("; ".join(str(problem) for problem in error.problems)) from None


def _stop(number: signal.Signals, seconds: int) -> int:
    process = running_gateway()
    if process is None:
        click.echo("kong: the gateway is not running", err=True)
        return 1
    os.kill(process, number)
    if _gone(process, seconds):
        click.echo("Kong stopped")
        return 0
    os.kill(process, signal.SIGKILL)
    click.echo("Timeout, Kong stopped forcefully")
    return 0


def _gone(process: int, seconds: float) -> bool:
    """Return whether a process ends within ``seconds``."""
    until = time.monotonic() + seconds
    while Path(f"/proc/{process}/cmdline").exists():
        if time.monotonic() >= until:
            return False
        time.sleep(0.05)
    return True


def _complaint_of_status(admin: Listener) -> str | None:
    place = _place(admin)
    try:
        # Never by way of an HTTP proxy that the container's environment names.
        with build_opener(ProxyHandler({})).open(f"http://{place}/status", timeout=_PATIENCE) as answer:
            answer.read()
    except HTTPError as error:
        return f"the Admin API at {place} answers /status with {error.code}"
    except (URLError, OSError) as error:
        return f"the Admin API at {place} does not answer: {getattr(error, 'reason', error)}"
    return None


def _complaint_of_port(proxy: Listener) -> str | None:
    host = _ANYWHERE.get(proxy.host, proxy.host)
    try:
        socket.create_connection((host, proxy.port), timeout=_PATIENCE).close()
    except OSError as error:
        return f"the proxy at {_place(proxy)} takes no connection: {error.strerror or error}"
    return None


def _place(listener: Listener) -> str:
    host = _ANYWHERE.get(listener.host, listener.host)
    return f"[{host}]:{listener.port}" if ":" in host else f"{host}:{listener.port}"


def run(arguments: list[str]) -> None:
    """Run ``kong`` with these arguments; never returns."""
    try:
        result = kong.main(arguments, prog_name="kong", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"kong: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    sys.exit(result if isinstance(result, int) else 0)


if __name__ == "__main__":
    run(sys.argv[1:])
