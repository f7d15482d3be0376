"""``kong-metering ingest``: the fake ingest endpoint."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from harness.capture.store import LEAST_LIMIT, CaptureError, CaptureFormatError, CaptureWriter
from harness.ingest.apis import APIS, DEFAULT
from harness.ingest.console import IngestConsole, StandsIn
from harness.ingest.core import IngestSettings
from harness.ingest.faults import FaultScript
from harness.ingest.host import PortError, Serve
from harness.ingest.lanes import Lanes
from harness.ingest.seen_entries import DEFAULT_REMEMBERED

from .main import CannotContinue
from .sizes import Size

if TYPE_CHECKING:
    from harness.ingest.stand_in import StandIn
    from harness.ingest.upstream import Upstream

_HOST_NAME = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8088, show_default=True, type=click.IntRange(0, 65535), help="0: any free port.")
@click.option(
    "--server",
    type=click.Choice(["mitmproxy", "fast"]),
    default="mitmproxy",
    show_default=True,
    help="What serves HTTP. Both do the same; fast is for load.",
)
@click.option(
    "--ca-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also speak TLS, with certificates of mitmproxy's CA in this directory; made if there is none.",
)
@click.option(
    "--stand-in-for",
    "hosts",
    multiple=True,
    metavar="HOST",
    show_default="the profile's",
    help="With --ca-dir: for whom; repeat for more.",
)
@click.option(
    "--proxy-port",
    type=click.IntRange(0, 65535),
    help="With --ca-dir: also be a proxy for these hosts, and for no other, on this port.",
)
@click.option("--control-port", type=click.IntRange(0, 65535), help="Also serve the control interface on this port.")
@click.option("--token-env", metavar="NAME", help="Take only the bearer token or API key in this variable.")
@click.option(
    "--capture",
    "capture_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("ingest.capture"),
    show_default=True,
    help="File that gets every request, for the verb capture; added to.",
)
@click.option(
    "--capture-limit",
    type=Size(least=LEAST_LIMIT),
    metavar="SIZE",
    help="Largest size of that file, e.g. 2GB; its -wal has 1 MB more. At the limit requests are answered 503.",
)
@click.option(
    "--faults", metavar="FILE", help="Fault script: a YAML or JSON file, or the script itself: '[503, 202]'."
)
@click.option("--profile", type=click.Choice(list(APIS)), default=DEFAULT.name, show_default=True, help="Whose API.")
@click.option(
    "--relay",
    "relay_url",
    metavar="URL",
    help="Pass requests on to the real endpoint, e.g. https://us.api.konghq.com.",
)
@click.option(
    "--relay-ca",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --relay: the CAs to trust in the place of the system's.",
)
@click.option("--path-suffix", show_default="the profile's", help="What a path must end in.")
@click.option("--lenient", is_flag=True, help="Refuse only what the real API refuses; report the rest.")
@click.option("--thorough", is_flag=True, help="Ask every validator about every entry: slower.")
@click.option(
    "--remember",
    type=click.IntRange(min=1),
    default=DEFAULT_REMEMBERED,
    show_default=True,
    metavar="N",
    help="Know at least the last N events again as duplicates; some 100 bytes of memory each, twice N at most.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@click.option("--aspects", is_flag=True, help="Also print what, whom, when, how much and where of each entry.")
@click.option("--quiet", is_flag=True, help="Print nothing per request.")
@click.option(
    "--addon-path",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, wanted: _print_addon_path(context) if wanted else None,
    help="Print the file that makes your own mitmproxy the endpoint: mitmweb -s FILE.",
)
def command(
    host: str,
    port: int,
    server: str,
    ca_dir: Path | None,
    hosts: tuple[str, ...],
    proxy_port: int | None,
    control_port: int | None,
    token_env: str | None,
    capture_path: Path,
    capture_limit: int | None,
    faults: str | None,
    profile: str,
    relay_url: str | None,
    relay_ca: Path | None,
    path_suffix: str | None,
    lenient: bool,
    thorough: bool,
    remember: int,
    as_json: bool,
    aspects: bool,
    quiet: bool,
) -> None:
    """Run the fake ingest endpoint and capture what arrives.

    Takes usage events as Konnect and OpenMeter do, or meter records as Amberflo does, judges each one, answers, and
    writes every request to the capture before it answers. Without --token-env any bearer token or API key is taken.
    With --relay the real endpoint answers, and what it answers is captured, too.
    SIGINT or SIGTERM ends it with a summary.
    """
    api = APIS[profile]
    settings = IngestSettings(_tokens(token_env), api, path_suffix, lenient, thorough, remember)
    script = FaultScript.read(faults) if faults is not None else FaultScript()
    console = IngestConsole(Console(highlight=False), as_json, quiet, aspects)
    stand_in, stands_in = None, None
    if ca_dir is not None:
        if server != "mitmproxy":
            raise click.UsageError("--ca-dir needs --server mitmproxy")
        stand_in, stands_in = _standing_in(ca_dir, hosts or api.hosts, host, proxy_port)
    elif hosts or proxy_port is not None:
        raise click.UsageError("--stand-in-for and --proxy-port need --ca-dir: the directory of the CA to trust")
    upstream = _upstream(relay_url, relay_ca, server)
    fresh = not capture_path.exists()
    try:
        capture = CaptureWriter(capture_path, capture_limit)
    except (CaptureError, CaptureFormatError) as error:
        raise CannotContinue(str(error)) from None
    with capture:
        try:
            lanes = Lanes(capture, settings, script, console.request, _complain)
        except (CaptureError, CaptureFormatError) as error:
            raise CannotContinue(str(error)) from None
        serve = _host(server, lanes, stand_in, upstream)

        def announce(bound: int, bound_control: int | None) -> None:
            relay = upstream.address if upstream is not None else None
            console.ready(host, bound, bound_control, capture_path, settings.suffixes[0], stands_in, relay)

        try:
            with _runner(server) as runner:
                runner.run(_run(lanes, settings, serve, host, port, control_port, announce))
        except CannotContinue:
            if fresh:  # nothing was ever served: leave nothing behind
                capture.discard()
            raise
        console.summary(lanes.counts)


async def _run(
    lanes: Lanes,
    settings: IngestSettings,
    serve: Serve,
    host: str,
    port: int,
    control_port: int | None,
    announce: Callable[[int, int | None], None],
) -> None:
    from harness.ingest.control_server import ControlServer

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
            announce(bound, bound_control)

        try:
            await serve(lanes, host, port, stop, ready, _complain)
        except PortError as error:
            advice = (
                "give an address of this machine with --host"
                if error.wrong_host
                else "choose another port with --port"
            )
            raise CannotContinue(f"{error}; {advice}") from None
    finally:
        await control.stop()


def _runner(server: str) -> asyncio.Runner:
    if server == "mitmproxy":
        return asyncio.Runner()
    import uvloop

    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def _host(server: str, lanes: Lanes, stand_in: StandIn | None, upstream: Upstream | None) -> Serve:
    # Imported here: mitmproxy alone takes longer to import than a user's mistakes take to find.
    if server == "mitmproxy":
        from harness.ingest.mitmproxy_host import serve as mitmproxy_serve
        from harness.ingest.relay import Relay

        relay = None if upstream is None else Relay(lanes, upstream, _complain)
        return partial(mitmproxy_serve, stand_in=stand_in, relay=relay)
    from harness.ingest.fast_host import serve as fast_serve

    return fast_serve


def _standing_in(ca_dir: Path, hosts: tuple[str, ...], host: str, proxy_port: int | None) -> tuple[StandIn, StandsIn]:
    """Return what stands in for ``hosts``, and what to say of it."""
    if not hosts:
        raise click.UsageError("--ca-dir needs --stand-in-for HOST: this profile has no host of its own")
    for name in hosts:
        if not _HOST_NAME.fullmatch(name):
            raise click.UsageError(f"--stand-in-for {name}: not a host name; write it without scheme, port and path")
    # Imported here, as in _host.
    from harness.ingest.certificate_authority import CERTIFICATE, AuthorityError, open_authority
    from harness.ingest.stand_in import StandIn, free_port

    try:
        authority = open_authority(ca_dir)
    except AuthorityError as error:
        raise CannotContinue(str(error)) from None
    if proxy_port == 0:
        proxy_port = free_port(host)
    stand_in = StandIn(frozenset(name.lower() for name in hosts), authority, proxy_port)
    return stand_in, StandsIn(hosts, proxy_port, str(ca_dir / CERTIFICATE))


def _upstream(url: str | None, ca: Path | None, server: str) -> Upstream | None:
    """Return the endpoint that requests are passed on to; None: they are answered here."""
    if url is None:
        if ca is not None:
            raise click.UsageError("--relay-ca needs --relay")
        return None
    if server != "mitmproxy":
        raise click.UsageError("--relay needs --server mitmproxy")
    from harness.ingest.upstream import Upstream, UpstreamError

    try:
        return Upstream(url, ca)
    except UpstreamError as error:
        raise CannotContinue(f"--relay: {error}") from None


def _tokens(variable: str | None) -> frozenset[str]:
    if variable is None:
        return frozenset()
    token = os.environ.get(variable, "")
    if not token:
        raise CannotContinue(f"environment variable {variable} is not set, or empty; --token-env names it")
    return frozenset({token})


def _print_addon_path(context: click.Context) -> None:
    click.echo(Path(__file__).parents[1] / "mitmproxy_addon" / "metering.py")
    context.exit()


def _complain(message: str) -> None:
    print(f"kong-metering: {message}", file=sys.stderr, flush=True)  # noqa: T201
