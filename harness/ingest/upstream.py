"""The real ingest endpoint behind a relay: one host, TLS verified, redirects not followed."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import aiohttp
from yarl import URL

from harness.capture.record import NOT_REACHED
from harness.capture.redaction import Secrets, redacted_path
from harness.ingest.messages import Answer, IngestRequest

_TIMEOUT = aiohttp.ClientTimeout(total=60.0, connect=10.0)
_LARGEST_ANSWER = 16 * 1024 * 1024  # bytes
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
#: Headers of one connection, or of a coding that ends here; Host is the upstream's.
_NOT_PASSED_ON = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
#: What of an answer is not passed back, too: it is decoded here, and no client of an ingest API keeps cookies.
_NOT_PASSED_BACK = _NOT_PASSED_ON | {"content-encoding", "set-cookie"}
#: Headers that aiohttp would add.
_ADDED_BY_CLIENTS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
#: Headers of an answer whose value is an address.
_ADDRESSES = ("location", "content-location", "refresh")


class UpstreamError(RuntimeError):
    """The upstream cannot be used, or gave no answer. The message is one line; ``status`` is for the client."""

    def __init__(self, message: str, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


class Upstream:
    """Passes requests on to one host, and to no other."""

    def __init__(self, url: str, ca: Path | None = None) -> None:
        """``url`` may have a path, which is put before a request's. ``ca``: trust this file's CAs, not the system's.

        Plain HTTP is for this machine only. Raises UpstreamError.
        """
        try:
            self._base = URL(url)
            self.host = self._base.host or ""
        except ValueError:
            raise UpstreamError(f"{url}: is no URL; write it as https://us.api.konghq.com") from None
        plain = self._base.scheme == "http" and self.host in _LOOPBACK
        if not self.host or not (plain or self._base.scheme == "https"):
            raise UpstreamError(
                f"{self.host or url}: must be a URL that begins with https://, so that tokens stay secret"
            )
        if self._base.user or self._base.password or self._base.query_string or self._base.fragment:
            raise UpstreamError(f"{self.host}: the URL may have host, port and path, nothing else")
        self._prefix = self._base.raw_path.rstrip("/")
        try:
            self._tls = ssl.create_default_context(cafile=None if ca is None else str(ca))
        except ssl.SSLError:
            raise UpstreamError(f"{ca}: has no certificate that can be read") from None
        except OSError as error:
            raise UpstreamError(f"{ca}: {error.strerror}") from None

    @property
    def address(self) -> str:
        """The URL, with the path that is put before a request's, if any."""
        return f"{self._base.origin()}{self._prefix}"

    async def pass_on(self, request: IngestRequest, path: str) -> Answer:
        """Send ``request`` with ``path`` to the upstream and return its answer. Raises UpstreamError.

        Secrets of the request that the answer repeats are redacted in it: it is shown, and may be saved.
        """
        url = self._url(path)
        secrets = Secrets.of(request.headers, request.path)
        headers = [(name, value) for name, value in request.headers if name.lower() not in _NOT_PASSED_ON]
        given_names = {name.lower() for name, _ in headers}
        left_out = [name for name in _ADDED_BY_CLIENTS if name.lower() not in given_names]
        # A connection for each request: one kept open may be closed by the other side just as a batch goes out.
        connector = aiohttp.TCPConnector(ssl=self._tls, force_close=True)
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector,
                    timeout=_TIMEOUT,
                    skip_auto_headers=left_out,
                    cookie_jar=aiohttp.DummyCookieJar(),
                ) as session,
                session.request(
                    request.method, url, data=request.body or None, headers=headers, allow_redirects=False
                ) as response,
            ):
                body = await _body(response)
                given = tuple(
                    (name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers
                )
        except aiohttp.ClientConnectorError as error:
            raise UpstreamError(f"{self.host}: {NOT_REACHED}: {_obstacle(error)}") from None
        except aiohttp.ConnectionTimeoutError:
            raise UpstreamError(f"{self.host}: {NOT_REACHED}: no connection in time", 504) from None
        except TimeoutError:
            raise UpstreamError(f"{self.host}: no answer in time", 504) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamError(f"{self.host}: {_breach(error)}") from None
        return _redacted(Answer(response.status, given, body), secrets)

    def _url(self, path: str) -> URL:
        if not path.startswith("/"):  # anything else could lead to another host
            raise UpstreamError(f"{self.host}: the request's path does not begin with /", 400)
        try:
            url = URL(f"{self.address}{path}", encoded=True)
        except ValueError:
            raise UpstreamError(f"{self.host}: the request's path cannot be passed on", 400) from None
        if url.origin() != self._base.origin():
            raise UpstreamError(f"{self.host}: the request's path leads to another host", 400)
        return url


class _AnswerError(ValueError):
    """An answer that is not taken. The message says why."""


def _obstacle(error: aiohttp.ClientConnectorError) -> str:
    """Return what kept a connection from being made."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name cannot be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "")
        return f"its certificate is not trusted{reason and f': {reason}'}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "it does not speak TLS as it should"
    return _reason(error.os_error) or "no connection"


def _breach(error: Exception) -> str:
    """Return what went wrong once the request was on its way; nothing that the other side wrote."""
    if isinstance(error, _AnswerError):
        return str(error)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "closed the connection without an answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "its answer broke off"
    reason = _reason(error) if isinstance(error, OSError) else ""
    return f"the connection broke: {reason}" if reason else "its answer cannot be understood"


def _reason(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno is not None and error.errno > 0 else ""


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > _LARGEST_ANSWER:
            raise _AnswerError(f"its answer is larger than {_LARGEST_ANSWER} bytes")
    return bytes(body)


def _redacted(answer: Answer, secrets: Secrets) -> Answer:
    kept = [(name, value) for name, value in answer.headers if name.lower() not in _NOT_PASSED_BACK]
    headers = [
        (name, redacted_path(value) if name.lower() in _ADDRESSES else value)
        for name, value in secrets.hidden_in_headers(kept)
    ]
    return Answer(answer.status, tuple(headers), secrets.hidden(answer.body))
