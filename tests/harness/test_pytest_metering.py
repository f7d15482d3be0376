"""The pytest plugin as its users see it: real runs of pytest, their outcomes and what failures say."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.pytest_metering.gateway_process import GatewayProcess
from loadtests.ports import lasting_port

CHECKOUT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)

GOOD = """
def test_only_requests_with_a_tenant_are_billed(gateway, ingest):
    gateway.meter(subject="header:x-tenant-id", attributes={"department": "header:x-department"}, batch=2, delay=0.2)
    gateway.get("/anything", headers={"X-Tenant-Id": "acme", "x-department": "sales"})
    gateway.post("/anything", headers={"x-tenant-id": "globex"}, data="x")
    gateway.get("/anything")
    (first,) = ingest.wait_for(1, subject="acme", type="kong.api_request", department="sales")
    assert first["data"]["request_uri"] == "/anything"
    assert ingest.wait_for(lambda events: len(events) == 2)[1]["subject"] == "globex"
    assert gateway.statistics()["dropped"] == {"DRP-1: no header 'x-tenant-id' in the request": 1}

def test_faults_come_in_order_and_end(gateway, ingest, usage_events):
    gateway.meter(subject="header:x-tenant-id")
    ingest.respond(status=429, headers={"Retry-After": "1"})
    ingest.reset()
    ingest.reset("after")
    ingest.delay(0.05)
    for tenant in ("acme", "globex"):
        gateway.get("/anything", headers={"x-tenant-id": tenant})
    assert [event["subject"] for event in usage_events] == ["acme", "globex"]
    assert [one.status for one in ingest.deliveries] == [429, None, None, 202, 202]
    assert [one.fault for one in ingest.deliveries] == ["status", "reset before", "reset after", "delay", None]
    assert ingest.deliveries[0].verdicts == ("refused",)
    assert ingest.deliveries[0].headers["authorization"] == "Bearer [redacted]"

def test_what_hangs_times_out_and_is_sent_again(gateway, ingest, usage_events):
    gateway.meter(subject="header:x-tenant-id", config={"timeout": 200})
    ingest.hang()
    gateway.get("/anything", headers={"x-tenant-id": "acme"})
    assert len(usage_events) == 1 and ingest.deliveries[0].fault == "hang"

def test_a_fault_for_ever_ends_with_recover(gateway, ingest, usage_events):
    gateway.meter(subject="header:x-tenant-id", queue={"max_retry_delay": 0.02})
    ingest.respond(500).forever()
    gateway.get("/anything", headers={"x-tenant-id": "acme"})
    while len(ingest.deliveries) < 3:
        pass
    assert ingest.events() == []
    ingest.recover()
    assert len(usage_events) == 1

def test_no_event_is_an_empty_list(gateway, usage_events):
    gateway.meter(subject="header:x-tenant-id")
    assert gateway.get("/anything").status_code == 200
    assert not usage_events and usage_events == []

def test_a_state_as_text_is_pointed_at_the_endpoint(gateway, ingest, usage_events, monkeypatch):
    monkeypatch.delenv("DECK_SOME_TOKEN", raising=False)
    gateway.configure('''
_format_version: "3.0"
services:
  - name: orders
    url: http://orders.internal
    routes:
      - {name: orders, paths: [/orders]}
    plugins:
      - name: metering-and-billing
        config:
          ingest_endpoint: https://us.api.konghq.com/v3/openmeter/events
          api_token: ${{ env "DECK_SOME_TOKEN" }}
          subject: {look_up_value_in: query, field: tenant}
''')
    gateway.get("/orders/1?tenant=a%20b")
    assert [event["subject"] for event in usage_events] == ["a b"]
    assert usage_events[0]["data"]["service_name"] == "orders"

def test_a_state_as_data_stays_as_it_is(gateway, ingest, usage_events):
    config = {"ingest_endpoint": ingest.url, "api_token": ingest.token, "subject": {"look_up_value_in": "query",
              "field": "t"}}
    state = {"_format_version": "3.0", "plugins": [{"name": "metering-and-billing", "config": config}]}
    gateway.configure(state, keep_endpoints=True)
    gateway.get("/nowhere?t=x")
    assert [event["data"]["response_http_status"] for event in usage_events] == [404]

def test_a_configuration_that_is_refused_says_why(gateway, tmp_path):
    import pytest
    from harness.pytest_metering.gateway import ConfigurationRefusedError
    with pytest.raises(ConfigurationRefusedError, match="max_batch_sizes"):
        gateway.meter(queue={"max_batch_sizes": 2})
    with pytest.raises(ValueError, match="is no source of a value here"):
        gateway.meter(subject="cookie:x")
    with pytest.raises(ValueError, match="none.yaml: cannot be read: No such file"):
        gateway.configure(str(tmp_path / "none.yaml"))

