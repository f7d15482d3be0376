"""The page of ``capture report`` in a real browser: it needs nothing but itself; its marks can be told apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import Chromium, Page

from harness.capture.record import CapturedRequest, Relayed
from harness.capture.store import CaptureWriter
from harness.capture.verdict import Finding, Outcome, Verdict
from harness.cli.main import main

START = 1767229261.0
WRONG = Verdict("invalid", (Finding("DRP-2", "/0/subject", "'<b>' should be non-empty"),))


def request(n: int, after: float, body: str, verdict: Outcome | Verdict, status: int | None, **more: Any) -> Any:
    verdicts = (verdict if isinstance(verdict, Verdict) else Verdict(verdict),)
    at = START + after
    return CapturedRequest(
        n, "", at, at, "c", "POST", "/events", [], 0, body=body, status=status, verdicts=verdicts, **more
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch with four tries, one that was accepted at once, and a wrong one that a real endpoint took."""
    directory = tmp_path_factory.mktemp("report")
    batch = '[{"id":"a","subject":"alice<script>"}]'
    with CaptureWriter(directory / "c") as writer:
        writer.append(request(1, 0.0, '[{"id":"b"}]', "accepted", 202))
        writer.append(request(2, 1.0, batch, "refused", 503, fault="503"))
        writer.append(request(3, 2.0, batch, "accepted", None, fault="drop_answer"))
        writer.append(request(4, 4.0, batch, "duplicate", 202))
        writer.append(request(5, 5.0, '[{"id":"c"}]', WRONG, 202, relayed=Relayed("us.api.konghq.com", 0.084, 202)))
    with pytest.raises(SystemExit) as ended:
        main(["capture", "report", "--capture", str(directory / "c"), "--out", str(directory / "r.html")])
    assert ended.value.code == 0
    return directory / "r.html"


@pytest.fixture(scope="module", params=["light", "dark"])
def page(request: pytest.FixtureRequest, chromium: Chromium, file: Path) -> Iterator[Page]:
    yield chromium.open_page(f"file://{file}", dark=request.param == "dark", offline=True)


def test_it_loads_itself_alone_and_nothing_goes_wrong(page: Page, file: Path) -> None:
    assert page.evaluate("document.querySelector('h1').textContent") == "Capture c"
    assert page.requests == [f"file://{file}"] and page.console_errors == []
    assert page.evaluate("document.querySelector('script')") is None


def test_every_try_is_a_mark_that_can_be_seen_and_says_what_it_was(page: Page) -> None:
    marks = page.evaluate(
        """[...document.querySelectorAll('.plot g > title')].map((title) => {
          const shape = title.parentNode.querySelector('circle, path'), style = getComputedStyle(shape);
          const box = shape.getBoundingClientRect();
          return [shape.className.baseVal, title.textContent, box.width > 4 && box.height > 4,
                  [style.fill, style.stroke].filter((one) => one !== 'none').join()];
        })"""
    )
    assert [mark[0] for mark in marks] == ["taken", "refused", "unheard", "again", "wrong"]
    assert [mark[1].partition(": ")[2] for mark in marks] == [
        "request 1, 1 events, 202",
        "request 2, 1 events, 503 (503)",
        "request 3, 1 events, no answer (drop_answer)",
        "request 4, 1 events, 202",
        "request 5, 1 events, 202, us.api.konghq.com 202, 0 bytes in 84 ms",
    ]
    ground = page.evaluate("getComputedStyle(document.querySelector('.plot')).backgroundColor")
    colours = [mark[3] for mark in marks]
    assert all(mark[2] for mark in marks) and ground not in colours and "" not in colours
    assert "rgb(0, 0, 0)" not in colours and len({colours[0], colours[1], colours[4]}) == 3


def test_tries_of_a_batch_are_in_one_row_in_the_order_of_time_with_the_status_of_a_failure(page: Page) -> None:
    boxes = page.evaluate(
        "['.refused', '.unheard', '.again'].map((one) => document.querySelector('.plot ' + one))"
        ".map((one) => one.getBoundingClientRect()).map((box) => [box.x, box.y + box.height / 2])"
    )
    assert [x for x, _ in boxes] == sorted(x for x, _ in boxes) and len({round(y) for _, y in boxes}) == 1
    assert "503" in page.evaluate("[...document.querySelectorAll('.plot text')].map((one) => one.textContent)")


def test_each_kind_of_mark_that_there_is_stands_in_the_legend(page: Page) -> None:
    legend = page.evaluate("[...document.querySelectorAll('.legend span')].map((one) => one.textContent)")
    assert legend == [
        "accepted",
        "duplicate",
        "taken in, and the client got no answer",
        "answered with success, though an event is invalid",
        "not taken",
    ]


def test_the_page_is_no_wider_than_a_telephone(page: Page) -> None:
    size = {"width": 380, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.send("Emulation.setDeviceMetricsOverride", size)
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    page.send("Emulation.clearDeviceMetricsOverride")
