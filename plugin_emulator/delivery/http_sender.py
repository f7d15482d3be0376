"""One POST to an ingest endpoint (SPEC DLV-1…5, RET-6, BAT-10)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from ..http_url import NO_URL
from .connection import IngestConnection, NotHttp

USER_AGENT = "kong-metering-emulator"

#: Characters of a URL that are sent as they are; everything printable in ASCII (DLV-7).
_AS_WRITTEN = "".join(chr(code) for code in range(0x21, 0x7F))


@dataclass(frozen=True, slots=True)
class Try:
    """How one POST went: ``ok``, or ``problem`` in words that hold no secret; ``status`` if there was an answer."""

    ok: bool
    problem: str = ""
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An ingest endpoint's address: where to connect and what to ask for."""

    host: str
    port: int
    tls: bool
    authority: str
    target: str

    @classmethod
    def parse(cls, url: str) -> Endpoint | None:
        """Return the endpoint as written (DLV-7), or None when ``url`` is no http(s) URL.

        Userinfo never leaves the gateway, since the token does; a fragment is no part of a request.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
            if parts.scheme not in ("http", "https") or not host:
                return None
            if ":" not in host:
                host = host.encode("idna").decode()
        except ValueError:  # also a name that is none: a label that is empty or too long
            return None
        tls = parts.scheme == "https"
        written = f"[{host}]" if ":" in host else host
        authority = written if port is None else f"{written}:{port}"
        path = quote(parts.path, safe=_AS_WRITTEN) or "/"
        query = f"?{quote(parts.query, safe=_AS_WRITTEN)}" if parts.query else ""
        return cls(host, port or (443 if tls else 80), tls, authority, path + query)


@dataclass(frozen=True, slots=True)
class Posting:
    """How batches are posted.

    ``credential`` is a whole header line, without its end; it is a secret and in no ``repr``. A batch goes as an
    array with ``content_type``; with ``content_type_of_one`` a batch of one goes as the bare object instead. A try
    must be answered within ``timeout`` seconds (0: whenever), with a status of at least 200 and below
    ``success_below``. Connections are kept for ``keepalive`` seconds without use.
    """

    url: str
    credential: str = field(repr=False)
    content_type: str
    content_type_of_one: str | None = None
    timeout: float = 10.0
    keepalive: float = 60.0
    verify: bool = True
    success_below: int = 300


class HttpSender:
    """Sends batches over connections it keeps alive.

    Make it inside a running event loop and ``close`` it in the end.
    """

    def __init__(self, posting: Posting) -> None:
        self.endpoint = Endpoint.parse(posting.url)
        self._bare = posting.content_type_of_one is not None
        self._timeout = posting.timeout
        self._keepalive = posting.keepalive
        self._verify = posting.verify
        self._success_below = posting.success_below
        self._tls: ssl.SSLContext | None = None
        self._sendable = posting.credential.isprintable()
        if self.endpoint is not None and self._sendable:
            head = (
                f"POST {self.endpoint.target} HTTP/1.1\r\nHost: {self.endpoint.authority}\r\n"
                f"User-Agent: {USER_AGENT}\r\n{posting.credential}\r\nContent-Type: "
            )
            self._head_of_one = f"{head}{posting.content_type_of_one}\r\nContent-Length: ".encode()
            self._head_of_many = f"{head}{posting.content_type}\r\nContent-Length: ".encode()
        self._loop = asyncio.get_running_loop()
        self._idle: list[IngestConnection] = []
        self._pruning: asyncio.TimerHandle | None = None
        self._tries = 0
        self._free = asyncio.Event()
        self._free.set()

    async def send(self, batch: Sequence[bytes]) -> Try:
        """POST one batch of serialised events; never raises for what the network or the endpoint does.

        Redirects are not followed (RET-6).
        """
        if self.endpoint is None:
            return Try(False, NO_URL)
        if not self._sendable:
            return Try(False, "cannot be given the token: it has characters that no header can carry")
        self._tries += 1
        self._free.clear()
        connection: IngestConnection | None = None
        try:
            async with asyncio.timeout(self._timeout or None):
                connection = self._reusable() or await self._connect(self.endpoint)
                status = await self._post(connection, batch)
            if not 200 <= status < self._success_below:
                return Try(False, f"answered {status}", status)
            return Try(True, status=status)
        except TimeoutError:
            _drop(connection)
            return Try(False, f"gave no answer within {self._timeout * 1000:g} ms")
        except ssl.SSLCertVerificationError:
            return Try(False, "has a TLS certificate that is not trusted")
        except ssl.SSLError as error:
            return Try(False, f"failed in TLS: {error.reason or type(error).__name__}")
        except NotHttp:
            return Try(False, "answered with something that is no HTTP")
        except OSError as error:
            if connection is None:
                return Try(False, f"cannot be reached: {error.strerror or type(error).__name__}")
            return Try(False, "closed the connection without an answer")
        except asyncio.CancelledError:
            _drop(connection)
            raise
        finally:
            self._tries -= 1
            if not self._tries:
                self._free.set()

    async def unused(self) -> None:
        """Return when no try is under way."""
        await self._free.wait()

    async def close(self) -> None:
        """Close all connections."""
        if self._pruning is not None:
            self._pruning.cancel()
            self._pruning = None
        while self._idle:
            self._idle.pop().close()

    async def _post(self, connection: IngestConnection, batch: Sequence[bytes]) -> int:
        if self._bare and len(batch) == 1:
            body = batch[0]
            answer = connection.request(b"%b%d\r\n\r\n%b" % (self._head_of_one, len(body), body))
        else:  # also a larger batch that formed under an earlier configuration (LIF-3)
            body = b",".join(batch)
            answer = connection.request(b"%b%d\r\n\r\n[" % (self._head_of_many, len(body) + 2), body, b"]")
        status = await answer
        if connection.reusable and self._keepalive > 0:
            connection.idle_since = self._loop.time()
            self._idle.append(connection)
            if self._pruning is None:
                self._pruning = self._loop.call_later(self._keepalive, self._prune)
        else:
            connection.close()
        return status

    def _reusable(self) -> IngestConnection | None:
        """Return the connection that was used last, if it is still good (DLV-4)."""
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and self._loop.time() - connection.idle_since < self._keepalive:
                return connection
            connection.close()
        return None

    async def _connect(self, endpoint: Endpoint) -> IngestConnection:
        if endpoint.tls and self._tls is None:
            self._tls = ssl.create_default_context()
            if not self._verify:
                self._tls.check_hostname = False
                self._tls.verify_mode = ssl.CERT_NONE
        tls = self._tls if endpoint.tls else None
        _, connection = await self._loop.create_connection(IngestConnection, endpoint.host, endpoint.port, ssl=tls)
        return connection

    def _prune(self) -> None:
        """Close what has been idle for longer than ``keepalive``."""
        self._pruning = None
        oldest = self._loop.time() - self._keepalive
        stale = [
            connection for connection in self._idle if connection.idle_since <= oldest or not connection.reusable
        ]
        self._idle = [connection for connection in self._idle if connection not in stale]
        for connection in stale:
            connection.close()
        if self._idle:
            self._pruning = self._loop.call_at(self._idle[0].idle_since + self._keepalive, self._prune)


def _drop(connection: IngestConnection | None) -> None:
    if connection is not None:
        connection.close()