def test_a_graceful_stop_delivers_and_a_fast_one_loses(gateway, ingest, usage_events):
    for how, expected in (("graceful", 1), ("fast", 0)):
        gateway.meter(subject="header:x-tenant-id", batch=10, delay=60)
        gateway.get("/anything", headers={"x-tenant-id": "acme"})
        gateway.stop(how)
        assert len(usage_events) == expected
        ingest.clear()

def test_clear_begins_afresh(gateway, ingest, usage_events):
    gateway.meter(subject="header:x-tenant-id")
    gateway.get("/anything", headers={"x-tenant-id": "acme"})
    ingest.wait_until_idle()
    ingest.clear()
    assert usage_events == [] and ingest.deliveries == []

def test_violations_one_asks_for_are_ones_own(gateway, ingest):
    gateway.meter(subject="header:x-tenant-id", config={"api_token": "kpat-wrong", "queue": {"max_retry_time": -1}})
    gateway.get("/anything", headers={"x-tenant-id": "acme"})
    ingest.wait_until_idle()
    assert [one.rule for one in ingest.violations()] == ["DLV-1"]

@__import__("pytest").mark.metering(allow_unexpected=True)
def test_unexpected_events_can_be_allowed(gateway):
    gateway.meter(subject="header:x-tenant-id")
    gateway.get("/anything", headers={"x-tenant-id": "acme"})

def test_a_mistaken_call_says_so(ingest):
    import pytest
    with pytest.raises(ValueError, match="usage_events is empty when none came"):
        ingest.wait_for(0)
    first = ingest.delay(0.1)
    ingest.reset()
    with pytest.raises(ValueError, match="another was set since"):
        first.times(2)
    assert ingest.token not in repr(ingest)

def test_the_next_test_is_not_reached_by_what_is_left(gateway, ingest):
    gateway.meter(subject="header:x-tenant-id")
    ingest.respond(503).forever()
    gateway.get("/anything", headers={"x-tenant-id": "left-over"})

def test_indeed_not(gateway, ingest, usage_events):
    gateway.meter(subject="header:x-tenant-id")
    gateway.get("/anything", headers={"x-tenant-id": "acme"})
    assert [event["subject"] for event in usage_events] == ["acme"]
    assert len(ingest.deliveries) == 1 and gateway.statistics()["requests"] == 1
"""

BAD = """
import http.client, json
from urllib.parse import urlsplit
import pytest

def send(ingest, body, path=None, token=None):
    parts = urlsplit(ingest.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port)
    headers = {"Authorization": f"Bearer {token or ingest.token}", "Content-Type": "application/json"}
    connection.request("POST", path or parts.path, json.dumps(body), headers)
    connection.getresponse().read()
    connection.close()

def event(id, **members):
    return {"specversion": "1.0", "id": id, "source": "gw", "type": "kong.api_request", "subject": "acme", **members}

def test_unexpected_event(gateway, ingest):
    gateway.meter(subject="header:x-tenant-id")
    for tenant in ("acme", "globex"):
        gateway.get("/anything", headers={"x-tenant-id": tenant})
    ingest.wait_for(1, subject="acme")

def test_one_event_too_many(gateway, ingest):
    gateway.meter(subject="header:x-tenant-id")
    for _ in range(3):
        gateway.get("/anything", headers={"x-tenant-id": "acme"})
    ingest.wait_for(2)

def test_missing_event(gateway, ingest):
    gateway.meter(subject="header:x-tenant-id")
    gateway.get("/anything", headers={"x-tenant-id": "acme"})
    gateway.get("/anything")
    ingest.wait_for(1)  # however busy the machine is
    ingest.wait_for(2, timeout=0.3, type="kong.api_request")

def test_assertion(gateway, usage_events):
    gateway.meter(subject="header:x-tenant-id")
    gateway.get("/anything")
    assert len(usage_events) == 1

def test_wrong_token(gateway, ingest):
    gateway.meter(subject="header:x-tenant-id", config={"api_token": "kpat-other", "queue": {"max_retry_time": -1}})
    gateway.get("/anything", headers={"x-tenant-id": "acme"})

def test_invalid_event(ingest):
    send(ingest, {"specversion": "1.0", "id": "1", "source": "gw", "type": "kong.api_request"})

def test_placeholder_subject(ingest):
    send(ingest, event("1", subject="unknown"))
    ingest.wait_for(1)

