"""What a user can get wrong on the command line: each mistake is one line that says what, where and what to do."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.cli.main import main

PREFIX = "kong-metering: "
EXCHANGE = (
    '{"request":{"method":"GET","path":"/","headers":[],"started_at":1},"response":{"status":200,"ended_at":2}}'
)
SCHEDULE = '{"queue":{},"arrivals":[{"t":0,"id":"e1"}]}'


def mistakes(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[str]:
    """Run a command that must be refused with exit code 2; return its lines on stderr without the prefix."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    assert ended.value.code == 2, output.err
    assert output.out == ""
    lines = output.err.splitlines()
    assert lines and all(line.startswith(PREFIX) for line in lines), output.err
    return [line.removeprefix(PREFIX) for line in lines]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def state_file(directory: Path, plugin: str) -> Path:
    """Write a state file whose plugin begins on line 9."""
    head = '_format_version: "3.0"\nservices:\n- name: s\n  url: http://h\n'
    path = directory / "kong.yml"
    path.write_text(f'{head}  routes:\n  - name: r\n    paths: ["/a"]\n  plugins:\n{plugin}\n')
    return path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["event"], "no verb is called 'event', did you mean 'events'? (see: kong-metering --help)"),
        (["xyzzy"], "no verb is called 'xyzzy' (see: kong-metering --help)"),
        (["--frob"], "'--frob'"),
        (["events", "--frob"], "'--frob'"),
        (["simulate", "--frob"], "(see: kong-metering simulate --help)"),
        (["gateway", "--frob"], "(see: kong-metering gateway --help)"),
        (["ingest", "--frob"], "(see: kong-metering ingest --help)"),
        (["conformance", "--frob"], "(see: kong-metering conformance --help)"),
        (["gateway"], "missing option '--config'"),
        (["gateway", "--config", "k.yml", "--gateway", "3.9"], "'--gateway'"),
        (["gateway", "--config", "k.yml", "--proxy-port", "70000"], "'--proxy-port': 70000"),
        (["ingest", "--port", "x"], "'--port'"),
        (["ingest", "--profile", "v9"], "'v9' is not one of 'v3', 'v1'"),
        (["conformance", "--rules", "NOPE"], "'NOPE'; conformance --list"),
        (["conformance", "--scenario", "nope"], "'nope'; conformance --list"),
        (["conformance", "--workers", "0"], "'--workers'"),
        (["simulate"], "either --schedules FILE or --rate"),
        (["simulate", "--schedules", "-", "--rate", "3"], "either --schedules FILE or --rate"),
        (["simulate", "--schedules", "-", "-q", "max_entries=3"], "a schedule brings its own"),
        (["simulate", "--rate", "nan"], "'--rate': 'nan' is not a finite number"),
        (["simulate", "--rate", "-1"], "'--rate'"),
        (["simulate", "--rate", "10", "--duration", "inf"], "'--duration': inf is not in the range 0<x<=100000000.0"),
        (["simulate", "--rate", "10", "--rtt", "nan"], "'--rtt'"),
        (["simulate", "--rate", "10", "--outage", "nan:1"], "'nan:1': write START:LENGTH"),
        (["simulate", "--rate", "10", "--outage", "5"], "'5': write START:LENGTH"),
        (["simulate", "--rate", "10", "-q", "max_batch_size"], "write NAME=VALUE"),
        (["simulate", "--rate", "10", "-q", "max_batch_siz=3"], "unknown field 'max_batch_siz'"),
        (["simulate", "--rate", "10", "-q", "max_batch_size=0"], "/max_batch_size: expected 'int' >= 1"),
        (["simulate", "--rate", "10", "-q", "max_batch_size=x"], "/max_batch_size: expected 'int'"),
        (["simulate", "--rate", "10", "-q", "max_retry_time=nan"], "max_retry_time must be a finite number"),
        (["simulate", "--rate", "10", "-q", "concurrency_limit=2"], "concurrency_limit must be 1 or -1"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_line(
    capsys: pytest.CaptureFixture[str], here: Path, arguments: list[str], said: str
) -> None:
    (line,) = mistakes(capsys, *arguments)
    assert said in line
    assert list(here.iterdir()) == []


READERS = [
    ["events"],
    ["events", "--config"],
    ["simulate", "--schedules"],
    ["gateway", "--config"],
    ["ingest", "--capture", "c.jsonl", "--faults"],
    ["conformance"],
]


@pytest.mark.parametrize("arguments", READERS, ids=" ".join)
def test_a_missing_file_is_one_line_with_its_name(
    capsys: pytest.CaptureFixture[str], here: Path, arguments: list[str]
) -> None:
    (line,) = mistakes(capsys, *arguments, "missing.yaml")
    assert "missing.yaml: " in line
    assert re.search("cannot be read: No such file|does not exist", line)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("arguments", READERS, ids=" ".join)
def test_a_directory_in_place_of_a_file_is_one_line(
    capsys: pytest.CaptureFixture[str], here: Path, arguments: list[str]
) -> None:
    (here / "folder").mkdir()
    (line,) = mistakes(capsys, *arguments, "folder")
    assert re.search("folder: (cannot be read: Is a directory|holds no scenario file)", line)
    assert [path.name for path in here.iterdir()] == ["folder"]


@pytest.mark.parametrize("arguments", READERS[:-1], ids=" ".join)
def test_a_file_that_cannot_be_read_is_one_line(
    capsys: pytest.CaptureFixture[str], here: Path, arguments: list[str]
) -> None:
    """Nobody, not even root, reads a process's memory from its start."""
    (line,) = mistakes(capsys, *arguments, "/proc/self/mem")
    assert line == "/proc/self/mem: cannot be read: Input/output error"
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("arguments", [READERS[1], READERS[3], READERS[5]], ids=" ".join)
def test_broken_yaml_is_one_line_with_its_place(
    capsys: pytest.CaptureFixture[str], here: Path, arguments: list[str]
) -> None:
    (here / "broken.yaml").write_text("id: a\nrules: [a\n")
    (line,) = mistakes(capsys, *arguments, "broken.yaml")
    assert "broken.yaml:2: is not valid YAML: " in line


@pytest.mark.parametrize("value", ["!tag x", "2026-02-31", "!!int many", "!!timestamp x", "!!bool x"])
def test_a_value_that_yaml_takes_for_something_else_is_told_to_be_quoted(
    capsys: pytest.CaptureFixture[str], here: Path, value: str
) -> None:
    path = state_file(here, f"  - name: metering-and-billing\n    config:\n      api_token: {value}")
    (line,) = mistakes(capsys, "gateway", "--config", path)
    assert line.startswith(f"{path}:11: is not valid YAML: ")
    assert line.endswith("put it in quotes")


CONFIG = "config: {api_token: t, ingest_endpoint: http://h/e"


@pytest.mark.parametrize(
    ("plugin", "expected"),
    [
        (
            "  - name: metering-and-biling",
            ["9: /services/0/plugins/0/name: unknown plugin 'metering-and-biling' "
             "(did you mean 'metering-and-billing'?)"],
        ),
        (
            f"  - name: metering-and-billing\n    {CONFIG}, queue: {{max_batch_sise: 3}}}}",
            ["10: /services/0/plugins/0/config/queue/max_batch_sise: unknown field 'max_batch_sise' "
             "(did you mean 'max_batch_size'?)"],
        ),
        (
            f"  - name: metering-and-billing\n    enabeld: false\n    {CONFIG}}}",
            ["10: /services/0/plugins/0/enabeld: unknown field 'enabeld' (did you mean 'enabled'?)"],
        ),
        (
            f"  - name: metering-and-billing\n    {CONFIG},\n      timeout: soon,\n      meter_api_requests: 1}}",
            ["11: /services/0/plugins/0/config/timeout: expected a number, got a string",
             "12: /services/0/plugins/0/config/meter_api_requests: expected a boolean, got a number"],
        ),
        (
            f"  - name: metering-and-billing\n    {CONFIG}}}\n    condition: 'true =='",
            ["11: /services/0/plugins/0/condition: is no CEL expression: unexpected end at line 1, column 8"],
        ),
        (
            '  - name: metering-and-billing\n    config:\n      api_token: ${{ env "DECK_NOT_SET_HERE" }}',
            ["11: environment variable DECK_NOT_SET_HERE is not set (run: export DECK_NOT_SET_HERE=…)"],
        ),
        ("services: []", ["9: "]),
    ],
    ids=["plugin", "field", "entity field", "types", "condition", "variable", "yaml"],
)  # fmt: skip
def test_each_mistake_in_a_state_file_is_one_line_with_line_and_pointer(
    capsys: pytest.CaptureFixture[str], here: Path, plugin: str, expected: list[str]
) -> None:
    path = state_file(here, plugin)
    lines = mistakes(capsys, "gateway", "--config", path)
    assert len(lines) == len(expected)
    for line, beginning in zip(lines, expected, strict=True):
        assert line.startswith(f"{path}:{beginning}")


def test_an_unknown_key_at_the_top_of_a_state_file_is_told_with_the_known_one(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    path = here / "kong.yml"
    path.write_text('_format_version: "3.0"\nserivces: []\n')
    (line,) = mistakes(capsys, "gateway", "--config", path)
    assert line == f"{path}:2: /serivces: unknown kind of entity 'serivces' (did you mean 'services'?)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"_format_version": "3.0"}', ":1: has no plugin named metering-and-billing"),
        ("subject: {look_up_value_in: cookie}", ":1: /subject/look_up_value_in: expected one of: "),
        ("meter_api_request: true", ":1: /meter_api_request: unknown field 'meter_api_request'"),
        ("name: metering-and-billing\ncondition: 'a ~ b'\nconfig: {}", ":2: /condition: is no CEL expression: "),
        ("name: metering-and-billing\ncondition: 1\nconfig: {}", ":2: /condition: expected a string"),
        ("- 1", ":1: has no plugin named metering-and-billing"),
    ],
)
def test_a_mistake_in_the_plugin_of_events_is_one_line(
    capsys: pytest.CaptureFixture[str], here: Path, text: str, said: str
) -> None:
    (here / "plugin.yml").write_text(text)
    (line,) = mistakes(capsys, "events", "--config", "plugin.yml", "/dev/null")
    assert line.startswith(f"plugin.yml{said}")


