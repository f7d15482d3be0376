"""``config size`` from the command line: what it prints, draws and refuses, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli.main import main
from plugin_emulator.metering_and_billing.config import validate_config

#: 100 events/s are five times what the defaults deliver; an outage of 20 s is short enough for a quick run.
LOSING = ("--rps", "100", "--rtt", "50ms", "--outage", "20s")
#: Well within the defaults.
CALM = ("--rps", "5", "--rtt", "50ms", "--outage", "20s")
STATE = """\
_format_version: "3.0"
plugins:
- name: metering-and-billing
  instance_name: everywhere
  config:
    ingest_endpoint: http://127.0.0.1:9/
    api_token: "{vault://env/token}"
    timeout: 2000
    queue: {max_batch_size: 100}
"""
SECOND = """\
- name: metering-and-billing
  instance_name: second
  config:
    ingest_endpoint: http://127.0.0.1:9/
    api_token: "{vault://env/token}"
    queue: {max_entries: 0}
- name: metering-and-billing
  instance_name: third
  config:
    ingest_endpoint: http://127.0.0.1:9/
    api_token: "{vault://env/token}"
    queue: {max_retry_time: '${{ env "DECK_RETRY" }}'}
"""


@dataclass(frozen=True)
class Ran:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Size = Callable[..., Ran]


@pytest.fixture
def size(capsys: pytest.CaptureFixture[str]) -> Size:
    def run(*arguments: str | Path) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main(["config", "size", *map(str, arguments)])
        output = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ran(ended.value.code, output.out, output.err)

    return run


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "kong.yaml"
    path.write_text(STATE)
    return path


# --------------------------------------------------------------------------------------------------- what it answers


def test_settings_that_lose_events_end_in_1_with_both_columns_and_a_block_to_paste(size: Size) -> None:
    ran = size(*LOSING)
    assert ran.code == 1 and ran.err == ""
    lines = ran.out.splitlines()
    assert next(line for line in lines if line.startswith("one worker's queue")).split()[-2:] == ["given", "advised"]
    assert next(line for line in lines if line.startswith("  lost/s")).split() == ["lost/s", "80", "none"]
    assert "max_batch_size is 1, so one POST at a time of 50 ms delivers at most 20 of the 100 events/s" in ran.out
    assert "the advised settings lose nothing in" in ran.out
    assert "margin: nor in an outage of 24 s." in ran.out
    block = yaml.safe_load(ran.out[ran.out.index("\nqueue:") :])
    assert block == {"queue": {"max_batch_size": 10}}  # 10,000 entries and 60 s of retries are enough for 20 s


def test_the_block_makes_the_next_answer_0(size: Size, tmp_path: Path) -> None:
    """What is pasted into the file, and sized again, loses nothing and is not changed any more."""
    ran = size(*LOSING, "-q", "max_entries=100", "-q", "max_retry_time=5")
    queue = yaml.safe_load(ran.out[ran.out.index("\nqueue:") :])["queue"]
    assert set(queue) == {"max_batch_size", "max_entries", "max_retry_time"}
    document = yaml.safe_load(STATE)
    document["plugins"][0]["config"].update(queue=queue, timeout=10_000)
    path = tmp_path / "pasted.yaml"
    path.write_text(yaml.safe_dump(document))
    again = size(*LOSING, "--config", path)
    assert again.code == 0
    assert "queue:\n" not in again.out and "advised" not in again.out


def test_settings_that_lose_nothing_end_in_0_and_are_told_so(size: Size) -> None:
    ran = size(*CALM)
    assert ran.code == 0
    assert "the given settings lose nothing in 24 outages of 20 s" in ran.out
    assert "advised" not in ran.out and "changes" not in ran.out


def test_a_delay_over_the_budget_ends_in_1(size: Size) -> None:
    slow = ("-q", "max_batch_size=100", "-q", "max_coalescing_delay=4")
    assert size(*CALM, *slow).code == 0
    ran = size(*CALM, *slow, "--delay-budget", "2s", "--json")
    assert ran.code == 1
    assert not ran.json["given"]["within_delay_budget"] and ran.json["given"]["loses_nothing"]
    assert ran.json["queue"] == {"max_coalescing_delay": 1.9}
    assert ran.json["advised"]["steady"]["max_delay"] <= 2


def test_json_is_one_object_with_figures_that_add_up(size: Size) -> None:
    ran = size(*LOSING, "--workers", "2", "--event-bytes", "1000", "--json")
    assert ran.code == 1
    answer = ran.json
    assert answer["workload"]["rate"] == 50
    assert answer["workload"]["kinds"] == ["refused", "status", "hang"]
    for name in ("given", "advised"):
        outage = answer[name]["outage"]
        lost = sum(outage["lost"].values())
        assert answer[name]["loses_nothing"] == (name == "advised") == (lost == 0)
        assert outage["memory"] == outage["held"] * 1000
        assert outage["peak_entries"] <= answer[name]["settings"]["max_entries"]
        assert outage["delivered"] + lost <= outage["arrived"]
    assert answer["given"]["capacity"] == 20
    assert answer["given"]["steady"]["lost"]["overflow_entries"] == pytest.approx(30, abs=0.1)
    assert answer["given"]["outage"]["drained_after"] is None
    assert [change["name"] for change in answer["changes"]] == list(answer["queue"])
    assert answer["survives"] == 24 and answer["shortfalls"] == []
    queue = answer["advised"]["settings"]
    config = {"ingest_endpoint": "http://127.0.0.1/", "api_token": "token", "queue": queue}
    assert validate_config({**config, "queue": {**queue, "max_bytes": 1}}, "3.16") == []


@pytest.mark.parametrize(("gateway", "has_breaker"), [("3.14", False), ("3.15", False), ("3.16", True)])
def test_settings_shown_are_those_the_gateway_has(size: Size, gateway: str, has_breaker: bool) -> None:
    answer = size(*CALM, "--gateway", gateway, "--json").json
    assert ("failure_threshold" in answer["given"]["settings"]) is has_breaker


def test_one_kind_of_outage_alone_can_be_asked_about(size: Size) -> None:
    answer = size(*CALM, "--outage-kind", "hang", "--timeout", "3s", "--json").json
    assert answer["workload"]["kinds"] == ["hang"] and answer["workload"]["timeout"] == 3
    assert answer["given"]["outage"]["kind"] == "hang"


def test_the_answer_goes_to_a_file(size: Size, tmp_path: Path) -> None:
    target = tmp_path / "size.json"
    ran = size(*CALM, "--json", "-o", target)
    assert ran.out == "" and json.loads(target.read_text())["given_is_enough"]


def test_the_same_question_gets_the_same_bytes(size: Size) -> None:
    assert size(*LOSING).out == size(*LOSING).out


# ------------------------------------------------------------------------------------------------------- the picture


@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG\r\n\x1a\n"), ("svg", b"<?xml"), ("pdf", b"%PDF-")])
def test_a_picture_is_the_same_bytes_each_time(size: Size, tmp_path: Path, ending: str, begins: bytes) -> None:
    pictures = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.{ending}"
        assert size(*LOSING, "--plot", path).code == 1
        pictures.append(path.read_bytes())
    assert pictures[0].startswith(begins) and len(pictures[0]) > 2000
    assert pictures[0] == pictures[1]
    assert b"CreationDate" not in pictures[0] and b"<dc:date>" not in pictures[0]


def test_a_picture_says_what_is_drawn(size: Size, tmp_path: Path) -> None:
    path = tmp_path / "size.svg"
    size(*LOSING, "--plot", path)
    svg = path.read_text()
    for label in (
        "100 events/s in one worker, POST 50 ms, outage 20 s",
        "given settings: ",
        "advised settings: none lost",
        "waiting events",
        "losing events",
        "max_entries 10,000",
        "time from the start of the outage (seconds)",
        "outage (",
    ):
        assert label in svg, label


def test_a_picture_of_settings_that_lose_nothing_has_no_mark_of_losses(size: Size, tmp_path: Path) -> None:
    path = tmp_path / "size.svg"
    assert size(*CALM, "--plot", path).code == 0
    svg = path.read_text()
    assert "given settings: none lost" in svg
    assert "losing events" not in svg and "advised" not in svg


# --------------------------------------------------------------------------------------------------- from a file


def test_queue_and_timeout_are_taken_from_a_file_and_options_go_over_them(size: Size, state: Path) -> None:
    answer = size(*CALM, "--config", state, "--json").json
    assert answer["given"]["settings"]["max_batch_size"] == 100
    assert answer["workload"]["timeout"] == 2
    answer = size(*CALM, "--config", state, "-q", "max_batch_size=7", "--timeout", "4s", "--json").json
    assert answer["given"]["settings"]["max_batch_size"] == 7
    assert answer["workload"]["timeout"] == 4


def test_of_several_plugins_one_is_chosen_by_its_name(size: Size, state: Path) -> None:
    state.write_text(STATE + SECOND)
    ran = size(*CALM, "--config", state)
    assert ran.code == 2
    assert ran.err == (
        f"kong-metering: {state}: has 3 metering-and-billing plugins "
        "(line 3 everywhere, line 10 second, line 16 third): choose by --instance NAME\n"
    )
    assert size(*CALM, "--config", state, "--instance", "everywhere").code == 0
    ran = size(*CALM, "--config", state, "--instance", "fourth")
    assert ran.code == 2 and "has no metering-and-billing plugin with the instance_name 'fourth'" in ran.err


def test_what_the_gateway_refuses_in_the_queue_is_told_with_its_line(size: Size, state: Path) -> None:
    state.write_text(STATE + SECOND)
    ran = size(*CALM, "--config", state, "--instance", "second")
    assert ran.code == 2
    assert ran.err.startswith(f"kong-metering: {state}:15: /config/queue/max_entries: ")
    assert size(*CALM, "--config", state, "--instance", "second", "-q", "max_entries=5000").code == 0


def test_a_value_that_is_filled_in_later_must_be_given(size: Size, state: Path) -> None:
    state.write_text(STATE + SECOND)
    ran = size(*CALM, "--config", state, "--instance", "third")
    assert ran.code == 2
    assert "/config/queue/max_retry_time: is known only where it is applied" in ran.err
    assert "-q NAME=VALUE" in ran.err
    assert size(*CALM, "--config", state, "--instance", "third", "-q", "max_retry_time=90").code == 0


# ------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-q", "max_batch=2"), "--queue max_batch: unknown field 'max_batch' (did you mean 'max_batch_size'?)"),
        (("-q", "max_entries=2000000"), "--queue max_entries: "),
        (("-q", "max_entries=many"), "--queue max_entries: "),
        (("-q", "max_retry_delay=nan"), "--queue max_retry_delay: "),
        (("-q", "max_entries"), "write NAME=VALUE"),
        (("-q", "failure_threshold=2", "--gateway", "3.15"), "from gateway 3.16 on"),
        (("--rps", "0"), "--rps"),
        (("--rps", "inf"), "--rps"),
        (("--outage", "0s"), "longer than zero"),
        (("--outage", "soon"), "not a length of time"),
        (("--workers", "0"), "--workers"),
        (("--plot", "size.gif"), ".png, .svg or .pdf"),
        (("--instance", "one"), "--instance goes with --config"),
        (("--timeout", "20ms"), "raise the plugin's config.timeout"),
        (("--rps", "1e6", "--outage", "1h"), "too much to simulate: "),
        (("--config", "no-such-file.yaml"), "no-such-file.yaml: cannot be read"),
    ],
)
def test_a_mistake_is_one_line_and_2(size: Size, arguments: tuple[str, ...], said: str) -> None:
    ran = size(*CALM, *arguments)
    assert ran.code == 2 and ran.out == ""
    assert said in ran.err and ran.err.count("\n") == 1 and ran.err.startswith("kong-metering: ")


def test_a_picture_that_cannot_be_written_leaves_no_answer_behind(size: Size, tmp_path: Path) -> None:
    target = tmp_path / "answer"
    ran = size(*CALM, "--plot", tmp_path / "no-folder" / "size.png", "-o", target)
    assert ran.code == 2 and ran.err.count("\n") == 1
    assert not target.exists()


def test_without_a_picture_matplotlib_is_not_imported() -> None:
    """It takes longer to import than most questions take to answer."""
    program = (
        "import sys; from harness.cli.main import main\n"
        f"try: main(['config', 'size', *{CALM!r}])\n"
        "except SystemExit: sys.stderr.write(str('matplotlib' in sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stderr == "False"  # and no progress where nobody watches


def test_an_outage_of_more_than_a_day_is_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["config", "size", "--rps", "1", "--rtt", "50ms", "--outage", "25h"])
    assert ended.value.code == 2
    assert "--outage': '25h' is longer than 24h" in capsys.readouterr().err