def test_duplicate(ingest):
    send(ingest, event("1"))
    send(ingest, event("1"))
    ingest.wait_for(1)

def test_duplicate_within_a_batch(ingest):
    send(ingest, [event("1"), event("1")])
    ingest.wait_for(1)

def test_duplicate_with_another_content(ingest):
    ingest.accept_then_drop()
    try:
        send(ingest, event("1"))
    except http.client.HTTPException:
        pass
    send(ingest, event("1", subject="globex"))
    ingest.wait_for(1)

def test_unknown_path(ingest):
    send(ingest, event("1"), path="/v3/openmeter/event")

def test_never_idle(gateway, ingest, usage_events):
    gateway.meter(subject="header:x-tenant-id")
    ingest.respond(500).forever()
    gateway.get("/anything", headers={"x-tenant-id": "acme"})
    ingest.wait_until_idle(0.2)

@pytest.fixture
def parting_request(gateway, ingest):
    gateway.meter(subject="header:x-tenant-id")
    yield
    gateway.get("/anything", headers={"x-tenant-id": "acme"})

def test_event_from_a_teardown(parting_request):
    pass

@pytest.mark.metering(allow="all")
def test_wrong_mark(ingest):
    pass
"""


@dataclass(frozen=True)
class Run:
    """One run of pytest: exit code, output, and for each test its outcome with the text of a failure."""

    code: int
    output: str
    outcomes: dict[str, tuple[str, str]]

    def outcome(self, name: str) -> str:
        return self.outcomes[name][0]

    def text(self, name: str) -> str:
        return self.outcomes[name][1]


def start(folder: Path, text: str, *options: str, **environ: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    (folder / "test_billing.py").write_text(text, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers --strict-config\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=junit.xml", *options]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.Popen(
        command, cwd=folder, env={**kept, **environ}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process: subprocess.Popen[str], folder: Path) -> Run:
    output, _ = process.communicate(timeout=100)
    outcomes = {}
    report = folder / "junit.xml"
    for case in ET.parse(report).getroot().iter("testcase") if report.exists() else ():
        found = [each for each in case if each.tag in ("failure", "error", "skipped")]
        kind = found[0].tag if found else "passed"
        message = "\n".join(f"{each.get('message')}\n{each.text}" for each in found)
        outcomes[case.get("name", "")] = (kind, message)
    return Run(process.returncode, output, outcomes)


def run(folder: Path, text: str, *options: str, **environ: str) -> Run:
    return finish(start(folder, text, *options, **environ), folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """The good and the bad examples, run at the same time as the workers of pytest-xdist would."""
    folders = [tmp_path_factory.mktemp("good"), tmp_path_factory.mktemp("bad")]
    processes = [start(folder, text) for folder, text in zip(folders, (GOOD, BAD), strict=True)]
    good, bad = (finish(process, folder) for process, folder in zip(processes, folders, strict=True))
    return good, bad


def names(text: str) -> list[str]:
    return re.findall(r"^def (test_\w+)", text, re.MULTILINE)


@pytest.mark.parametrize("name", names(GOOD))
def test_a_check_that_holds_passes(runs: tuple[Run, Run], name: str) -> None:
    assert runs[0].outcomes[name] == ("passed", "")


UNSEEN = r"metering: 1 event that nothing in the test looked at:\n  {}  kong.api_request"
TEXTS = {
    "test_unexpected_event": (
        "failure",
        UNSEEN.format("globex") + r"(?s:.*)arrived at the ingest endpoint:\n  #1 202  acme  kong\.api_request  "
        r"GET /anything  → 200  id …\w{8}  accepted\n  #2 202  globex .* accepted\nmetered by the gateway: 2, "
        "events made: 2",
    ),
    "test_one_event_too_many": ("failure", UNSEEN.format("acme")),
    "test_missing_event": (
        "failure",
        r"metering: waited 0\.3 s for 2 events, type 'kong\.api_request'; 1 event arrived\n(?s:.*)"
        r"#1 202  acme (?s:.*)without an event: 1 × DRP-1: no header 'x-tenant-id' in the request",
    ),
    "test_assertion": ("failure", r"assert len\(usage_events\) == 1\nE +(AssertionError: )?assert 0 == 1"),
    "test_wrong_token": (
        "failure",
        r"metering: 1 violation at the ingest endpoint:\n  #1  POST /v3/openmeter/events: the bearer token is not "
        r"the expected one \(DLV-1\)(?s:.*)events lost: 1 × gave_up",
    ),
    "test_invalid_event": ("failure", r"1 violation (?s:.*)/subject|subject.*required"),
    "test_placeholder_subject": ("failure", r"placeholder 'unknown'.*\(DRP-1\)"),
    "test_duplicate": ("failure", r"1 event came again although answered with success:\n  #2  acme .* id 1"),
    "test_duplicate_within_a_batch": ("failure", r"1 event came again although answered with success:\n  #1  acme"),
    "test_duplicate_with_another_content": ("failure", r"an id that came before with another content \(RET-4\)"),
    "test_unknown_path": ("failure", r"#\d+  POST /v3/openmeter/event: is not the path of ingest\.url \(DLV-1\)"),
    "test_never_idle": ("failure", r"metering is not idle after 0\.2 s: 0 waiting in the gateway's queues"),
    "test_event_from_a_teardown": ("error", UNSEEN.format("acme")),
    "test_wrong_mark": ("error", r"mark\.metering takes allow_unexpected=True and nothing else"),
}


@pytest.mark.parametrize("name", names(BAD))
def test_a_check_that_does_not_hold_says_what_came(runs: tuple[Run, Run], name: str) -> None:
    kind, text = TEXTS[name]
    assert runs[1].outcome(name) == kind, runs[1].output
    assert re.search(text, runs[1].text(name)), runs[1].text(name)


def test_a_failed_assertion_is_shown_with_what_the_gateway_dropped(runs: tuple[Run, Run]) -> None:
    section = re.search(r"-+ metering -+\n(.*?)\n[=_-]{3}", runs[1].output, re.DOTALL)
    assert section is not None, runs[1].output
    assert section[1].splitlines() == [
        "nothing arrived at the ingest endpoint",
        "metered by the gateway: 1, events made: 0",
        "  without an event: 1 × DRP-1: no header 'x-tenant-id' in the request",
    ]


def test_no_token_is_in_any_output(runs: tuple[Run, Run]) -> None:
    for one in runs:
        text = one.output + "".join(text for _, text in one.outcomes.values())
        # The tests' own source quotes what it configures; nothing else does.
        assert not re.search(r"^(?!>? *gateway\.meter|    gateway\.meter).*kpat-", text, re.MULTILINE), text
        assert "Bearer k" not in text


def test_the_examples_of_the_page_pass(tmp_path: Path) -> None:
    blocks = BLOCK.findall((CHECKOUT / "docs" / "pytest.md").read_text(encoding="utf-8"))
    assert len(blocks) == 2 and len(blocks[0].strip().splitlines()) == 5
    done = run(tmp_path, "\n\n".join(blocks))
    assert (done.code, len(done.outcomes)) == (0, 2), done.output


@pytest.fixture
def own_gateway() -> Iterator[GatewayProcess]:
    """A gateway that somebody else started and will stop."""
    process = GatewayProcess("3.16", echo=True)
    process.start()
    yield process
    process.stop("kill")


def test_a_gateway_of_ones_own_is_configured_through_its_admin_api(
    own_gateway: GatewayProcess, tmp_path: Path
) -> None:
    text = """
