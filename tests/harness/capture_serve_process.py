"""``kong-metering capture serve`` as a child process, and captures for it to show."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.capture.record import CapturedRequest
from harness.capture.store import CaptureWriter
from harness.capture.verdict import ACCEPTED, DUPLICATE, REFUSED, Finding, Verdict

#: 2026-05-04T10:00:00Z, when the first request arrives; one follows each second.
START = 1_777_888_800.0
INVALID = Verdict("invalid", (Finding("EVT-1", "/subject", "is no text", "is_string"),))
HOSTILE = '<img src=x onerror="window.ran = 1">'


def event(id_: str | None, subject: Any = "alice", kind: str = "kong.api_request", **data: Any) -> dict[str, Any]:
    made = {"specversion": "1.0", "id": id_, "source": "kong-gateway", "type": kind, "subject": subject, "data": data}
    return {name: value for name, value in made.items() if value is not None}


class Writing:
    """A capture that is being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n = 0
        self._writer = CaptureWriter(path)

    def __enter__(self) -> Writing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def __call__(
        self, *events: Any, verdict: Verdict | Iterable[Verdict] = ACCEPTED, status: int | None = 202, **members: Any
    ) -> None:
        """Append a request with ``events``, or with the text that is the only one of them."""
        (text,) = events if events and isinstance(events[0], str) else (json.dumps(events),)
        verdicts = (verdict,) * len(events) if isinstance(verdict, Verdict) else tuple(verdict)
        at = START + self.n
        self.n += 1
        fixed: dict[str, Any] = {"n": self.n, "lane": "", "arrived_at": at, "monotonic": at, "connection": "c"}
        fixed |= {"method": "POST", "path": "/v3/openmeter/events", "size": len(text), "status": status}
        fixed |= {"headers": [("authorization", "[redacted]")], "verdicts": verdicts, "body": text}
        self._writer.append(CapturedRequest(**{**fixed, **members}))


def small(write: Writing) -> None:
    """Eight requests: a batch that is refused twice, then accepted, an invalid and a duplicate event, a lane, a fault
    whose client got no answer, and a body that is no JSON."""
    batch = [event("e-1", path="/orders/1"), event("e-2", "bob", path="/Ünïcode")]
    for _ in range(2):
        write(*batch, verdict=REFUSED, status=503, fault="503")
    write(*batch)
    write(event("e-3", "carol", "kong.llm_request", tokens=1234, nested={"model": ["gpt", None, True]}))
    write(event("e-4", HOSTILE), event("e-1"), verdict=[INVALID, DUPLICATE], status=400)
    write(event("e-5", None), lane="other")
    write(event("e-6", "bob"), status=None, fault="reset")
    write("{no json", verdict=(), status=400, findings=(Finding("DLV-2", "", "is no JSON"),))


class Served:
    """A running page; ``url`` is its address."""

    def __init__(self, capture: Path, *options: str) -> None:
        command = [sys.executable, "-m", "harness.cli.main", "capture", "serve", "--capture", str(capture), "--json"]
        self.process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        first = self.process.stdout.readline()
        assert first, self.process.stderr.read()
        self.ready = json.loads(first)
        self.url = str(self.ready["url"])
        self.port = int(self.ready["port"])

    def __enter__(self) -> Served:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def end(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        """End it by a signal; return exit code and what else it printed."""
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=20)
        return self.process.returncode, output, errors

    def raw(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers (names in lower case) and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def ask(self, path: str, status: int = 200) -> Any:
        """Return a JSON answer of the API."""
        found, _, body = self.raw(f"/api/{path}")
        assert found == status, body
        return json.loads(body)

    def read(self, requests: int) -> Any:
        """Wait until so many requests are known; return the state."""
        while (state := self.ask("state"))["requests"] < requests:
            pass
        return state
