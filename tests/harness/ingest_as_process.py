"""``kong-metering ingest`` as a child process, for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from harness.ingest.control import IngestControl

TOKEN = "kpat-process-test-0123456789"


class Ingest:
    """A running ingest process."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.capture = directory / "ingest.capture"
        self.error_file = directory / "stderr.txt"
        arguments = [
            "ingest",
            "--port",
            "0",
            "--control-port",
            "0",
            "--token-env",
            "INGEST_TOKEN",
            "--json",
            *options,
        ]
        command = [sys.executable, "-m", "harness.cli.main", *arguments, "--capture", str(self.capture)]
        with self.error_file.open("wb") as errors:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "INGEST_TOKEN": TOKEN, "HOME": str(directory)},
            )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        assert first, self.error_file.read_text()
        self.ready = json.loads(first)
        self.port = int(self.ready["port"])
        self.control = IngestControl(self.ready["control_port"])

    def stop(self) -> str:
        """End the process as an operator does; return the rest of its output."""
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=20)
        return str(output, "utf-8")