def test_own(gateway, usage_events):
    gateway.meter(subject="header:x-tenant-id")
    gateway.get("/anything", headers={"x-tenant-id": "acme"})
    assert [event["subject"] for event in usage_events] == ["acme"]

def test_surplus(gateway):
    gateway.get("/anything", headers={"x-tenant-id": "acme"})

def test_statistics(gateway):
    gateway.statistics()

def test_stop(gateway):
    gateway.stop()
"""
    port = str(lasting_port())
    urls = [f"--metering-gateway-url={own_gateway.proxy_url}/", f"--metering-admin-url={own_gateway.admin_url}"]
    done = run(tmp_path, text, *urls, f"--metering-ingest-port={port}", "-o", "metering_quiet=0.3")
    assert done.outcome("test_own") == "passed", done.output
    # On a fixed port the endpoint stays where the gateway was told it is.
    assert "1 event that nothing in the test looked at" in done.text("test_surplus")
    assert "metering: cannot ask a gateway of your own what it dropped" in done.text("test_statistics")
    assert "metering: cannot stop a gateway of your own" in done.text("test_stop")
    assert own_gateway.running


def test_without_its_admin_api_it_is_taken_as_it_is(own_gateway: GatewayProcess, tmp_path: Path) -> None:
    text = """
def test_configure(gateway):
    gateway.meter()

def test_as_it_is(gateway, usage_events):
    assert gateway.get("/anything").status_code == 404
    assert not usage_events