def test_an_unknown_key_in_a_scenario_is_one_line_with_its_place(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    scenario = here / "mine.yaml"
    scenario.write_text("id: mine\ntitle: t\nrules: [BAT-3]\nsimulat: {}\nexpect: {tries: []}\n")
    lines = mistakes(capsys, "conformance", scenario, "--report-dir", here / "reports")
    assert any(line.startswith(f"{scenario}:4: /simulat: unknown key 'simulat'") for line in lines)
    assert [path.name for path in here.iterdir()] == ["mine.yaml"]


VERBS_OF_LINES = {"events": (["events"], EXCHANGE), "simulate": (["simulate", "--schedules"], SCHEDULE)}


@pytest.mark.parametrize("verb", VERBS_OF_LINES)
@pytest.mark.parametrize("bad", ["{", "[]", "\xff", '{"x": 1}'])
@pytest.mark.parametrize("before", ["new", "old"])
def test_a_bad_line_is_named_and_the_output_file_stays_as_it_was(
    capsys: pytest.CaptureFixture[str], here: Path, verb: str, bad: str, before: str
) -> None:
    arguments, good = VERBS_OF_LINES[verb]
    (here / "in.jsonl").write_bytes(f"{good}\n\n{good}\n{bad}\n{good}\n".encode("latin-1"))
    if before == "old":
        (here / "out.jsonl").write_text("what was there\n")
    (line,) = mistakes(capsys, *arguments, "in.jsonl", "-o", "out.jsonl")
    assert line.startswith(f"in.jsonl:4: is not {'an exchange' if verb == 'events' else 'a schedule'}: ")
    left = {path.name: path.read_text() for path in here.iterdir() if path.name != "in.jsonl"}
    assert left == ({"out.jsonl": "what was there\n"} if before == "old" else {})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"queue":{},"arrivals":[{"t":-1,"id":"a"}]}', "/arrivals/0/t: expected 'float' >= 0.0"),
        ('{"queue":{},"arrivals":[{"t":"1","id":"a"}]}', "/arrivals/0/t: expected 'float', got 'str'"),
        ('{"queue":{},"arrivals":[{"t":1e999,"id":"a"}]}', "/arrivals/0/t: number out of range"),
        ('{"queue":{},"arrivals":[{"t":NaN,"id":"a"}]}', "JSON is malformed"),
        ('{"queue":{},"arrivals":[{"t":0}]}', "/arrivals/0: object missing required field 'id'"),
        ('{"queue":{},"arrivals":[{"t":0,"id":"a","byts":1}]}', "/arrivals/0: object contains unknown field 'byts'"),
        ('{"queue":{},"arrivals":[{"t":0,"id":"a","bytes":-1}]}', "/arrivals/0/bytes: expected 'int' >= 0"),
        ('{"queue":{"max_batch_size":0},"arrivals":[]}', "/queue/max_batch_size: expected 'int' >= 1"),
        ('{"queue":{"max_batch_size":1.5},"arrivals":[]}', "/queue/max_batch_size: expected 'int', got 'float'"),
        ('{"queue":{"max_coalescing_delay":-1},"arrivals":[]}', "/queue/max_coalescing_delay: expected 'float' >= 0"),
        ('{"queue":{"initial_retry_delay":0},"arrivals":[]}', "/queue/initial_retry_delay: expected 'float' > 0"),
        ('{"queue":{"concurrency_limit":3},"arrivals":[]}', "/queue: concurrency_limit must be 1 or -1"),
        ('{"queue":{"max_bath_size":1},"arrivals":[]}', "/queue: object contains unknown field 'max_bath_size'"),
        ('{"queue":{},"arrivals":[],"ingest":[]}', "'ingest' needs at least one answer"),
        ('{"queue":{},"arrivals":[],"ingest":[{"status":-1}]}', "/ingest/0/status: expected 'int' >= 0"),
        ('{"queue":{},"arrivals":[],"ingest":[{"status":1,"duration":-1}]}', "/ingest/0/duration: expected 'float'"),
        ('{"queue":{},"arrivals":[],"extra":1}', "object contains unknown field 'extra'"),
        ('{"arrivals":[]}', "object missing required field 'queue'"),
    ],
)
def test_a_bad_value_in_a_schedule_is_named_by_its_pointer(
    capsys: pytest.CaptureFixture[str], here: Path, line: str, said: str
) -> None:
    (here / "in.jsonl").write_text(line)
    (error,) = mistakes(capsys, "simulate", "--schedules", "in.jsonl")
    assert error.startswith(f"in.jsonl:1: is not a schedule: {said}")


