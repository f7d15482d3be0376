"""Standing in for hosts of the outside world: TLS in their names, and a proxy that leads to nobody else (AMB-13)."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from cryptography import x509
from mitmproxy import http, tls
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.certs import CertStore, CertStoreEntry
from mitmproxy.proxy import context, mode_specs
from OpenSSL import SSL

from harness.ingest.host import Report
from harness.ingest.messages import Answer
from harness.ingest.problem import problem

_MOST_REPORTS = 100


@dataclass(frozen=True)
class StandIn:
    """Which ``hosts`` (lower case) are stood in for, with whose certificates, and the ``proxy_port``, if any."""

    hosts: frozenset[str]
    authority: CertStore
    proxy_port: int | None = None

    def takes(self, host: str | None) -> bool:
        """Return whether requests for ``host`` are taken."""
        return host is not None and host.lower().rstrip(".") in self.hosts

    def refusal(self) -> Answer:
        """Return the answer to a request for another host."""
        names = ", ".join(sorted(self.hosts))
        return problem(403, f"This proxy leads nowhere; it stands in for {names}", "proxy")


class StandInTls(TlsConfig):
    """The mitmproxy addon that ends TLS for the hosts that are stood in for, and for no other.

    What goes wrong before a request is there is told to ``report``, each thing once: a client that asks for another
    host, or does not trust the authority.
    """

    def __init__(self, stand_in: StandIn, report: Report) -> None:
        self.certstore = stand_in.authority
        self._stand_in = stand_in
        self._report = report
        self._reported: set[str] = set()

    def configure(self, updated: set[str]) -> None:
        """Keep the authority: mitmproxy's own one in the user's home is not asked for."""

    def running(self) -> None:
        """Keep the authority."""

    def tls_start_client(self, tls_start: tls.TlsData) -> None:
        """Begin TLS with a client that wants a host that is stood in for; any other connection fails."""
        name = tls_start.context.client.sni
        if self._stand_in.takes(name):
            super().tls_start_client(tls_start)
        else:
            self._tell(f"refused TLS for {name or 'a client that names no host'}: not in --stand-in-for")
            # A server without a certificate: the handshake fails.
            tls_start.ssl_conn = SSL.Connection(SSL.Context(SSL.TLS_SERVER_METHOD))
            tls_start.ssl_conn.set_accept_state()

    def tls_failed_client(self, tls_start: tls.TlsData) -> None:
        """Say why a client left during the handshake: as a rule, it does not trust the authority."""
        name = tls_start.context.client.sni
        if self._stand_in.takes(name):
            self._tell(f"TLS for {name} failed: {tls_start.conn.error}")

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Say which host a client of the proxy wants that is not stood in for; the ingest addon refuses it."""
        if not self._stand_in.takes(flow.request.host):
            self._tell(f"refused a tunnel to {flow.request.host}:{flow.request.port}: not in --stand-in-for")

    def get_cert(self, conn_context: context.Context) -> CertStoreEntry:
        """Return the certificate for just the host that the client asked for."""
        name = conn_context.client.sni
        assert name is not None
        return self.certstore.get_cert(name, [x509.DNSName(name)])

    def _tell(self, message: str) -> None:
        if message not in self._reported and len(self._reported) < _MOST_REPORTS:
            self._reported.add(message)
            self._report("".join(character if character.isprintable() else "�" for character in message))


def is_for_proxy(flow: http.HTTPFlow) -> bool:
    """Return whether a request came in by the proxy's port."""
    return isinstance(flow.client_conn.proxy_mode, mode_specs.RegularMode)


def free_port(host: str) -> int:
    """Return a port of ``host`` that is free now; whoever listens on it is told if it is taken meanwhile."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
