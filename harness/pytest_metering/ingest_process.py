"""The fake ingest endpoint's process: one for a run, or for each of its workers."""

from __future__ import annotations

import itertools
import os

from harness.ingest.control import IngestControl
from harness.targets.process import VerbProcess
from harness.targets.scratch_folder import ScratchFolder
from harness.targets.target import TargetUnavailableError

ENDPOINT_PATH = "/v3/openmeter/events"


class IngestProcess:
    """``kong-metering ingest`` as a child. On a fixed ``port`` its unnamed lane serves every test, so that the URL
    is always the same; on a free one (0) each test gets a lane of its own.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._fixed = port != 0
        self._directory = ScratchFolder()
        capture = self._directory.path / "ingest.capture"
        options = ["--host", host, "--port", str(port), "--control-port", "0", "--json", "--quiet"]
        self._process = VerbProcess("ingest", [*options, "--capture", str(capture)])
        self._port = port
        self._lanes = itertools.count(1)
        self.control = IngestControl(0)

    def start(self) -> None:
        """Start it. Raises TargetUnavailableError with the reason in one line."""
        try:
            ready = self._process.start()
        except TargetUnavailableError:
            self._directory.close()
            raise
        self._port = int(ready["port"])
        self.control = IngestControl(int(ready["control_port"]))

    def stop(self) -> None:
        """End it and remove its capture."""
        self._process.stop()
        self._directory.close()

    def new_lane(self) -> str:
        """Return the name of the lane for the next test."""
        return "" if self._fixed else f"test-{os.getpid()}-{next(self._lanes)}"

    def url(self, lane: str) -> str:
        """Return a lane's URL for ``ingest_endpoint``."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "") else self._host
        base = f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"
        return f"{base}/lane/{lane}{ENDPOINT_PATH}" if lane else base + ENDPOINT_PATH
