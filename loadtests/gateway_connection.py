"""A user's connection to the gateway, on which every request goes out once.

It is made of FastHttpUser's own HTTP library, but not of that library's client: the client repeats a GET whose
connection broke before the answer came, and a request that the gateway had metered already would be metered twice
under one number. The answer's failure is the user's business here.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse
from locust.contrib.fasthttp import insecure_ssl_context_factory

#: What ``exchange`` raises when there is no answer: refused, reset, closed, timed out, or not HTTP.
NO_ANSWER = (OSError, HTTPParseError)

_PORTS = {"http": 80, "https": 443}


class GatewayConnection:
    """One connection, kept open between requests and opened anew when the gateway has closed it."""

    def __init__(self, base_url: str, *, connect_timeout: float, answer_timeout: float, verify: bool) -> None:
        """Connects with the first request. Timeouts are in seconds; ``verify`` is for ``https``."""
        url = urlsplit(base_url)
        host, port = url.hostname or "", url.port or _PORTS[url.scheme]
        make: type[ConnectionPool] = ConnectionPool
        tls: dict[str, Any] = {}
        if url.scheme == "https":
            make = SSLConnectionPool
            tls = {} if verify else {"insecure": True, "ssl_context_factory": insecure_ssl_context_factory}
        timeouts: dict[str, Any] = {"connection_timeout": connect_timeout, "network_timeout": answer_timeout}
        self._pool = make(host, port, host, port, size=1, **timeouts, **tls)

    def exchange(self, request: bytes, method: str) -> tuple[int, int]:
        """Send ``request`` and return its answer's status and the length of the body, once all of it is there.

        Raises one of NO_ANSWER; the request may have reached the gateway all the same.
        """
        pool = self._pool
        sock = pool.get_socket()
        try:
            sock.sendall(request)
        except BaseException:
            pool.release_socket(sock)
            raise
        # The response hands the socket back to the pool, or closes it if it fails.
        response = HTTPSocketPoolResponse(sock, pool, method=method)
        return response.get_code(), len(response.read())

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()