@pytest.mark.parametrize("started_at", ["-1", "1e30", "1e400"])
def test_a_time_outside_the_calendar_is_refused_by_events(
    capsys: pytest.CaptureFixture[str], here: Path, started_at: str
) -> None:
    (here / "in.jsonl").write_text(EXCHANGE.replace('"started_at":1', f'"started_at":{started_at}'))
    (line,) = mistakes(capsys, "events", "in.jsonl")
    assert line.startswith("in.jsonl:1: is not an exchange: /request/started_at: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["events", "/dev/null", "-o", "nowhere/out"],
        ["simulate", "--rate", "1", "-o", "nowhere/out"],
        ["ingest", "--port", "0", "--capture", "nowhere/out"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_file_to_write_in_a_missing_folder_is_one_line(
    capsys: pytest.CaptureFixture[str], here: Path, arguments: list[str]
) -> None:
    (line,) = mistakes(capsys, *arguments)
    assert line == "nowhere/out: cannot be written: No such file or directory"
    assert list(here.iterdir()) == []


def test_a_full_disk_is_one_line(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    (here / "in.jsonl").write_text(EXCHANGE)
    (line,) = mistakes(capsys, "events", "in.jsonl", "-o", "/dev/full")
    assert line == "/dev/full: cannot be written: No space left on device"


@pytest.mark.parametrize("option", ["--report-dir", "--junit", "--json"])
def test_a_report_in_a_folder_that_is_a_file_is_one_line_before_anything_runs(
    capsys: pytest.CaptureFixture[str], here: Path, option: str
) -> None:
    (here / "file").write_text("mine\n")
    value = "file" if option == "--report-dir" else "file/report"
    (line,) = mistakes(capsys, "conformance", "--rules", "BAT-3", option, value)
    assert line.startswith("file/")
    assert line.endswith(f"change {option}")
    assert (here / "file").read_text() == "mine\n"


@pytest.mark.parametrize("option", ["--junit", "--json"])
def test_a_report_that_is_a_folder_is_one_line_before_anything_runs(
    capsys: pytest.CaptureFixture[str], here: Path, option: str
) -> None:
    (line,) = mistakes(capsys, "conformance", "--rules", "BAT-3", option, str(here))
    assert line == f"{here}: cannot be written: Is a directory; change {option}"


def test_output_replaces_a_file_and_keeps_its_permissions_and_link(here: Path) -> None:
    (here / "in.jsonl").write_text(EXCHANGE)
    (here / "real.jsonl").write_text("old\n")
    (here / "real.jsonl").chmod(0o600)
    (here / "link.jsonl").symlink_to("real.jsonl")
    with pytest.raises(SystemExit) as ended:
        main(["events", "in.jsonl", "-o", "link.jsonl"])
    assert ended.value.code == 0
    assert (here / "link.jsonl").is_symlink()
    assert json.loads((here / "real.jsonl").read_text())["dropped"]["rule"] == "DRP-1"
    assert (here / "real.jsonl").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in here.iterdir()) == ["in.jsonl", "link.jsonl", "real.jsonl"]


def process(*arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness.cli.main", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, stdin=subprocess.DEVNULL, text=True, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    "arguments",
    [
        ["gateway", "--config", "kong.yml", "--admin-port", "0", "--proxy-port"],
        ["gateway", "--config", "kong.yml", "--proxy-port", "0", "--admin-port"],
        ["ingest", "--port"],
        ["ingest", "--port", "0", "--control-port"],
    ],
    ids=lambda arguments: " ".join((arguments[0], arguments[-1])),
)
def test_a_port_in_use_is_one_line_and_leaves_nothing_behind(here: Path, arguments: list[str]) -> None:
    (here / "kong.yml").write_text('_format_version: "3.0"\n')
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = str(occupied.getsockname()[1])
        started = process(*arguments, port)
        output, errors = started.communicate(timeout=60)
    assert (started.returncode, output) == (2, "")
    (line,) = errors.splitlines()
    assert line.startswith(f"{PREFIX}cannot listen on 127.0.0.1") and port in line and "in use" in line
    assert [path.name for path in here.iterdir()] == ["kong.yml"]


@pytest.mark.parametrize("server", ["mitmproxy", "fast"])
@pytest.mark.parametrize("address", ["300.1.2.3", "203.0.113.1"])
def test_an_address_that_is_none_or_not_ours_is_one_line_that_does_not_blame_the_port(
    address: str, server: str, here: Path
) -> None:
    started = process("ingest", "--port", "0", "--server", server, "--host", address)
    output, errors = started.communicate(timeout=60)
    assert (started.returncode, output) == (2, "")
    (line,) = errors.splitlines()
    assert line.startswith(f"{PREFIX}cannot listen on {address}:0: ") and "Unknown error" not in line
    assert line.endswith("give an address of this machine with --host") and "--port" not in line
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("command_line", ["--version", "events in.jsonl", "conformance --list"])
def test_a_standard_output_that_is_full_is_one_line(here: Path, command_line: str) -> None:
    (here / "in.jsonl").write_text(f"{EXCHANGE}\n" * 2000)
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "harness.cli.main", *command_line.split()]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{PREFIX}standard output: ") and line.endswith("No space left on device")


def test_a_reader_who_has_seen_enough_is_no_mistake(here: Path) -> None:
    (here / "in.jsonl").write_text(f"{EXCHANGE}\n" * 5000)
    started = process("events", "in.jsonl")
    assert started.stdout is not None and started.stderr is not None
    assert "DRP-1" in started.stdout.readline()
    started.stdout.close()
    assert (started.wait(timeout=60), started.stderr.read()) == (0, "")
    started.stderr.close()


@pytest.fixture
def gateway_without_ingest(here: Path) -> Iterator[subprocess.Popen[str]]:
    """A gateway whose ingest endpoint is a port that nothing listens on."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else's
        endpoint = f"http://127.0.0.1:{reserved.getsockname()[1]}/events"
        config = f"{{api_token: secret-of-this-test, ingest_endpoint: '{endpoint}', "
        config += "subject: {look_up_value_in: header, field: x-tenant-id}, "
        config += "queue: {max_retry_time: 0.1, initial_retry_delay: 0.05}}"
        path = state_file(here, f"  - name: metering-and-billing\n    config: {config}")
        ports = ["--proxy-port", "0", "--admin-port", "0"]
        running = process("gateway", "--config", path, *ports, "--echo-upstream", "--json")
        yield running
        if running.poll() is None:
            running.kill()
        running.communicate()


def test_without_an_ingest_endpoint_clients_are_answered_and_the_loss_is_told(
    gateway_without_ingest: subprocess.Popen[str],
) -> None:
    running = gateway_without_ingest
    assert running.stdout is not None and running.stderr is not None
    proxy = urlsplit(json.loads(running.stdout.readline())["proxy"])
    told: list[str] = []
    given_up = threading.Semaphore(0)

    def read() -> None:
        assert running.stderr is not None
        for line in running.stderr:
            told.append(line)
            if " lost" in line:
                given_up.release()

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(2):
        client = http.client.HTTPConnection(proxy.hostname or "", proxy.port, timeout=10)
        client.request("GET", "/a", headers={"x-tenant-id": "acme"})
        assert client.getresponse().status == 200
        client.close()
        assert given_up.acquire(timeout=20)
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0
    reader.join(20)
    text = "".join(told)
    assert "could not send 1 event(s): the ingest endpoint " in text and "connection refused" in text.lower()
    assert text.count("1 event(s) lost: given up after max_retry_time") == 2
    assert "Traceback" not in text and "secret-of-this-test" not in text
