"""Tokens and keys appear in nothing that the product writes: one run of all of it, and mistakes made with secrets."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from stored_text import stored_text

from harness.capture.store import CaptureReader
from harness.cli.main import main

TOKEN = "kpat-SECRET-metering-token-5f1e9a"
OTHER_TOKEN = "kpat-SECRET-other-token-77c0d2"
API_KEY = "SECRET-api-key-of-alice-31b8"
WRONG_KEY = "SECRET-wrong-api-key-9d04"
SECRETS = (TOKEN, OTHER_TOKEN, API_KEY, WRONG_KEY)

STATE = """\
_format_version: "3.0"
services:
- name: example-service
  url: http://httpbin.konghq.com/anything
  routes:
  - {name: example-route, paths: ["/anything"]}
  plugins:
  - {name: key-auth, config: {key_names: [apikey]}}
- name: refused-service
  url: http://httpbin.konghq.com/refused
  routes:
  - {name: refused-route, paths: ["/refused"]}
  plugins:
  - {name: key-auth, config: {key_names: [apikey], hide_credentials: true}}
consumers:
- username: alice
  keyauth_credentials:
  - key: ${{ env "DECK_ALICE_KEY" }}
plugins:
- name: metering-and-billing
  service: example-service
  config:
    api_token: "${{ env "DECK_AUTH_TOKEN" }}"
    ingest_endpoint: http://127.0.0.1:PORT/v3/openmeter/events
    queue: {initial_retry_delay: 0.05, max_retry_time: 60}
- name: metering-and-billing
  service: refused-service
  config:
    api_token: ${{ env "DECK_OTHER_TOKEN" }}
    ingest_endpoint: http://127.0.0.1:PORT/v3/openmeter/events
    queue: {initial_retry_delay: 0.05, max_retry_time: 0.1}
