"""``kong-metering ingest``: the fake ingest endpoint."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import click
from rich.console import Console

from harness.capture.store import CaptureError, CaptureFormatError, CaptureWriter
from harness.ingest.console import IngestConsole
from harness.ingest.core import IngestSettings
from harness.ingest.faults import FaultScript
from harness.ingest.lanes import Lanes
from harness.ingest.profile import PROFILES

from .main import CannotContinue


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8088, show_default=True, type=click.IntRange(0, 65535), help="0: any free port.")
@click.option("--control-port", type=click.IntRange(0, 65535), help="Also serve the control interface on this port.")
@click.option("--token-env", metavar="NAME", help="Take only the bearer token in this environment variable.")
@click.option(
    "--capture",
    "capture_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("ingest.capture.jsonl"),
    show_default=True,
    help="File that gets every request, one JSON line each; appended to.",
)
@click.option(
    "--faults", metavar="FILE", help="Fault script: a YAML or JSON file, or the script itself: '[503, 202]'."
)
@click.option("--profile", type=click.Choice(list(PROFILES)), default="v3", show_default=True, help="Whose manners.")
@click.option("--path-suffix", default="/events", show_default=True, help="What a path must end in.")
@click.option("--lenient", is_flag=True, help="Refuse only what the real API refuses; report the rest.")
@click.option("--thorough", is_flag=True, help="Ask the CloudEvents SDK about every event: slower.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@click.option("--quiet", is_flag=True, help="Print nothing per request.")
def command(
    host: str,
    port: int,
    control_port: int | None,
    token_env: str | None,
    capture_path: Path,
    faults: str | None,
    profile: str,
    path_suffix: str,
    lenient: bool,
    thorough: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run the fake ingest endpoint and capture what arrives.

    Takes usage events as Konnect and OpenMeter do, judges each one, answers, and writes every request to the capture
    before it answers. Without --token-env any bearer token is taken. SIGINT or SIGTERM ends it with a summary.
    """
    settings = IngestSettings(_tokens(token_env), PROFILES[profile], path_suffix, lenient, thorough)
    script = FaultScript.read(faults) if faults is not None else FaultScript()
    console = IngestConsole(Console(highlight=False), as_json, quiet)
    fresh = not capture_path.exists()
    try:
        capture = CaptureWriter(capture_path)
    except (CaptureError, CaptureFormatError) as error:
        raise CannotContinue(str(error)) from None
    with capture:
        lanes = Lanes(capture, settings, script, console.request)
        try:
            asyncio.run(_run(lanes, settings, console, host, port, control_port, capture_path))
        except CannotContinue:
            if fresh:  # nothing was ever served: leave nothing behind
                capture_path.unlink(missing_ok=True)
            raise
        console.summary(lanes.counts)


async def _run(
    lanes: Lanes,
    settings: IngestSettings,
    console: IngestConsole,
    host: str,
    port: int,
    control_port: int | None,
    capture_path: Path,
) -> None:
    # Imported here: mitmproxy alone takes longer to import than the mistakes above take to find.
    from harness.ingest.control_server import ControlServer
    from harness.ingest.mitmproxy_host import PortError, serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    control = ControlServer(lanes, settings)
    bound_control: int | None = None
    try:
        if control_port is not None:
            try:
                bound_control = await control.start("127.0.0.1", control_port)
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno else str(error)
                raise CannotContinue(f"cannot listen on 127.0.0.1:{control_port}: {reason}") from None

        async def ready(bound: int) -> None:
            console.ready(host, bound, bound_control, capture_path)

        try:
            await serve(lanes, host, port, stop, ready, _complain)
        except PortError as error:
            raise CannotContinue(f"{error}; choose another port with --port") from None
    finally:
        await control.stop()


def _tokens(variable: str | None) -> frozenset[str]:
    if variable is None:
        return frozenset()
    token = os.environ.get(variable, "")
    if not token:
        raise CannotContinue(f"environment variable {variable} is not set, or empty; --token-env names it")
    return frozenset({token})


def _complain(message: str) -> None:
    print(f"kong-metering: {message}", file=sys.stderr, flush=True)  # noqa: T201