"""
    done = run(tmp_path, text, f"--metering-gateway-url={own_gateway.proxy_url}", "-o", "metering_quiet=0.2")
    assert done.outcome("test_as_it_is") == "passed", done.output
    assert "give --metering-admin-url" in done.text("test_configure")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--metering-gateway-version=2.8"], "metering_gateway_version: '2.8' is not one of 3.14, 3.15, 3.16"),
        (["--metering-gateway-url=localhost:8000"], "metering_gateway_url is not an absolute http(s) URL"),
        (["--metering-admin-url=http://localhost:8001"], "metering_admin_url goes with metering_gateway_url"),
        (["--metering-ingest-port=99999"], "metering_ingest_port: '99999' is not a port"),
        (["-o", "metering_timeout=soon"], "metering_timeout: 'soon' is not a number of seconds above 0"),
        (["-o", "metering_upstream=none"], "metering_upstream: 'none' is neither echo nor real"),
        (
            ["-o", "metering_token_env=NO_SUCH_TOKEN"],
            "metering_token_env: environment variable NO_SUCH_TOKEN is not set",
        ),
    ],
)
def test_a_mistaken_option_is_one_line(options: list[str], said: str, tmp_path: Path) -> None:
    done = run(tmp_path, "def test_one(ingest): pass\n", *options)
    assert done.code == pytest.ExitCode.USAGE_ERROR
    assert done.output.strip().startswith(f"ERROR: {said}") and "\n" not in done.output.strip(), done.output


def test_the_token_may_be_the_users_own_and_is_never_shown(tmp_path: Path) -> None:
    text = """
def test_token(gateway, ingest):
    import os
    assert (ingest.token == os.environ["MY_TOKEN"]) is True
    gateway.meter(subject="header:x-tenant-id")
    gateway.get("/anything", headers={"x-tenant-id": "acme", "x-note": ingest.token})
    gateway.get("/anything", headers={"x-tenant-id": os.environ["MY_TOKEN"]})
"""
    done = run(tmp_path, text, "-o", "metering_token_env=MY_TOKEN", MY_TOKEN="kpat-own-0123456789")
    assert done.outcome("test_token") == "failure"
    assert "2 events that nothing in the test looked at" in done.output
    assert "[redacted]" in done.output and "kpat-own-0123456789" not in done.output


def test_an_endpoint_that_is_gone_ends_no_run(tmp_path: Path) -> None:
    text = """
def test_gone(ingest, _metering_ingest_process):
    _metering_ingest_process.stop()
    assert ingest.deliveries == []

def test_other():
    pass
"""
    done = run(tmp_path, text)
    assert "INTERNALERROR" not in done.output
    assert done.outcome("test_other") == "passed"
    assert "ControlError: ingest control at 127.0.0.1" in done.output


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(tmp_path, "def test_one(ingest): pass\n", f"--metering-ingest-port={port}")
    assert re.search(rf"metering: the ingest process did not start: .*127\.0\.0\.1:{port}", done.text("test_one"))
    assert "Traceback" not in done.output and "plugin.py" not in done.output


def test_switched_off_there_are_no_fixtures(tmp_path: Path) -> None:
    done = run(tmp_path, "def test_one(ingest): pass\n", "-p", "no:kong_metering")
    assert "fixture 'ingest' not found" in done.output


def test_the_suites_own_runner_does_without_it(tmp_path: Path) -> None:
    """``kong-metering conformance`` loads no plugin that it did not choose."""
    code = (
        "import sys; from harness.cli.main import main\n"
        "try:\n main()\n"
        "finally:\n print('loaded' if 'harness.pytest_metering.plugin' in sys.modules else 'not loaded')"
    )
    arguments = ["conformance", "--scenario", "bat-5-batch-size-one-never-waits", "--report-dir", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=100)
    assert done.stdout.splitlines()[-1] == "not loaded", done.stdout + done.stderr


def test_a_run_without_the_fixtures_pays_next_to_nothing(tmp_path: Path) -> None:
    """Loaded by its entry point, the plugin imports nothing but itself, in less than 50 ms of processor time."""
    text = """
import sys, time

def test_nothing_heavy_is_loaded():
    loaded = sorted(name for name in sys.modules if name.split(".")[0] in ("harness", "plugin_emulator"))
    assert loaded == ["harness", "harness.pytest_metering", "harness.pytest_metering.plugin"]
    assert not {"requests", "msgspec", "yaml", "mitmproxy", "aiohttp", "jsonschema"} & set(sys.modules)
"""
    done = run(tmp_path, text)
    assert done.outcome("test_nothing_heavy_is_loaded") == "passed", done.output
    code = (
        "import pytest, time; begun = time.process_time(); import harness.pytest_metering.plugin; "
        "print(time.process_time() - begun)"
    )
    done_import = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert float(done_import.stdout) < 0.05
