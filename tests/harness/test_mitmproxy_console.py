"""The addon in mitmproxy's terminal interface: list, table of events and typed commands, as the screen shows them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from mitmproxy.utils.emoji import emoji
from mitmproxy_as_process import TOKEN
from terminal_screen import Terminal
from test_mitmproxy_addon import event

from harness.cli.main import main
from harness.ingest.stand_in import free_port
from harness.mitmproxy_addon.batch_note import DUPLICATE_MARK, INVALID_MARK, RETRIED_MARK

ADDRESS = "[127.0.0.1:"  # in the status line, once there is one


@pytest.fixture
def port() -> int:
    return free_port("127.0.0.1")


@pytest.fixture
def terminal(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with pytest.raises(SystemExit):
        main(["ingest", "--addon-path"])
    addon = capsys.readouterr().out.strip()
    program = str(Path(sys.executable).with_name("mitmproxy"))
    options = ["--mode", "reverse:http://127.0.0.1:9", "--listen-host", "127.0.0.1", "--listen-port", str(port)]
    running = Terminal(program, *options, "--set", f"confdir={tmp_path}", "-s", addon, directory=tmp_path)
    running.wait_until((tmp_path / "ingest.capture").exists, "the capture")
    running.wait_for(ADDRESS)
    yield running
    running.stop()


def send(port: int, *events: dict[str, Any]) -> int:
    answer = requests.post(
        f"http://127.0.0.1:{port}/v3/openmeter/events",
        json=events,
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=20,
    )
    return answer.status_code


def type_command(terminal: Terminal, command: str, *answer: tuple[str, ...]) -> None:
    """Type a command, wait for rows of its answer that contain these words, and close the answer."""

    def shown() -> bool:
        rows = [line.split("│")[1].strip() for line in terminal.lines if line.count("│") == 2]
        told = [row for row in rows if row.startswith("#")] or rows[:1]
        return len(told) == len(answer) and all(
            all(word in row.split() for word in words) for row, words in zip(told, answer, strict=True)
        )

    terminal.type(f":{command}\r")
    terminal.wait_until(shown, f"{command} with {answer}")
    terminal.type("q")
    terminal.wait_until(lambda: not any("Data viewer" in line for line in terminal.lines), "the end of the answer")


def test_a_flow_opens_as_a_table_with_the_invalid_event_first(terminal: Terminal, port: int) -> None:
    assert send(port, event("right", data={"request_method": "GET"}), event("wrong", subject="")) == 400
    terminal.wait_for("/v3/openmeter/events", str(emoji[INVALID_MARK]))
    terminal.type("\r")
    lines = terminal.wait_for("Usage events, #1 400: 1 invalid, 1 refused", "request_method=GET  right")
    assert any("Bearer [redacted]" in line for line in lines)
    head = next(index for index, line in enumerate(lines) if line.startswith("verdict"))
    table = [line.split() for line in lines[head : head + 4]]
    assert table[0] == ["verdict", "time", "subject", "type", "key", "data", "id"]
    assert (table[1][0], table[1][-1]) == ("invalid", "wrong")
    assert table[2][:3] == ["└", "DRP-2", "/1/subject:"]
    assert (table[3][0], table[3][2], table[3][-2:]) == ("refused", "alice", ["request_method=GET", "right"])
    assert TOKEN.encode() not in terminal.written


def test_typed_commands_set_a_fault_and_tell_the_life_of_an_event(terminal: Terminal, port: int) -> None:
    type_command(terminal, "metering.fault 503 1", ("1", "to", "1", "get:", "503"))
    assert [send(port, event("e-1")) for _ in range(3)] == [503, 202, 202]
    terminal.wait_for(str(emoji[RETRIED_MARK]), str(emoji[DUPLICATE_MARK]))
    tries = (("#1", "refused,", "503"), ("#2", "accepted,", "202"), ("#3", "duplicate,", "202"))
    type_command(terminal, "metering.explain e-1", *tries)
    newest_first = (("#3", "202", "duplicate"), ("#2", "202", "accepted"), ("#1", "503", "refused"))
    type_command(terminal, "metering.events", *newest_first)


def test_a_mistake_in_a_typed_command_is_a_line_at_the_bottom(terminal: Terminal) -> None:
    terminal.type(":metering.explain nobody\r")
    lines = terminal.wait_for("nobody: in none of the 0 flows that are kept (metering_keep)")
    assert not any("Traceback" in line for line in lines)
