"""``kong-metering events``: exchanges in, a line of events out for each, the plugin given in one of three forms."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main

COMMAND = [sys.executable, "-m", "harness.cli.main", "events"]
TOKEN = "token-of-the-events-test"


def exchange(**members: Any) -> dict[str, Any]:
    headers = [["X-Tenant-Id", "acme"], ["X-Empty", ""]]
    return {
        "request": {"method": "GET", "path": "/anything", "headers": headers, "started_at": 1_750_000_000.25},
        "response": {"status": 200, "ended_at": 1_750_000_000.5},
        "consumer": {"id": "c-1", "username": "alice", "custom_id": "crm-7"},
        **members,
    }


def answers(
    capsys: pytest.CaptureFixture[str], directory: Path, exchanges: list[dict[str, Any]], *options: str
) -> list[dict[str, Any]]:
    """Run the verb on a file; return what it prints, a dict a line."""
    source = directory / "exchanges.jsonl"
    source.write_text("".join(json.dumps(each) + "\n" for each in exchanges))
    with pytest.raises(SystemExit) as ended:
        main(["events", str(source), *options])
    output = capsys.readouterr()
    assert (ended.value.code, output.err) == (0, "")
    return [json.loads(line) for line in output.out.splitlines()]


def test_an_exchange_is_answered_before_the_next_one_is_given() -> None:
    """A program at the other end of both pipes can ask, read the answer, and ask again."""
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        for name in ("alice", "bob", "carol"):
            process.stdin.write(json.dumps(exchange(consumer={"username": name})).encode() + b"\n")
            process.stdin.flush()
            (event,) = json.loads(process.stdout.readline())["events"]
            assert event["subject"] == name
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0


def test_lines_come_out_in_the_order_they_went_in(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    given = [exchange(consumer={"username": f"user-{number}"} if number % 3 else None) for number in range(1000)]
    lines = answers(capsys, tmp_path, given)
    subjects = [line["events"][0]["subject"] if line["events"] else None for line in lines]
    assert subjects == [f"user-{number}" if number % 3 else None for number in range(1000)]


def test_without_a_configuration_the_plugin_has_its_defaults(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (line,) = answers(capsys, tmp_path, [exchange()])
    (event,) = line["events"]
    assert line["dropped"] is None
    assert (event["type"], event["subject"], event["specversion"]) == ("kong.api_request", "alice", "1.0")
    assert event["time"] == "2025-06-15T15:06:40.250000Z"
    assert event["data"]["request_method"] == "GET"
    assert event["data"]["response_http_status"] == 200


CONFIG = "{subject: {look_up_value_in: header, field: x-tenant-id}, meter_ai_token_usage: false}"
FORMS = {
    "config alone": CONFIG,
    "plugin entity": f"name: metering-and-billing\nenabled: true\nconfig: {CONFIG}\n",
    "state file": '_format_version: "3.0"\nservices:\n- name: s\n  url: http://h\n  plugins:\n  - name: key-auth\n'
    f"  - name: metering-and-billing\n    config: {CONFIG}\n",
    "secret from the environment": "name: metering-and-billing\nconfig:\n"
    '  api_token: "${{ env "DECK_EVENTS_TOKEN" }}"\n  ingest_endpoint: https://us.api.konghq.com/v3/openmeter/events\n'
    "  subject: {look_up_value_in: header, field: x-tenant-id}\n",
    "JSON": '{"subject": {"look_up_value_in": "header", "field": "x-tenant-id"}}',
}


@pytest.mark.parametrize("form", FORMS)
def test_the_plugin_is_given_as(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("DECK_EVENTS_TOKEN", TOKEN)
    config = tmp_path / "plugin.yml"
    config.write_text(FORMS[form])
    lines = answers(capsys, tmp_path, [exchange()], "--config", str(config))
    assert [event["subject"] for event in lines[0]["events"]] == ["acme"]
    assert TOKEN not in json.dumps(lines)


@pytest.mark.parametrize(
    ("config", "members", "rule"),
    [
        ("{}", {"consumer": None}, "DRP-1"),
        ("{subject: {look_up_value_in: header, field: x-customer-id}}", {}, "DRP-1"),
        ("{subject: {look_up_value_in: query, field: tenant}}", {}, "DRP-1"),
        ("{subject: {look_up_value_in: application}}", {}, "DRP-1"),
        ("{subject: {look_up_value_in: header, field: x-empty}}", {}, "DRP-2"),
        ("{subject: {look_up_value_in: header}}", {}, "DRP-1"),
        ("{meter_api_requests: false}", {}, "EVT-10"),
        ('{allow_status_codes: ["200-299"]}', {"response": {"status": 300, "ended_at": 2}}, "FLT-4"),
    ],
)
def test_a_request_without_an_event_is_explained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, config: str, members: dict[str, Any], rule: str
) -> None:
    (tmp_path / "config.yml").write_text(config)
    (line,) = answers(capsys, tmp_path, [exchange(**members)], "--config", str(tmp_path / "config.yml"))
    assert line["events"] == []
    assert line["dropped"]["rule"] == rule
    assert len(line["dropped"]["reason"]) > 10


def test_an_ai_request_makes_three_events_that_share_a_request_id(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ai = {"provider": "openai", "request_model": "gpt-5", "response_model": "gpt-5-x", "prompt_tokens": 7}
    (line,) = answers(capsys, tmp_path, [exchange(ai={**ai, "completion_tokens": 11, "request_id": "r-1"})])
    assert [event["type"] for event in line["events"]] == ["kong.api_request", "kong.llm_request", "kong.llm_request"]
    tokens = [
        (event["data"]["type"], event["data"]["tokens"], event["data"]["model"], event["data"]["api_request_id"])
        for event in line["events"][1:]
    ]
    assert tokens == [("request", 7, "gpt-5", "r-1"), ("response", 11, "gpt-5-x", "r-1")]


def test_a_seed_makes_the_same_ids_in_every_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def ids(*options: str) -> list[str]:
        lines = answers(capsys, tmp_path, [exchange()] * 50, *options)
        return [event["id"] for line in lines for event in line["events"]]

    first = ids("--seed", "7")
    assert ids("--seed", "7") == first
    assert len(set(first)) == 50
    assert all(uuid.UUID(each).version == 4 for each in first)
    assert set(first).isdisjoint(ids("--seed", "8"))
    assert set(ids()).isdisjoint(ids())


def test_the_subject_form_and_the_gateway_version_are_the_users_choice(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (line,) = answers(capsys, tmp_path, [exchange()], "--subject-form", "prefixed-id")
    assert line["events"][0]["subject"] == "consumer:c-1"
    (tmp_path / "config.yml").write_text('allow_status_codes: ["200-299"]')
    with pytest.raises(SystemExit) as ended:
        main(["events", "/dev/null", "--config", str(tmp_path / "config.yml"), "--gateway", "3.15"])
    assert ended.value.code == 2
    assert "does not exist in gateway 3.15 (it is there from gateway 3.16 on" in capsys.readouterr().err


def test_memory_does_not_grow_with_the_number_of_exchanges(tmp_path: Path) -> None:
    program = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )

    def peak_kilobytes(count: int) -> int:
        (tmp_path / "in.jsonl").write_text((json.dumps(exchange()) + "\n") * count)
        command = [sys.executable, "-c", program, *COMMAND, str(tmp_path / "in.jsonl")]
        return int(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)

    assert peak_kilobytes(40_000) < peak_kilobytes(400) + 8_000


@pytest.mark.parametrize(
    ("gateway", "condition", "rules"),
    [
        ("3.16", 'http.path.startsWith("/v1") && consumer.username == "alice"', [None, "FLT-6", "FLT-6"]),
        ("3.16", 'consumer.username.startsWith("ali")', [None, None, "CND-3"]),
        ("3.14", 'http.path ^= "/v1" && consumer.username == "alice"', [None, "FLT-6", "FLT-6"]),
        ("3.14", 'route.name == "r" && service.name == "s" && net.src.ip in 10.0.0.0/8', [None, "FLT-6", "FLT-6"]),
    ],
)
def test_flt_6_the_plugins_condition_is_asked_for_each_exchange(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, gateway: str, condition: str, rules: list[str | None]
) -> None:
    config = tmp_path / "plugin.yml"
    entity = {"name": "metering-and-billing", "condition": condition}
    config.write_text(
        json.dumps({**entity, "config": {"subject": {"look_up_value_in": "header", "field": "x-tenant-id"}}})
    )
    first = exchange(route={"name": "r"}, service={"name": "s"})
    first["request"] |= {"path": "/v1/a", "client_ip": "10.0.0.9"}
    lines = answers(
        capsys, tmp_path, [first, exchange(), exchange(consumer=None)], "--config", str(config), "--gateway", gateway
    )
    assert [line["dropped"] and line["dropped"]["rule"] for line in lines] == rules
    assert [len(line["events"]) for line in lines] == [0 if rule else 1 for rule in rules]
