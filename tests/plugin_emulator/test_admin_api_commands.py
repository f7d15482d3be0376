"""Commands that a user pastes into a shell, run against the emulated gateway: afterwards requests are metered."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from harness.plugin_config.entity import PluginEntity, Reference
from harness.plugin_config.formats.format import RenderOptions
from harness.plugin_config.formats.registry import output_format

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

TOKEN = "spat_0123456789"
EMPTY = {"_format_version": "3.0"}
FURNISHED = {
    **EMPTY,
    "services": [
        {
            "name": "example-service",
            "url": "http://upstream.invalid/anything",
            "routes": [{"name": "example-route", "paths": ["/anything"]}],
            "plugins": [{"name": "key-auth"}],
        }
    ],
    "consumers": [{"username": "alice", "keyauth_credentials": [{"key": "alice-key"}]}],
}
SCOPES = {
    "global": {},
    "service": {"service": "example-service"},
    "route": {"route": "example-route"},
    "consumer": {"consumer": "alice"},
    "route and consumer": {"route": "example-route", "consumer": "alice"},
}


@dataclass
class Ingest:
    """Takes events; each with the Authorization it came with."""

    port: int = 0
    events: list[tuple[str | None, dict[str, Any]]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    def wait(self, count: int) -> list[tuple[str | None, dict[str, Any]]]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.events) >= count, timeout=20), self.events
            return list(self.events)


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    one = Ingest()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with one.changed:
                for event in document if isinstance(document, list) else [document]:
                    one.events.append((self.headers["Authorization"], event))
                one.changed.notify_all()
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield one
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Running:
    """A gateway as a process of its own; ``log`` is what it prints for an operator."""

    proxy: str
    admin: str
    log: Path

    def configure(self, state: dict[str, Any]) -> None:
        request = Request(
            f"{self.admin}/config", json.dumps(state).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urlopen(request, timeout=20) as answer:
            assert answer.status == 201

    def get(self, path: str, **headers: str) -> int:
        with urlopen(Request(self.proxy + path, headers=headers), timeout=20) as answer:
            return int(answer.status)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("gateway")
    config = folder / "kong.yaml"
    config.write_text(json.dumps(EMPTY))
    log = folder / "log"
    command = [sys.executable, "-m", "harness.cli.main", "gateway", "--config", str(config), "--echo-upstream"]
    command += ["--proxy-port", "0", "--admin-port", "0", "--json"]
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    yield Running(ready["proxy"], ready["admin"], log)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=20)
    process.stdout.close()


def run(script: str, folder: Path, **environment: str) -> str:
    """Run a script and return what it printed."""
    path = folder / "script.sh"
    path.write_text(script)
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "no_proxy": "127.0.0.1"}
    done = subprocess.run(
        ["sh", str(path)], env={**variables, **environment}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("as_documented", [False, True], ids=["safe", "as documented"])
@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
def test_generated_commands_make_a_plugin_that_meters(
    gateway: Running, ingest: Ingest, tmp_path: Path, scope: dict[str, str | None], as_documented: bool
) -> None:
    gateway.configure(FURNISHED)
    entity = PluginEntity(
        name="metering-and-billing",
        config={
            "ingest_endpoint": ingest.url,
            "api_token": Reference("AUTH_TOKEN"),
            "meter_api_requests": True,
            "meter_ai_token_usage": False,
            "subject": {"look_up_value_in": "header", "field": Reference("SUBJECT_HEADER", secret=False)},
        },
        scope=scope,
        condition='http.method == "GET"',
        tags=("team-a",),
    )
    options = RenderOptions("3.16", as_documented=as_documented, admin_url=gateway.admin)
    (file,) = output_format("admin-api").render([entity], options)
    run(file.text, tmp_path, AUTH_TOKEN=TOKEN, SUBJECT_HEADER="x-tenant-id")
    assert gateway.get("/anything", apikey="alice-key", **{"X-Tenant-Id": "tenant-1"}) == 200
    ((authorization, event),) = ingest.wait(1)
    assert (authorization, event["subject"]) == (f"Bearer {TOKEN}", "tenant-1")
    assert TOKEN not in gateway.log.read_text()


@pytest.mark.parametrize("as_documented", [False, True], ids=["safe", "as documented"])
@pytest.mark.parametrize(
    ("kind", "name"), [("service", "example-service"), ("route", "example-route"), ("consumer", "alice")]
)
def test_generated_commands_for_an_open_scope_work_once_it_is_filled_in(
    gateway: Running, ingest: Ingest, tmp_path: Path, kind: str, name: str, as_documented: bool
) -> None:
    gateway.configure(FURNISHED)
    config = {"ingest_endpoint": ingest.url, "api_token": Reference("AUTH_TOKEN")}
    entity = PluginEntity(name="metering-and-billing", config=config, scope={kind: None})
    options = RenderOptions("3.16", as_documented=as_documented, admin_url=gateway.admin)
    (file,) = output_format("admin-api").render([entity], options)
    text = file.text.replace(f"{{{kind}Name|Id}}", name)
    run(text, tmp_path, AUTH_TOKEN=TOKEN, **({} if as_documented else {kind.upper(): name}))
    assert gateway.get("/anything", apikey="alice-key") == 200
    assert [event["subject"] for _, event in ingest.wait(1)] == ["alice"]


TUTORIAL = """\
set -eu
call() { curl -sS --fail-with-body "$@"; }
call -X POST $ADMIN/services -d name=example-service -d url=http://upstream.invalid/anything
call -X POST $ADMIN/services/example-service/routes -d name=example-route -d 'paths[]=/anything'
call -X POST $ADMIN/services/example-service/plugins/ -d name=key-auth -d 'config.key_names[]=apikey'
call -X POST $ADMIN/consumers/ --json '{"username": "alice"}'
call -X POST $ADMIN/consumers/alice/key-auth -F key=alice-key
call -X POST $ADMIN/plugins -d name=metering-and-billing -d "config.ingest_endpoint=$INGEST" \\
  -d "config.api_token=$TOKEN" -d config.queue.max_batch_size=3 -d config.queue.max_coalescing_delay=0.2 \\
  -d 'config.attributes[1].source=header' -d 'config.attributes[1].look_up_value_in=x-department' \\
  -d 'config.attributes[1].event_property_name=department'
