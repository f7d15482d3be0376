"""The fake ingest endpoint as one child process, a lane for each scenario."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.capture.record import CapturedRequest
from harness.conformance.observation import Delivery
from harness.ingest.control import ControlError, IngestControl
from harness.targets.process import VerbProcess
from harness.targets.target import TargetUnavailableError
from harness.targets.tls_front import TlsFront

_LANE_PREFIX = re.compile(r"^/lane/[^/?#]*")
_TAKEN = frozenset({"accepted", "duplicate"})
_ENDPOINT_PATH = "/v3/openmeter/events"


class FakeIngest:
    """One ``kong-metering ingest`` process. Lanes refuse only what the real API refuses and report the rest."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="kong-metering-")
        capture = Path(self._directory.name) / "capture.jsonl"
        options = ["--port", "0", "--control-port", "0", "--json", "--quiet", "--capture", str(capture)]
        self._process = VerbProcess("ingest", options)
        self._control: IngestControl | None = None
        self._port = 0
        self._tls: TlsFront | None = None

    def start(self) -> None:
        """Start the process on free ports. Raises TargetUnavailableError."""
        ready = self._process.start()
        self._port = int(ready["port"])
        self._control = IngestControl(int(ready["control_port"]))
        self._tls = TlsFront(self._port)
        # Once before several threads do it: msgspec crashes when two of them are the first to decode a type.
        self._control.requests()

    def stop(self) -> None:
        """End the process and remove its capture."""
        if self._tls is not None:
            self._tls.stop()
        self._process.stop()
        self._directory.cleanup()

    def open_lane(self, lane: str, token: str, script: Sequence[Mapping[str, Any]]) -> str:
        """Make a lane that accepts ``token`` and behaves as ``script`` says; return its endpoint URL."""
        assert self._control is not None
        steps = [dict(step) for step in script]
        if steps and "forever" not in steps[-1]:
            steps.append({"status": 202})  # the script's last step goes on for ever
        try:
            self._control.set_lane(lane, token=token, script=steps or None, lenient=True)
        except ControlError as error:
            raise TargetUnavailableError(self._reason(error)) from None
        return f"http://127.0.0.1:{self._port}/lane/{lane}{_ENDPOINT_PATH}"

    def untrusted_url(self, lane: str) -> str:
        """Return the lane's URL over TLS with a certificate that no client trusts."""
        assert self._tls is not None
        return f"https://127.0.0.1:{self._tls.port}/lane/{lane}{_ENDPOINT_PATH}"

    def deliveries(self, lane: str, after: int, wait: float) -> list[Delivery]:
        """Return the lane's deliveries but the first ``after``, waiting up to ``wait`` seconds for one to come."""
        assert self._control is not None
        try:
            requests = self._control.requests(lane, after=after, wait=wait)
        except ControlError as error:
            raise TargetUnavailableError(self._reason(error)) from None
        return [_delivery(request) for request in requests]

    def close_lane(self, lane: str) -> None:
        """Forget the lane."""
        assert self._control is not None
        try:
            self._control.remove_lane(lane)
        except ControlError:
            if self._process.running:
                raise

    def _reason(self, error: ControlError) -> str:
        return str(error) if self._process.running else self._process.why_gone()


def _delivery(request: CapturedRequest) -> Delivery:
    body = request.body_bytes()
    data: Any = None
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        data = msgspec.json.decode(body)
    shape = "array" if isinstance(data, list) else "object" if isinstance(data, dict) else "invalid"
    entries: list[Any] = data if isinstance(data, list) else [data]
    complaints = [(finding.rule, f"{finding.pointer} {finding.message}".strip()) for finding in request.findings]
    for verdict in request.verdicts:
        complaints += [(finding.rule, f"{finding.pointer} {finding.message}".strip()) for finding in verdict.findings]
    return Delivery(
        number=request.n,
        at=request.arrived_at,
        status=request.status,
        shape=shape,
        content_type=request.content_type,
        body=body.decode("utf-8", "replace"),
        events=[entry for entry in entries if isinstance(entry, dict)],
        accepted=any(verdict.verdict in _TAKEN for verdict in request.verdicts),
        method=request.method,
        path=_LANE_PREFIX.sub("", request.path),
        connection=request.connection,
        complaints=complaints,
    )
