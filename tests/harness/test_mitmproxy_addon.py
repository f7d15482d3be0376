"""The addon in a user's own mitmproxy: commands, options, marks, bounded memory, no token shown or stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from mitmproxy import optmanager
from mitmproxy.test import taddons
from mitmproxy_as_process import TOKEN, Mitmproxy

from harness.capture.store import CaptureReader
from harness.mitmproxy_addon.addon import MeteringAddon


def event(identity: str, **members: Any) -> dict[str, Any]:
    base = {"specversion": "1.0", "source": "k", "type": "kong.api_request", "subject": "alice"}
    return {**base, "id": identity, "time": "2026-01-01T01:01:01Z", **members}


def send(running: Mitmproxy, *events: dict[str, Any]) -> int:
    answer = requests.post(
        f"http://127.0.0.1:{running.port}/v3/openmeter/events",
        json=events,
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=20,
    )
    return answer.status_code


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mitmproxy]:
    running = Mitmproxy(
        tmp_path_factory.mktemp("dump"), "mitmdump", "--flow-detail", "3", metering_token_env="INGEST_TOKEN"
    )
    yield running
    running.stop()


def test_events_are_listed_with_the_invalid_ones_of_a_batch_first(dump: Mitmproxy) -> None:
    assert send(dump, event("a-1"), event("a-2", subject="")) == 400
    head, *rows = dump.command("metering.events")
    assert head[:4] == ["request", "answer", "verdict", "time"]
    found = [dict(zip(head, row, strict=True)) for row in rows]
    mine = [(row["id"], row["verdict"], row["answer"]) for row in found if row["id"].startswith("a-")]
    assert mine == [("a-2", "invalid", "400"), ("a-1", "refused", "400")]
    assert found[1]["time"] == "2026-01-01T01:01:01.000Z" and found[1]["subject"] == "alice"


def test_a_fault_holds_for_as_many_requests_as_asked_and_explain_tells_every_try(dump: Mitmproxy) -> None:
    assert "503" in dump.command("metering.fault 503 2")
    batch = event("b-1")
    assert [send(dump, batch) for _ in range(4)] == [503, 503, 202, 202]
    told = [line[2] for line in dump.command("metering.explain b-1")]
    assert told == ["refused, answer 503", "refused, answer 503", "accepted, answer 202", "duplicate, answer 202"]


def test_a_fault_may_be_any_step_of_a_script_and_can_be_cleared(dump: Mitmproxy) -> None:
    dump.command("metering.fault '{status: 429, retry_after: 7}'")
    assert send(dump, event("c-1")) == 429
    dump.command("metering.fault drop_answer")
    with pytest.raises(requests.ConnectionError):
        send(dump, event("c-2"))
    dump.command("metering.fault 500 9")
    dump.command("metering.fault.clear")
    assert send(dump, event("c-2")) == 202
    assert [line[2] for line in dump.command("metering.explain c-2")] == [
        "accepted, answer no answer: drop_answer",
        "duplicate, answer 202",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("metering.fault 99", "99"),
        ("metering.fault '{hnag: true}'", "did you mean 'hang'"),
        ("metering.fault 503 0", "from 1 to"),
        ("metering.fault 503 1 nowhere", "no lane 'nowhere'"),
        ("metering.explain nobody", "metering_keep"),
        ("metering.export /no/such/folder/x.jsonl", "/no/such/folder/x.jsonl: No such file"),
    ],
)
def test_a_mistake_in_a_command_is_one_line(dump: Mitmproxy, line: str, words: str) -> None:
    with pytest.raises(RuntimeError, match=words) as raised:
        dump.command(line)
    assert "\n" not in str(raised.value)


def test_an_export_holds_the_session_and_overwrites_nothing(dump: Mitmproxy) -> None:
    assert send(dump, event("d-1")) == 202
    file = dump.directory / "export.jsonl"
    assert str(file) in dump.command(f"metering.export {file}")
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert lines[-1]["status"] == 202 and "d-1" in lines[-1]["body"]
    assert len(lines) == len(list(CaptureReader(dump.capture).requests()))
    with pytest.raises(RuntimeError, match="File exists"):
        dump.command(f"metering.export {file}")


def test_an_option_that_cannot_be_used_is_named_and_nothing_changes(dump: Mitmproxy) -> None:
    with pytest.raises(RuntimeError, match="metering_profile"):
        dump.command("set metering_profile v7")
    with pytest.raises(RuntimeError, match="NOT_SET_ANYWHERE is not set"):
        dump.command("set metering_token_env NOT_SET_ANYWHERE")
    assert send(dump, event("o-1")) == 202


def test_every_option_and_command_has_help() -> None:
    with taddons.context(MeteringAddon()) as context:
        commands = {name: told for name, told in context.master.commands.commands.items() if "metering" in name}
        told = optmanager.dump_dicts(context.options)
    options = {name: option["help"] for name, option in told.items() if "metering" in name}
    assert {"metering.fault", "metering.events", "metering.explain", "metering.export"} <= set(commands)
    assert {"metering_token_env", "metering_profile", "metering_keep", "metering_capture"} <= set(options)
    assert all(told.help for told in commands.values()) and all(options.values())
    assert commands["metering.fault"].signature_help() == "metering.fault step times lane -> str"


def test_only_the_newest_flows_are_kept_and_the_capture_has_all(tmp_path: Path) -> None:
    running = Mitmproxy(tmp_path, metering_keep="3")
    try:
        for number in range(8):
            assert send(running, event(f"k-{number}")) == 202
        assert [row[-1] for row in running.command("metering.events")[1:]] == ["k-7", "k-6", "k-5"]
    finally:
        running.stop()
    assert len(list(CaptureReader(running.capture).requests())) == 8


def test_no_token_is_printed_stored_or_saved(tmp_path: Path) -> None:
    saved = tmp_path / "flows"
    running = Mitmproxy(tmp_path, "mitmdump", "--flow-detail", "4", "-w", str(saved))
    try:
        assert send(running, event("s-1", subject="")) == 400
    finally:
        output = running.stop()
    assert "verdict  time" in output and "Bearer [redacted]" in output
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "prompt.py"]
    assert saved in files and running.capture in files
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []
    assert TOKEN not in output


@pytest.mark.parametrize(
    "setting",
    ["metering_token_env=NOT_SET_ANYWHERE", "metering_capture=/no/such/x", "metering_capture_limit=2QB"],
)
def test_a_setting_that_cannot_be_used_ends_mitmproxy_at_its_start(tmp_path: Path, setting: str) -> None:
    name, _, value = setting.partition("=")
    with pytest.raises(AssertionError) as raised:
        Mitmproxy(tmp_path, **{name: value})
    assert name in str(raised.value) and value in str(raised.value)


def test_a_capture_at_its_limit_answers_503_and_takes_on_when_the_limit_is_raised(tmp_path: Path) -> None:
    running = Mitmproxy(tmp_path, metering_capture_limit="64KiB")
    try:
        filler = {f"key-{number}": f"{number * 7919 % 1000003:x}" * 30 for number in range(60)}
        statuses = [send(running, event(f"l-{number}", data={**filler, "n": str(number)})) for number in range(60)]
        assert statuses[0] == 202 and statuses[-1] == 503 and statuses == sorted(statuses)
        assert running.capture.stat().st_size <= 65_536
        running.command("set metering_capture_limit 10MB")
        assert send(running, event("l-more")) == 202
    finally:
        output = running.stop()
    assert output.count("has reached its limit of 65,536 bytes") == 1
    assert len(list(CaptureReader(running.capture).requests())) == statuses.count(202) + 1


def test_a_saved_file_of_flows_is_looked_at_and_not_captured_again(tmp_path: Path) -> None:
    saved = tmp_path / "flows"
    running = Mitmproxy(tmp_path, "mitmdump", "-w", str(saved))
    try:
        assert send(running, event("w-1"), event("w-2", subject="")) == 400
    finally:
        running.stop()
    later = Mitmproxy(tmp_path, "mitmdump", "--flow-detail", "3", "-r", str(saved))
    try:
        assert [line[2] for line in later.command("metering.explain w-2")[:1]] == ["invalid, answer 400"]
    finally:
        output = later.stop()
    assert "verdict  time" in output and "DRP-2" in output
    assert len(list(CaptureReader(running.capture).requests())) == 1