"""


def test_the_tutorial_by_curl_ends_with_three_events_for_three_requests(
    gateway: Running, ingest: Ingest, tmp_path: Path
) -> None:
    gateway.configure(EMPTY)
    run(TUTORIAL, tmp_path, ADMIN=gateway.admin, INGEST=ingest.url, TOKEN=TOKEN)
    for _ in range(3):
        assert gateway.get("/anything", apikey="alice-key", **{"X-Department": "it"}) == 200
    events = ingest.wait(3)
    assert len(events) == 3
    assert {event["subject"] for _, event in events} == {"alice"}
    assert {event["data"]["department"] for _, event in events} == {"it"}
    assert len({event["id"] for _, event in events}) == 3


def test_a_plugin_changed_while_events_wait_delivers_them_with_its_new_token(
    gateway: Running, ingest: Ingest, tmp_path: Path
) -> None:
    gateway.configure(EMPTY)
    slow = TUTORIAL.replace("max_coalescing_delay=0.2", "max_coalescing_delay=2 -d id=$ID")
    own_id = "6f1f2f7c-6d5a-4a52-9d0a-0c0f3a1b2c3d"
    run(slow, tmp_path, ADMIN=gateway.admin, INGEST=ingest.url, TOKEN=TOKEN, ID=own_id)
    assert gateway.get("/anything", apikey="alice-key") == 200
    change = f"curl -sS --fail-with-body -X PATCH {gateway.admin}/plugins/{own_id} -d config.api_token=spat_new_token"
    changed = json.loads(run(change, tmp_path))
    assert changed["config"]["api_token"] == "spat_new_token"
    assert changed["config"]["queue"]["max_batch_size"] == 3
    assert [authorization for authorization, _ in ingest.wait(1)] == ["Bearer spat_new_token"]
