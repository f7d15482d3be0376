"""The Admin API against what a real gateway without a database answered to the same calls, field by field."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from admin_client import admin_call
from gateway_on_a_bench import Response, bench
from recorded_answers import (
    FIXTURES,
    Difference,
    body_differences,
    header_differences,
    not_needed,
    read_differences,
    recorded,
    table,
    unlisted,
)

LIST = FIXTURES / "kong-admin" / "differences.yaml"
CALLS = recorded(FIXTURES / "kong-admin" / "calls.json", "calls")
NAMES = [call["call"] for call in CALLS]
#: Calls of the second of the two gateways that were asked.
_SECOND = "again-"
_PAGE = Path(__file__).parents[2] / "docs" / "admin-api.md"


@pytest.fixture(scope="module")
def found() -> dict[str, set[str]]:
    """By call, what differs in the emulated gateway's answer."""

    async def replay(calls: list[dict[str, Any]]) -> list[Response]:
        async with bench(admin=True, db_less=True, services=[], consumers=[], plugins=[]) as b:
            answers = []
            for call in calls:
                body = call.get("body", "")
                text = body if isinstance(body, str) else json.dumps(body)
                content_type = call.get("content_type", "application/json")
                answers.append(await admin_call(b, call["method"], call["path"], text.encode(), content_type))
            return answers

    answers = []
    for second in (False, True):
        answers += asyncio.run(replay([call for call in CALLS if call["call"].startswith(_SECOND) is second]))
    return {call["call"]: differences(call, answer) for call, answer in zip(CALLS, answers, strict=True)}


def differences(call: dict[str, Any], answer: Response) -> set[str]:
    found = header_differences([(name, value) for name, value in call["headers"]], answer.headers)
    if f"{answer.status} {answer.reason}" != call["status"]:
        found.add("status")
    if "answer" in call:
        return found | body_differences(call["answer"], answer.json)
    return found if not answer.body else {*found, "/"}


@pytest.fixture(scope="module")
def listed() -> list[Difference]:
    return read_differences(LIST)


@pytest.mark.parametrize("call", NAMES)
def test_the_answer_is_the_real_gateways_but_for_what_is_listed(
    found: dict[str, set[str]], listed: list[Difference], call: str
) -> None:
    assert unlisted(found[call], listed, call) == []


@pytest.mark.parametrize("call", NAMES)
def test_every_listed_difference_is_there(found: dict[str, set[str]], listed: list[Difference], call: str) -> None:
    assert not_needed(found[call], listed, call) == []


def test_the_list_names_calls_that_were_made_and_says_why(listed: list[Difference]) -> None:
    assert {call for entry in listed for call in entry.calls or ()} <= set(NAMES)
    assert all(entry.reason for entry in listed)


def test_the_page_on_the_admin_api_has_the_list() -> None:
    """The table is what ``recorded_answers.table`` makes of the list."""
    assert "\n".join(table(LIST)) in _PAGE.read_text(encoding="utf-8")
