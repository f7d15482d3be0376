"""A gateway on one of the state files of ``fixtures/mysteries``, with an ingest endpoint, requests, and a journal."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness.capture.store import CaptureWriter
from harness.ingest.core import IngestSettings
from harness.ingest.fast_host import serve
from harness.ingest.faults import FaultScript
from harness.ingest.lanes import Lanes
from harness.journal.redaction import without_secrets
from harness.journal.writer import JournalWriter
from harness.resources import fixtures
from plugin_emulator.gateway.server import Gateway
from plugin_emulator.gateway.state_file import read_state
from plugin_emulator.journal import Fact, Observer
from plugin_emulator.metering_plugins import metering_runtime

FOLDER = fixtures() / "mysteries"
CASES: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "causes.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Ingest:
    """A running ingest endpoint, and what it captures."""

    port: int
    capture: Path


@contextlib.asynccontextmanager
async def ingest(
    folder: Path, status: int = 202, token: str | None = None, tls: bool = False, faults: str | None = None
) -> AsyncIterator[Ingest]:
    """Run an endpoint that takes events with ``token`` (any, when None) and answers ``status``, or as ``faults`` say.

    With ``tls`` its certificate is one that nobody trusts, so that no request ever gets through to it.
    """
    capture = folder / "ingest.capture"
    with CaptureWriter(capture) as writer:
        if tls:
            context = self_signed(folder / "endpoint.pem")
            server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=context)
            async with server:
                yield Ingest(server.sockets[0].getsockname()[1], capture)
            return
        settings = IngestSettings(frozenset() if token is None else frozenset({token}))
        script = FaultScript.read(faults or ("[]" if status == 202 else f"[{status}]"))
        bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()

        async def ready(port: int) -> None:
            bound.set_result(port)

        serving = asyncio.create_task(
            serve(Lanes(writer, settings, script), "127.0.0.1", 0, stop, ready, pytest.fail)
        )
        try:
            yield Ingest(await bound, capture)
        finally:
            stop.set()
            await serving


def self_signed(file: Path) -> ssl.SSLContext:
    """Return a server's context with a certificate that nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def state_file(name: str, folder: Path, port: int) -> Path:
    """Return a copy of a state file with the ingest endpoint at ``port``."""
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:8088", f"127.0.0.1:{port}").replace("127.0.0.1:8443", f"127.0.0.1:{port}")
    file = folder / f"{name}.yaml"
    file.write_text(text, encoding="utf-8")
    return file


class Mystery:
    """A running gateway whose facts go to ``journal`` and to ``also``."""

    def __init__(self, name: str, folder: Path, port: int, also: Observer = lambda fact: None) -> None:
        self.journal = folder / "journal.jsonl"
        self._writer = JournalWriter(self.journal)
        self._also = also
        observe = without_secrets(self._told)
        state = read_state(state_file(name, folder, port), {}, "3.16")
        runtime = metering_runtime(observe=observe)
        self.gateway = Gateway(state, runtime, echo_upstream=True, environ={}, observe=observe)

    def _told(self, fact: Fact) -> None:
        self._writer.write(fact)
        self._also(fact)

    async def __aenter__(self) -> Mystery:
        await self.gateway.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gateway.stop(graceful=False)
        self._writer.flush()

    async def send(self, requests: list[dict[str, Any]]) -> list[str]:
        """Send requests one after the other; return their ids."""
        port = int(self.gateway.proxy_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        ids = []
        for request in requests:
            headers = "".join(f"{name}: {value}\r\n" for name, value in request.get("headers", {}).items())
            method, body = ("POST", request["body"]) if "body" in request else ("GET", "")
            length = f"Content-Length: {len(body)}\r\n" if body else ""
            start = f"{method} {request['path']} HTTP/1.1\r\nHost: gateway\r\n"
            writer.write(f"{start}{length}{headers}\r\n{body}".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
            await reader.readexactly(int(fields["content-length"]))
            ids.append(fields["x-kong-request-id"])
        writer.close()
        return ids
