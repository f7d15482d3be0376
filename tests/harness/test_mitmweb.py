"""The addon in mitmweb, as a browser shows it: the table of events, marked flows, no token."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from chromium import Chromium, Page
from mitmproxy.utils.emoji import emoji
from mitmproxy_as_process import TOKEN, Mitmproxy
from test_mitmproxy_addon import event, send

from harness.ingest.stand_in import free_port
from harness.mitmproxy_addon.batch_note import DUPLICATE_MARK, INVALID_MARK, RETRIED_MARK

_ROWS = "[...document.querySelectorAll('.flow-table tbody tr')].filter((one) => one.cells.length > 1)"


@pytest.fixture(scope="module")
def web(chromium: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mitmproxy, str]]:
    port = free_port("127.0.0.1")
    running = Mitmproxy(
        tmp_path_factory.mktemp("web"), "mitmweb", "--no-web-open-browser", "--web-port", str(port), metering_keep="4"
    )
    yield running, f"http://127.0.0.1:{port}/"
    running.stop()


@pytest.fixture(scope="module")
def page(chromium: Chromium, web: tuple[Mitmproxy, str]) -> Page:
    running, address = web
    running.command("metering.fault 503")
    assert send(running, event("good")) == 503
    assert send(running, event("good")) == 202
    assert send(running, event("right"), event("wrong", subject="", data={"method": "GET"})) == 400
    assert send(running, event("good")) == 202
    page = chromium.open_page(address)
    page.wait_for(f"{_ROWS}.length === 4")
    return page


def marker(name: str) -> str:
    """Return the sign that mitmproxy shows for a marker."""
    return str(emoji[name])


def test_flows_are_marked_by_what_became_of_their_batches(page: Page) -> None:
    """A first try that failed has no mark of its own; then come a retry, an invalid batch and a duplicate."""
    marks = page.evaluate(f"{_ROWS}.map((one) => one.querySelector('.marker').textContent)")
    assert marks == ["", marker(RETRIED_MARK), marker(INVALID_MARK), marker(DUPLICATE_MARK)]
    assert page.evaluate(f"{_ROWS}.every((one) => one.querySelector('.marker').checkVisibility())") is True


def test_a_batch_is_a_table_of_its_events_the_invalid_ones_first(page: Page) -> None:
    page.evaluate(f"{_ROWS}[2].click()")
    page.wait_for("document.querySelector('.contentview h5')?.textContent.startsWith('Usage events')")
    assert page.evaluate("document.querySelector('.contentview h5').textContent").endswith("1 invalid, 1 refused")
    lines = page.evaluate("[...document.querySelectorAll('.contentview pre > div')].map((one) => one.textContent)")
    assert lines[0].split() == ["verdict", "time", "subject", "type", "key", "data", "id"]
    assert lines[1].split()[0] == "invalid" and lines[1].split()[-2:] == ["method=GET", "wrong"]
    assert "/1/subject" in lines[2]
    assert lines[3].split() == ["refused", "2026-01-01T01:01:01.000Z", "alice", "kong.api_request", "-", "right"]


def test_the_comment_says_what_is_wrong(page: Page) -> None:
    page.evaluate(f"{_ROWS}[1].click()")
    page.wait_for(f"{_ROWS}[1].classList.contains('selected')")
    page.evaluate("[...document.querySelectorAll('.flow-detail nav a')].at(-1).click()")
    page.wait_for("document.querySelector('.flow-detail').innerText.includes('before in #1 (503)')")
    page.evaluate("document.querySelector('.flow-detail nav a').click()")


def test_the_page_knows_no_token_and_older_flows_leave_it(page: Page, web: tuple[Mitmproxy, str]) -> None:
    running, _ = web
    flows = page.evaluate("fetch('/flows').then((answer) => answer.text())")
    assert "[redacted]" in flows and TOKEN not in flows
    assert send(running, event("newest")) == 202
    page.wait_for(f"{_ROWS}[0].querySelector('.marker').textContent === {json.dumps(marker(RETRIED_MARK))}")
    assert page.evaluate(f"{_ROWS}.length") == 4
    assert page.console_errors == []
