"""The fake ingest endpoint, a lane for each scenario: as a child process of ours, or as one that others share."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from harness.capture.record import CapturedRequest
from harness.conformance.arrival_form import USAGE_EVENTS, ArrivalForm
from harness.conformance.observation import Delivery
from harness.ingest.control import ControlError, IngestControl
from harness.targets.process import VerbProcess
from harness.targets.scratch_folder import ScratchFolder
from harness.targets.target import TargetUnavailableError
from harness.targets.tls_front import TlsFront, reachable

_LANE_PREFIX = re.compile(r"^/lane/[^/?#]*")
_TAKEN = frozenset({"accepted", "duplicate"})


class IngestPorts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a fake ingest endpoint listens on 127.0.0.1: plain HTTP, TLS nobody trusts, its control interface."""

    http: int
    tls: int
    control: int


@dataclass(frozen=True, slots=True)
class IngestPlace:
    """Where an endpoint of ours listens, and by which name or address the gateway reaches it (None: the same).

    ``port`` 0 is a free one.
    """

    bind: str = "127.0.0.1"
    port: int = 0
    advertise: str | None = None

    @property
    def host(self) -> str:
        """Host of the URLs that a gateway is given; IPv6 in brackets."""
        host = self.advertise or reachable(self.bind)
        return f"[{host}]" if ":" in host else host


class IngestLanes:
    """The lanes of a fake ingest endpoint that somebody runs.

    Lanes refuse only what the real API refuses and report the rest. ``host`` is what a gateway is told.
    """

    def __init__(self, ports: IngestPorts, host: str = "127.0.0.1") -> None:
        self.ports = ports
        self._host = host
        self._control = IngestControl(ports.control)
        # Once before several threads do it: msgspec crashes when two of them are the first to decode a type.
        self._control.requests()

    def open_lane(
        self, lane: str, token: str, script: Sequence[Mapping[str, Any]], form: ArrivalForm = USAGE_EVENTS
    ) -> str:
        """Make a lane for what is of ``form``, with this token, that behaves as ``script`` says; return its URL."""
        steps = [dict(step) for step in script]
        if steps and "forever" not in steps[-1]:
            steps.append({"status": 202})  # the script's last step goes on for ever
        try:
            self._control.set_lane(lane, token=token, script=steps or None, profile=form.api, lenient=True)
        except ControlError as error:
            raise TargetUnavailableError(self._reason(error)) from None
        return f"http://{self._host}:{self.ports.http}/lane/{lane}{form.path}"

    def untrusted_url(self, lane: str) -> str:
        """Return the lane's URL over TLS with a certificate that no client trusts."""
        return f"https://{self._host}:{self.ports.tls}/lane/{lane}{USAGE_EVENTS.path}"

    def deliveries(self, lane: str, after: int, wait: float) -> list[Delivery]:
        """Return the lane's deliveries but the first ``after``, waiting up to ``wait`` seconds for one to come."""
        try:
            requests = self._control.requests(lane, after=after, wait=wait)
        except ControlError as error:
            raise TargetUnavailableError(self._reason(error)) from None
        return [_delivery(request) for request in requests]

    def close_lane(self, lane: str) -> None:
        """Forget the lane."""
        try:
            self._control.remove_lane(lane)
        except ControlError as error:
            raise TargetUnavailableError(self._reason(error)) from None

    def _reason(self, error: ControlError) -> str:
        return str(error)


class FakeIngest:
    """One ``kong-metering ingest`` process of our own, and its lanes once it is started."""

    def __init__(self, place: IngestPlace | None = None) -> None:
        self._place = place or IngestPlace()
        self._directory = ScratchFolder()
        capture = self._directory.path / "ingest.capture"
        options = [
            "--host",
            self._place.bind,
            "--port",
            str(self._place.port),
            "--control-port",
            "0",
            "--json",
            "--quiet",
            "--capture",
            str(capture),
        ]
        self._process = VerbProcess("ingest", options)
        self._tls: TlsFront | None = None

    def start(self) -> IngestLanes:
        """Start the process and return its lanes. Raises TargetUnavailableError."""
        ready = self._process.start()
        port = int(ready["port"])
        self._tls = TlsFront(port, self._place.bind, self._place.advertise)
        ports = IngestPorts(port, self._tls.port, int(ready["control_port"]))
        return _OwnLanes(ports, self._process, self._place.host)

    def stop(self) -> None:
        """End the process and remove its capture."""
        if self._tls is not None:
            self._tls.stop()
        self._process.stop()
        self._directory.close()


class _OwnLanes(IngestLanes):
    """Lanes of a process of ours: when it is gone, it can be said why."""

    def __init__(self, ports: IngestPorts, process: VerbProcess, host: str) -> None:
        super().__init__(ports, host)
        self._process = process

    def close_lane(self, lane: str) -> None:
        """Forget the lane; one that is gone with its process is forgotten."""
        if self._process.running:
            super().close_lane(lane)

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
