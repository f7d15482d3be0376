"""What stands in for a gateway where only what reaches it matters: it records each request and answers as told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Received:
    """One request as it arrived; ``headers`` are looked up without case."""

    method: str
    target: str
    headers: Message


@dataclass
class RecordingGateway:
    """``answer`` is called with the count of requests before; it gives a status, or None to close the connection."""

    answer: Callable[[int], int | None] = lambda count: 200
    delay: float = 0.0
    received: list[Received] = field(default_factory=list)
    url: str = ""

    def numbers(self) -> list[str]:
        """Return the numbers of the requests, in the order of their arrival."""
        return [request.headers["X-Load-Number"] for request in self.received]


@contextmanager
def recording_gateway(gateway: RecordingGateway | None = None) -> Iterator[RecordingGateway]:
    """Serve until the block ends."""
    served = gateway or RecordingGateway()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body would otherwise leave in two packets, the second 40 ms late.
        wbufsize = -1

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                status = served.answer(len(served.received))
                served.received.append(Received(self.command, self.path, self.headers))
            time.sleep(served.delay)
            if status is None:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
