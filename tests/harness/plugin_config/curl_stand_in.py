"""The Admin API and Konnect as a curl script sees them, and shells to run it in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.plugin_config.entity import PluginEntity, Reference, Value
from harness.plugin_config.formats.format import RenderOptions
from harness.plugin_config.formats.registry import output_format

SHELLS = [["dash"], ["bash"], ["busybox", "sh"]]
AWKS = [["mawk"], ["gawk"], ["original-awk"], ["busybox", "awk"]]
APIS = ("admin-api", "konnect-api")
SCOPES: list[dict[str, str | None]] = [{}, {"service": None}, {"route": None}, {"consumer": None}]
TOKEN = "spat_0123456789"
KONNECT_TOKEN = "kpat_9876543210"
ENVIRONMENT = {
    "AUTH_TOKEN": TOKEN,
    "SUBJECT_HEADER": "x-tenant-id",
    "KONNECT_TOKEN": KONNECT_TOKEN,
    "KONNECT_REGION": "eu",
    "CONTROL_PLANE_ID": "9524ec7d-36d9-465d-a8c5-83a3c9390458",
    **dict.fromkeys(("SERVICE", "ROUTE", "CONSUMER", "SERVICE_ID", "ROUTE_ID", "CONSUMER_ID"), "it-s"),
}
CONFIG: dict[str, Value] = {
    "ingest_endpoint": "https://us.api.konghq.com/v3/openmeter/events",
    "api_token": Reference("AUTH_TOKEN"),
    "meter_api_requests": True,
    "meter_ai_token_usage": False,
    "subject": {"look_up_value_in": "header", "field": Reference("SUBJECT_HEADER", secret=False)},
}
SENT_CONFIG = {**CONFIG, "api_token": TOKEN, "subject": {"look_up_value_in": "header", "field": "x-tenant-id"}}

#: The blocks of the vendor's page, without their indentation; {path} is that of the scope.
VENDOR_BODY = """\
{
"name": "metering-and-billing",
"config": {
"ingest_endpoint": "https://us.api.konghq.com/v3/openmeter/events",
"api_token": "'$AUTH_TOKEN'",
"meter_api_requests": true,
"meter_ai_token_usage": false,
"subject": {
"look_up_value_in": "header",
"field": "'$SUBJECT_HEADER'"
}
},
"tags": []
}
'
"""
VENDOR_ADMIN = """\
curl -i -X POST http://localhost:8001{path}/plugins/ \\
--header "Accept: application/json" \\
--header "Content-Type: application/json" \\
--data '
"""
VENDOR_KONNECT = """\
curl -X POST https://{{region}}.api.konghq.com/v2/control-planes/{{controlPlaneId}}/core-entities{path}/plugins/ \\
--header "accept: application/json" \\
--header "Content-Type: application/json" \\
--header "Authorization: Bearer $KONNECT_TOKEN" \\
--data '
"""

installed = {tuple(command): shutil.which(command[0]) is not None for command in (*SHELLS, *AWKS, ["curl"])}
needs_curl = pytest.mark.skipif(not installed["curl",], reason="curl is not installed")
each_shell = pytest.mark.parametrize(
    "shell",
    [pytest.param(s, marks=pytest.mark.skipif(not installed[tuple(s)], reason="not installed")) for s in SHELLS],
    ids=" ".join,
)
each_awk = pytest.mark.parametrize(
    "awk",
    [pytest.param(a, marks=pytest.mark.skipif(not installed[tuple(a)], reason="not installed")) for a in AWKS],
    ids=" ".join,
)
each_api = pytest.mark.parametrize("api", APIS)


def metering(**fields: Any) -> PluginEntity:
    return PluginEntity(**{"name": "metering-and-billing", "config": CONFIG, **fields})


def script(api: str, entities: PluginEntity | Sequence[PluginEntity], **options: Any) -> str:
    each = [entities] if isinstance(entities, PluginEntity) else entities
    (file,) = output_format(api).render(each, RenderOptions("3.16", **options))
    assert file.name == f"{api}.sh"
    assert file.text.endswith("\n")
    return file.text


@dataclass
class Arrived:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Api:
    """A server in place of the API. ``statuses`` are those of its next answers, 201 when there are none."""

    folder: Path
    port: int = 0
    arrived: list[Arrived] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(
        self, text: str, shell: Sequence[str] = ("sh",), awk: Sequence[str] = ("awk",), **environment: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Run a script with curl and awk that keep their arguments; Konnect's host is taken to be this server."""
        programs = self.folder / "bin"
        programs.mkdir(exist_ok=True)
        for name, command in (
            ("curl", [shutil.which("curl") or "curl"]),
            ("awk", [str(shutil.which(awk[0])), *awk[1:]]),
        ):
            program = programs / name
            program.write_text(PROGRAM.format(arguments=self.folder / "argv", port=self.port, run=" ".join(command)))
            program.chmod(0o755)
        variables = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "no_proxy": "127.0.0.1",
            **{name: value for name, value in {**ENVIRONMENT, **environment}.items() if value is not None},
        }
        path = self.folder / "script.sh"
        path.write_text(text, encoding="utf-8")
        return subprocess.run(
            [*shell, str(path)], env=variables, capture_output=True, text=True, check=False, timeout=60
        )

    def forget(self) -> None:
        """Begin anew."""
        self.arrived.clear()
        self.statuses.clear()
        (self.folder / "argv").unlink(missing_ok=True)

    def arguments(self) -> str:
        """Return every argument that any curl or awk got."""
        return (self.folder / "argv").read_text(encoding="utf-8", errors="replace")


PROGRAM = """\
#!/bin/sh
left=$#
while [ "$left" -gt 0 ]; do
  argument=$1
  shift
  case $argument in https://*.api.konghq.com/*) argument=http://127.0.0.1:{port}/${{argument#https://}} ;; esac
  set -- "$@" "$argument"
  left=$((left - 1))
done
printf '%s\\n' "$@" >>{arguments}
exec {run} "$@"
"""


@contextmanager
def running_api(folder: Path) -> Iterator[Api]:
    """Run the server; ``folder`` is for scripts and what they leave."""
    api = Api(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet for an answer: two would wait for one another

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            api.arrived.append(Arrived(self.command, self.path, headers, json.loads(body)))
            status = api.statuses.pop(0) if api.statuses else 201
            answer = body if status < 300 else b'{"message":"schema violation"}'
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.port = http.server_port
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield api
    http.shutdown()
    http.server_close()
    thread.join()


def base(api: str, server: Api) -> dict[str, str]:
    return {"admin_url": server.url} if api == "admin-api" else {}


def path_of(api: str, scope: str) -> str:
    konnect = f"/eu.api.konghq.com/v2/control-planes/{ENVIRONMENT['CONTROL_PLANE_ID']}/core-entities"
    return f"{konnect if api == 'konnect-api' else ''}{scope}/plugins/"
