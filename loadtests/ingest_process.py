"""The ingest endpoint of a load, as a process: ``python -m loadtests.ingest_process --directory DIR --run ID``.

The fast host, a capture, the arrivals by number, the control interface with the live feed. It prints one JSON line
when it is ready (``port``, ``control_port``) and ends on SIGTERM, SIGINT, or when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from harness.capture.record import CapturedRequest
from harness.capture.store import CaptureError, CaptureFormatError, CaptureWriter
from harness.ingest.control_server import ControlServer
from harness.ingest.core import IngestSettings
from harness.ingest.fast_host import serve
from harness.ingest.faults import FaultScript
from harness.ingest.host import PortError
from harness.ingest.lanes import Lanes
from harness.ingest.messages import Receipt
from loadtests.arrivals import ArrivalsWriter
from loadtests.live_feed import LiveFeed
from loadtests.plugins.registry import DEFAULT_PLUGIN, LOADED_PLUGINS

#: The capture's name in the directory of a run.
CAPTURE = "ingest.capture"
_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the process; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.ingest_process", description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, required=True, help="directory of the run")
    parser.add_argument("--run", required=True, help="the run's id: eight hex digits")
    parser.add_argument("--metering", choices=LOADED_PLUGINS, default=DEFAULT_PLUGIN, help="whose events arrive")
    parser.add_argument("--watch", action="append", default=[], metavar="PATH", help="path of an event to keep")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0: any free one")
    options = parser.parse_args(arguments)
    form = LOADED_PLUGINS[options.metering].form
    try:
        with (
            CaptureWriter(options.directory / CAPTURE) as capture,
            ArrivalsWriter(options.directory, options.run, options.watch, form) as arrivals,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(_run(capture, arrivals, LiveFeed(time_of=form.time), options.host, options.port))
    except (CaptureError, CaptureFormatError, PortError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE
    except OSError as error:
        sys.stderr.write(f"{error.filename or options.directory}: {error.strerror or error}\n")
        return _USAGE
    return 0


async def _run(capture: CaptureWriter, arrivals: ArrivalsWriter, feed: LiveFeed, host: str, port: int) -> None:
    """Serve until told to end."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.add_reader(sys.stdin.fileno(), _at_end_of_input, stop)

    def observe(record: CapturedRequest, receipt: Receipt) -> None:
        arrivals.observe(record, receipt)
        feed.observe(record, receipt, time.time())

    # As lenient as the real API: what is refused would be sent again, and the report names findings all the same.
    settings = IngestSettings(lenient=True)
    lanes = Lanes(capture, settings, FaultScript(), observe)
    control = ControlServer(lanes, settings, [feed.route()])
    try:
        control_port = await control.start("127.0.0.1", 0)

        async def ready(bound: int) -> None:
            sys.stdout.write(json.dumps({"port": bound, "control_port": control_port}) + "\n")
            sys.stdout.flush()

        await serve(lanes, host, port, stop, ready, _complain)
    finally:
        await control.stop()


def _at_end_of_input(stop: asyncio.Event) -> None:
    """Stop when whoever started us has closed our input, or is gone."""
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


def _complain(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
