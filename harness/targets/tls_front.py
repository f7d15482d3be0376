"""Puts TLS with a certificate nobody trusts in front of a plain HTTP port."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import tempfile
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_CHUNK = 65536
#: Seconds a client may take over its handshake.
_HANDSHAKE_TIMEOUT = 10.0


class TlsFront:
    """Listens on a free port of 127.0.0.1, ends TLS there and passes the bytes on to ``plain_port``.

    The certificate is self-signed, for the right address: a client that verifies refuses it for that alone.
    """

    def __init__(self, plain_port: int) -> None:
        self._plain_port = plain_port
        self._context = _self_signed()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="tls-front", daemon=True).start()

    def stop(self) -> None:
        """Take no more connections."""
        # close alone does not wake the thread that waits in accept
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(_HANDSHAKE_TIMEOUT)
        try:
            secure = self._context.wrap_socket(client, server_side=True)
        except OSError:  # the client does not trust us: what it should do
            client.close()
            return
        with contextlib.suppress(OSError), secure, socket.create_connection(("127.0.0.1", self._plain_port)) as plain:
            secure.settimeout(None)
            threading.Thread(target=_pass_on, args=(plain, secure), daemon=True).start()
            _pass_on(secure, plain)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


def _self_signed() -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        chain = Path(directory) / "chain.pem"
        chain.write_bytes(pem)
        context.load_cert_chain(chain)
    return context