"""


class Verb:
    """A running ``kong-metering`` verb whose output goes to files and whose first line is JSON."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.output = directory / f"{arguments[0]}.out"
        self.errors = directory / f"{arguments[0]}.err"
        secrets = {"DECK_AUTH_TOKEN": TOKEN, "DECK_OTHER_TOKEN": OTHER_TOKEN, "DECK_ALICE_KEY": API_KEY}
        with self.output.open("wb") as output, self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "harness.cli.main", *arguments],
                cwd=directory,
                env={**os.environ, **secrets, "HOME": str(directory)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )

    def ready(self) -> dict[str, Any]:
        """Return the first line of output, once it is there."""
        wait_for(lambda: b"\n" in self.output.read_bytes() or self.process.poll() is not None)
        first = self.output.read_text().splitlines()[:1]
        assert first, self.errors.read_text()
        ready: dict[str, Any] = json.loads(first[0])
        return ready

    def stop(self) -> None:
        """End it as an operator does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) is not None


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        threading.Event().wait(0.02)


def get(url: str, path: str, key: str | None = None) -> tuple[int, str]:
    parts = urlsplit(url)
    client = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    client.request("GET", path, headers={} if key is None else {"apikey": key})
    response = client.getresponse()
    text = response.read().decode()
    client.close()
    return response.status, text


def command_lines(processes: Sequence[subprocess.Popen[bytes]]) -> list[str]:
    """Return the command line of each process and its children, as anyone on the machine can read it."""
    lines = []
    for process in processes:
        family = [psutil.Process(process.pid)]
        family += family[0].children(recursive=True)
        for one in family:
            try:
                lines.append(Path(f"/proc/{one.pid}/cmdline").read_bytes().decode())
            except FileNotFoundError:  # ended meanwhile
                continue
    return lines


class Run:
    """What one run of everything left behind, by name."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.texts: dict[str, str] = {}
        self.statuses: list[int] = []
        self.statistics: dict[str, Any] = {}
        self.capture = directory / "ingest.capture"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Ingest that fails once and then checks tokens, gateway, good and bad requests, a conformance run."""
    directory = tmp_path_factory.mktemp("secrets")
    result = Run(directory)
    options = ["--port", "0", "--control-port", "0", "--token-env", "DECK_AUTH_TOKEN", "--faults", "[503, 202]"]
    ingest = Verb(directory, "ingest", *options, "--json", "--capture", str(result.capture))
    gateway: Verb | None = None
    try:
        port = ingest.ready()["port"]
        (directory / "kong.yml").write_text(STATE.replace("PORT", str(port)))
        listeners = ["--proxy-port", "0", "--admin-port", "0", "--echo-upstream", "--json"]
        gateway = Verb(directory, "gateway", "--config", "kong.yml", *listeners)
        urls = gateway.ready()
        suite = Verb(directory, "conformance", "--rules", "DRP-1", "--junit", "more.xml", "--json", "more.json")
        for path, key in (("/anything", API_KEY), ("/anything", WRONG_KEY), ("/anything", None)):
            result.statuses.append(get(urls["proxy"], path, key)[0])
        result.statuses.append(get(urls["proxy"], f"/anything?apikey={WRONG_KEY}")[0])
        result.statuses.append(get(urls["proxy"], "/refused", API_KEY)[0])

        def settled() -> bool:
            result.texts["statistics"] = get(urls["admin"], "/metering")[1]
            result.statistics = json.loads(result.texts["statistics"])
            text = result.texts["statistics"]
            return '"gave_up"' in text and '"delivered":1' in text.replace(" ", "")

        wait_for(settled)
        # /config, /plugins and /key-auths hand entities back whole, as Kong's Admin API does.
        for path in ("/", "/status", "/metering", "/consumers", "/services", "/routes", "/nothing"):
            result.texts[f"Admin API {path}"] = get(urls["admin"], path)[1]
        running = [verb.process for verb in (ingest, gateway, suite) if verb.process.poll() is None]
        result.texts["command lines"] = "\n".join(command_lines(running))
        assert suite.process.wait(90) == 0, suite.errors.read_text()
    finally:
        if gateway is not None:
            gateway.stop()
        ingest.stop()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name != "kong.yml":
            result.texts[str(path.relative_to(directory))] = path.read_bytes().decode("utf-8", "replace")
    result.texts["capture, decompressed"] = stored_text(result.capture)
    yield result


def test_the_run_did_what_it_was_meant_to(run: Run) -> None:
    """The premise of the rest: good, wrong and no key, a wrong one in the query; 503 first; a refused token."""
    assert run.statuses == [200, 401, 401, 401, 200]
    answers = sorted(request.status or 0 for request in CaptureReader(run.capture).requests())
    assert 202 in answers and 503 in answers and 403 in answers
    assert {"ingest.out", "gateway.err", "ingest.capture", "command lines"} <= run.texts.keys()
    assert {"more.xml", "more.json", "reports/conformance.json", "reports/junit.xml"} <= run.texts.keys()
    assert "harness.cli.main" in run.texts["command lines"]
    assert "could not send" in run.texts["gateway.err"] and "lost" in run.texts["gateway.err"]
    assert "DRP-1" in run.texts["conformance.out"]


@pytest.mark.parametrize("secret", SECRETS, ids=["token", "refused token", "API key", "wrong API key"])
def test_no_secret_is_in_anything_that_was_written_or_shown(run: Run, secret: str) -> None:
    assert [name for name, text in run.texts.items() if secret in text] == []


def test_the_capture_says_that_it_left_the_token_out(run: Run) -> None:
    assert "Bearer [redacted]" in run.texts["capture, decompressed"]


def config_of(lines: str) -> str:
    return f'_format_version: "3.0"\nplugins:\n- name: metering-and-billing\n  config:\n{lines}\n'


ENDPOINT = "    ingest_endpoint: http://h/e\n"
VALUE = "SECRETvalue0123"


@pytest.mark.parametrize(
    "state",
    [
        config_of(f"{ENDPOINT}    api_token: [{VALUE}]"),
        config_of(f"{ENDPOINT}    api_token: {{value: {VALUE}}}"),
        config_of(f"{ENDPOINT}    api_tokn: {VALUE}"),
        config_of(f"{ENDPOINT}    auth_token: {VALUE}"),
        config_of(f"{ENDPOINT}    apiToken: {VALUE}"),
        config_of(f"    api_token: t\n    ingest_endpoint: {VALUE}"),
        config_of(f"    api_token: t\n    ingest_endpoint: [{VALUE}]"),
        config_of(f"    api_token: t\n    ingest_endpoint: http://user:{VALUE}@:0:/"),
        config_of(f"{ENDPOINT}    api_token: t\n    meter_api_requests: {VALUE}"),
        config_of(f"{ENDPOINT}    api_token: t\n    subject: {{look_up_value_in: {VALUE}}}"),
        config_of(f"{ENDPOINT}    api_token: t\n    queue: {VALUE}"),
        config_of(f"{ENDPOINT}    api_token: t\n    timeout: {VALUE}"),
        config_of(f"{ENDPOINT}    api_token {VALUE}"),
        config_of(f"{ENDPOINT}    api_token: !{VALUE}"),
        config_of(f"{ENDPOINT}    api_token: !!int {VALUE}"),
        config_of(f"{ENDPOINT}    api_token: *{VALUE}"),
        config_of(f'{ENDPOINT}    api_token: "{VALUE}'),
        config_of(f"{ENDPOINT}    api_token: {VALUE}: {VALUE}"),
        config_of(f'{ENDPOINT}    api_token: t\n    timeout: ${{{{ env "DECK_THE_SECRET" }}}}'),
        config_of(f'{ENDPOINT}    api_token: t\n    ${{{{ env "DECK_THE_SECRET" }}}}: 1'),
        f'_format_version: "3.0"\nconsumers:\n- username: a\n  keyauth_credentials: [{{key: [{VALUE}]}}]\n',
        f'_format_version: "3.0"\nconsumers:\n- username: a\n  keyauth_credentials: [{{kye: {VALUE}}}]\n',
        f'_format_version: "3.0"\nconsumers:\n- username: a\n  keyauth_credentials: [{VALUE}]\n',
        '_format_version: "3.0"\nconsumers:\n'
        + "".join(f"- username: {name}\n  keyauth_credentials: [{{key: {VALUE}}}]\n" for name in "ab"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["gateway", "events"])
def test_a_mistake_made_with_a_secret_does_not_print_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, state: str
) -> None:
    monkeypatch.setenv("DECK_THE_SECRET", VALUE)
    path = tmp_path / "kong.yml"
    path.write_text(state)
    options = ["--check"] if verb == "gateway" else ["/dev/null"]
    with pytest.raises(SystemExit) as ended:
        main([verb, "--config", str(path), *options])
    output = capsys.readouterr()
    assert ended.value.code == 2, output
    assert output.err.startswith(f"kong-metering: {path}:")
    assert VALUE.casefold() not in (output.out + output.err).casefold()
