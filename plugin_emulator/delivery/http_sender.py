"""One POST to the ingest endpoint (SPEC DLV-1…5, RET-6, BAT-10)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from yarl import URL

from ..metering_and_billing.config import MeteringConfig

ONE_EVENT = "application/cloudevents+json"
USER_AGENT = "kong-metering-emulator"
MANY_EVENTS = "application/cloudevents-batch+json"


@dataclass(frozen=True, slots=True)
class Try:
    """How one POST went: ``ok``, or ``problem`` in words that hold no secret."""

    ok: bool
    problem: str = ""


class HttpSender:
    """Sends batches for one plugin configuration over connections it keeps alive.

    Make it inside a running event loop and ``close`` it in the end.
    """

    def __init__(self, config: MeteringConfig) -> None:
        self.url = _target(config.ingest_endpoint)
        self._bare = config.queue.max_batch_size == 1
        self._timeout = config.timeout
        always = {"Authorization": f"Bearer {config.api_token}", "User-Agent": USER_AGENT}
        self._headers_of_one = {**always, "Content-Type": ONE_EVENT}
        self._headers_of_many = {**always, "Content-Type": MANY_EVENTS}
        self._verify = config.ssl_verify
        self._keepalive = config.keepalive / 1000
        self._session: aiohttp.ClientSession | None = None
        self._tries = 0
        self._free = asyncio.Event()
        self._free.set()

    async def send(self, batch: Sequence[bytes]) -> Try:
        """POST one batch of serialised events; never raises for what the network or the endpoint does.

        Only a 2xx answer within ``timeout`` is a success; redirects are not followed (RET-6).
        """
        if self.url is None:
            return Try(False, "ingest_endpoint is empty or no http(s) URL")
        if self._bare and len(batch) == 1:
            body, headers = batch[0], self._headers_of_one
        else:  # also a larger batch formed under an earlier configuration (LIF-3)
            body, headers = b"[" + b",".join(batch) + b"]", self._headers_of_many
        session = self._session or self._open()
        self._tries += 1
        self._free.clear()
        try:
            async with session.post(self.url, data=body, headers=headers, allow_redirects=False) as response:
                await response.read()
                if 200 <= response.status < 300:
                    return Try(True)
                return Try(False, f"answered {response.status}")
        except TimeoutError:
            return Try(False, f"no answer within {self._timeout:g} ms")
        except aiohttp.ClientConnectorCertificateError:
            return Try(False, "its TLS certificate is not trusted")
        except aiohttp.ClientConnectorError as error:
            return Try(False, f"cannot connect: {error.os_error.strerror or error.os_error}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The text of these can quote a header, and so the token: name the kind alone.
            return Try(False, f"failed: {type(error).__name__}")
        finally:
            self._tries -= 1
            if not self._tries:
                self._free.set()

    async def unused(self) -> None:
        """Return when no try is under way."""
        await self._free.wait()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._keepalive > 0:
            connector = aiohttp.TCPConnector(limit=0, ssl=self._verify, keepalive_timeout=self._keepalive)
        else:
            connector = aiohttp.TCPConnector(limit=0, ssl=self._verify, force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=self._timeout / 1000),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "Accept"),
        )
        return self._session


def _target(endpoint: str) -> URL | None:
    """Return the URL to send to, as written (DLV-7); its userinfo never leaves the gateway: the token does."""
    try:
        url = URL(endpoint, encoded=True)
        if url.scheme not in ("http", "https") or not url.host:
            return None
        return url.with_user(None) if url.raw_user or url.raw_password else url
    except ValueError:
        return None
