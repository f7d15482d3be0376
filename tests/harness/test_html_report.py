"""The HTML report: what stands in it, that no value breaks out of it, and that it works in a real browser."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from chromium import Chromium, Page
from conformance_stream import BROKEN, RETRIED, SCENARIOS, feed, hostile, scenario, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from page_outline import Outline

from harness.conformance.deliveries import Deliveries, Lost, Try, of_trace
from harness.conformance.matching import Difference
from harness.conformance.outcome import ScenarioFinished, Verdict
from harness.conformance.rules import PROFILES
from harness.conformance.scenario import read_scenarios
from harness.report.html_report import HtmlReport
from harness.report.implementation import Implementation
from harness.report.svg_timeline import plot
from harness.report.timeline import Allowed, rows
from harness.resources import scenarios as shipped
from harness.targets.emulator import EmulatorTarget

LATE = scenario("later", Verdict.PASS, "BAT-4", title="Windows end", deliveries=RETRIED)


def page_of(scenarios: Sequence[ScenarioFinished] = SCENARIOS) -> str:
    return feed(HtmlReport(Implementation(project="some gateway")), stream(scenarios)).text()


def test_each_rule_and_each_scenario_stands_in_it_with_its_evidence() -> None:
    outline = Outline(page_of())
    rules = [one for one in outline.all("tr") if "data-verdict" in one]
    assert len(rules) == len(stream()[0].rules)  # type: ignore[union-attr]
    assert [one["data-id"] for one in outline.all("details") if "data-id" in one] == ["bad", "odd", "good", "other"]
    assert [one["data-id"] for one in outline.all("details") if "open" in one] == ["bad", "odd"]
    for words in (
        "A request without a subject makes no event at all",
        "'unknown|`<b>'",
        "curl -i http://localhost:8000/two",
        "+  0.100 s  object of 1 event",
        "kong-metering conformance --scenario bad",
        "some gateway",
        "holds for kong-3.14",
    ):
        assert words in outline.text
    assert not outline.open


def test_every_link_leads_somewhere_without_the_script_too() -> None:
    outline = Outline(page_of())
    targets = {attributes["id"] for _, attributes in outline.elements if "id" in attributes}
    links = {str(one["href"]).removeprefix("#") for one in outline.all("a")}
    assert len(links) > 3
    assert links <= targets


def test_it_asks_for_nothing_and_has_no_handler_or_style_in_an_attribute() -> None:
    outline = Outline(page_of([*SCENARIOS, hostile()]))
    assert not {"img", "iframe", "object", "embed", "base", "audio", "video"} & {tag for tag, _ in outline.elements}
    for _, attributes in outline.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "style", "srcdoc")]
    assert [one["href"] for one in outline.all("link")] == ["data:,"]
    (policy,) = [one["content"] for one in outline.all("meta") if "http-equiv" in one]
    assert "default-src 'none'" in str(policy)
    assert "unsafe" not in str(policy)


def test_hostile_values_add_no_element() -> None:
    """A page of hostile values has the very elements of a page of tame ones."""
    wild, evil = Outline(page_of([hostile()])), hostile()
    replaced = re.compile(r"(?s)^(id|title|reason|curl|line|again|message|field|expected|received).*")

    def tame(text: str) -> str:
        return replaced.sub(r"\1", text)

    (failure,), (one,) = evil.failures, evil.failures[0].differences
    calm = scenario(
        "id",
        evil.verdict,
        *evil.rules,
        reason="reason",
        failures=[type(failure)(failure.rules, tame(failure.message), [one], {}, {}, "two")],
        requests={"two": "curl"},
        prediction=[one],
        deliveries=Deliveries([Try(0.5, None, 1, "array", "lane", 1, 0, entered=(0.1,))], [Lost(1.0, "e", "r")]),
    )
    assert [tag for tag, _ in wild.elements] == [tag for tag, _ in Outline(page_of([calm])).elements]
    assert "document.title='broken out'" in wild.text
    assert not wild.open


def test_what_the_emulator_predicts_stands_beside_the_verdict_by_field() -> None:
    differs = [Difference("kong.api_request 1: subject", "alice", "bob")]
    told = scenario("odd", Verdict.PASS, "DRP-1", prediction=differs)
    outline = Outline(page_of([told, scenario("same", Verdict.PASS, "DRP-1", prediction=[]), SCENARIOS[0]]))
    assert outline.text.count("Beside the emulator") == 2
    assert "1 difference, which the verdict does not count." in outline.text
    assert "As the emulator predicts." in outline.text
    assert outline.text.count("not as predicted") == 1
    heads = re.findall("Field(Predicted)(Seen)", outline.text)
    assert heads == [("Predicted", "Seen")]
    assert "kong.api_request 1: subjectalicebob" in outline.text


@given(st.text(max_size=80))
@settings(max_examples=40, derandomize=True, deadline=None)
def test_any_text_stays_text(text: str) -> None:
    outline = Outline(page_of([scenario("one", Verdict.FAIL, "DRP-1", title=text, reason=text, timeline=[text])]))
    assert sum(tag == "script" for tag, _ in outline.elements) == 1
    assert not outline.open
    outline.text.encode("utf-8")


TIMES = st.floats(0, 1e6, allow_nan=False) | st.sampled_from([0.0, 1e-9, 0.05, 1.0, 81.91])
TRIES = st.builds(
    Try,
    at=TIMES,
    status=st.sampled_from([None, 202, 503]),
    events=st.integers(0, 5),
    shape=st.just("array"),
    lane=st.sampled_from(["main", "other"]),
    batch=st.integers(1, 50),
    number=st.integers(0, 2000),
    seconds=st.none() | TIMES,
    entered=st.lists(TIMES, max_size=3).map(tuple),
)


@given(
    st.lists(TRIES, max_size=60), st.lists(st.builds(Lost, TIMES, st.text(), st.text()), max_size=3), st.booleans()
)
@settings(max_examples=80, derandomize=True, deadline=None)
def test_whatever_was_delivered_can_be_drawn(tries: list[Try], lost: list[Lost], exact: bool) -> None:
    """The picture is well-formed, and every mark lies in it."""
    drawn = plot(Deliveries(tries, lost, {"main": {"max_batch_size": 3}}, exact), "a picture")
    assert bool(drawn) == bool(tries or lost)
    if drawn:
        svg = ElementTree.fromstring(drawn.partition("</svg>")[0] + "</svg>")
        width, height = (float(size) for size in svg.attrib["viewBox"].split()[2:])
        for element in svg.iter():
            for name, value in element.attrib.items():
                if name in ("x", "x1", "x2", "cx"):
                    assert -5 <= float(value) <= width
                if name in ("y", "y1", "y2", "cy"):
                    assert 0 <= float(value) <= height


def test_bands_are_what_the_settings_allow() -> None:
    """A window of a second from the first entry; waits of 0.2 and 0.4 s, the second of which was cut short."""
    (row,) = rows(RETRIED)
    assert [one.allowed for one in row.tries] == [
        Allowed("window", 0.0, 1.0),
        Allowed("retry", 1.2, None),
        Allowed("retry", pytest.approx(1.6), None),  # type: ignore[arg-type]
    ]
    assert [one.off for one in row.tries] == [None, None, "early"]
    assert row.last_failure == 61.0
    assert 'class="off"' in plot(RETRIED, "bad")
    assert "too early for the settings" in plot(RETRIED, "bad")


def test_without_settings_nothing_is_said_of_what_is_allowed() -> None:
    (row,) = rows(Deliveries(RETRIED.tries))
    assert [(one.allowed, one.off) for one in row.tries] == [(None, None)] * 3


def test_in_virtual_time_every_try_of_every_scenario_lies_in_its_band() -> None:
    """What the report works out from the rules agrees with the queue, to the microsecond."""
    target, bands = EmulatorTarget(PROFILES[-1]), 0
    for one in read_scenarios([shipped()]):
        if one.schedule is not None:
            for row in rows(of_trace(one.schedule, target.simulate(one.schedule))):
                bands += sum(made.allowed is not None for made in row.tries)
                assert [made for made in row.tries if made.off] == [], one.id
    assert bands > 30


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report's address; its name has blanks and signs, as a user's folder may."""
    file = tmp_path_factory.mktemp("a report") / "report #1.html"
    file.write_text(page_of([*SCENARIOS, LATE, hostile()]), encoding="utf-8")
    return file.as_uri()


def shown(page: Page, what: str = "details.scenario") -> list[str]:
    """Return the ids of the scenarios or rules that are to be seen."""
    name = "one.dataset.id.slice(0, 9)" if what.startswith("details") else "one.cells[0].textContent"
    found = page.evaluate(
        f"[...document.querySelectorAll('{what}')].filter((one) => one.checkVisibility()).map((one) => {name})"
    )
    assert isinstance(found, list)
    return found


RULES = "#rules tr[data-verdict]"


@pytest.mark.parametrize("dark", [False, True])
def test_it_opens_from_a_file_without_an_error_or_a_request(chromium: Chromium, report: str, dark: bool) -> None:
    page = chromium.open_page(report, dark=dark, offline=True)
    assert page.evaluate("document.title") == "Metering conformance: emulator as kong-3.16"
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(15, 19, 24)" if dark else "rgb(255, 255, 255)")
    page.click("#expand")
    assert page.evaluate("document.querySelectorAll('.plot').length") == 3
    assert page.evaluate("document.querySelectorAll('script, img, svg[onload]').length") == 1
    assert [address for address in page.requests if not address.startswith(("file:", "data:"))] == []
    assert page.console_errors == []


def test_filters_narrow_rules_and_scenarios_and_are_kept_in_the_address(chromium: Chromium, report: str) -> None:
    page = chromium.open_page(report)
    everything = shown(page)
    assert everything == ["bad", "id </scri", "odd", "good", "later", "other"]
    page.click("input[value=fail]")
    assert shown(page) == ["bad", "id </scri"]
    assert shown(page, RULES) == ["DRP-1"]
    page.click("input[value=finding]")
    page.type("#text", "ODD what")
    assert shown(page) == ["odd"]
    assert page.evaluate("location.hash") == "#verdict=fail%2Cfinding&text=ODD+what"
    assert page.evaluate("document.getElementById('shown').value").endswith("rules, 1 of 6 scenarios")

    again = chromium.open_page(str(page.evaluate("location.href")))
    assert shown(again) == ["odd"]
    assert again.evaluate("document.getElementById('text').value") == "ODD what"
    again.click("#clear")
    again.wait_for("location.hash === ''")
    assert shown(again) == everything
    again.evaluate("(() => { group.value = 'BAT'; group.dispatchEvent(new Event('input', {bubbles: true})); })()")
    assert shown(again) == ["later"]
    assert {rule.partition("-")[0] for rule in shown(again, RULES)} == {"BAT"}
    assert page.console_errors + again.console_errors == []


def test_it_is_worked_by_keyboard_alone(chromium: Chromium, report: str) -> None:
    page = chromium.open_page(report)
    page.press("/")
    assert page.evaluate("document.activeElement.id") == "text"
    page.send("Input.insertText", {"text": "windows end"})
    assert shown(page) == ["later"]
    page.press("Escape")
    assert len(shown(page)) == 6
    page.evaluate("document.querySelector('#scenarios details[data-id=good] summary').focus()")
    page.press("Enter")
    assert page.evaluate("document.querySelector('details[data-id=good]').open") is True
    page.evaluate("document.querySelector('input[value=fail]').focus()")
    page.press("Space")
    assert shown(page) == ["bad", "id </scri"]
    page.evaluate("document.activeElement.blur()")
    page.go(page.evaluate("location.href"))
    assert page.console_errors == []


def test_a_link_from_a_rule_opens_its_scenario_keeps_the_filters_and_can_be_gone_back(
    chromium: Chromium, report: str
) -> None:
    page = chromium.open_page(f"{report}#text=makes+no+event")
    page.click("#rules a[href='#scenario=good']")
    page.wait_for("document.activeElement.closest('details')?.dataset.id === 'good'")
    assert page.evaluate("document.activeElement.parentElement.open") is True
    assert page.evaluate("location.hash") == "#text=makes+no+event&scenario=good"
    assert page.evaluate("document.getElementById('text').value") == "makes no event"
    page.evaluate("history.back()")
    page.wait_for("location.hash === '#text=makes+no+event'")
    fresh = chromium.open_page(f"{report}#scenario=later")
    fresh.wait_for("document.activeElement.closest('details')?.dataset.id === 'later'")
    assert page.console_errors + fresh.console_errors == []


def test_every_control_has_a_name_and_every_plot_its_words(chromium: Chromium, report: str) -> None:
    """As the browser tells them to a screen reader."""
    page = chromium.open_page(report)
    page.click("#expand")
    page.send("Accessibility.enable")
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    named = {"checkbox", "combobox", "searchbox", "button", "link", "image", "table", "DisclosureTriangle"}
    seen = set()
    for node in nodes:
        role = node.get("role", {}).get("value")
        if node.get("ignored") or role not in named - {"table"}:
            continue
        seen.add(role)
        assert node["name"]["value"].strip(), node
    assert {"checkbox", "combobox", "searchbox", "button", "link", "image"} <= seen
    page.send("Accessibility.disable")


def test_the_policy_of_the_page_stops_a_script_that_is_not_its_own(chromium: Chromium, report: str) -> None:
    """The second wall: markup that got in nevertheless would not run."""
    page = chromium.open_page(report)
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    page.evaluate(
        "(() => { const one = document.createElement('script'); one.textContent = 'window.ran = 1';"
        "document.body.append(one); })()"
    )
    page.wait_for("true")
    assert page.evaluate("window.ran ?? 0") == 0
    assert any("Content Security Policy" in error for error in page.console_errors)


def test_the_difference_is_shown_beside_the_event_that_came(chromium: Chromium, report: str) -> None:
    page = chromium.open_page(report)
    words = page.evaluate("document.querySelector('details[data-id=bad] .failure').innerText")
    (difference,) = BROKEN.differences
    for part in (difference.field, difference.expected, difference.received, '"id": "e-1"'):
        assert part in words


def test_a_page_without_a_script_shows_everything(chromium: Chromium, report: str, tmp_path: Path) -> None:
    text = re.sub(r"(?s)<script>.*?</script>", "", page_of())
    file = tmp_path / "plain.html"
    file.write_text(text, encoding="utf-8")
    page = chromium.open_page(f"{file.as_uri()}#scenario=good")
    assert shown(page) == ["bad", "odd", "good", "other"]
    assert page.evaluate("document.getElementById('filters').checkVisibility()") is False
    assert page.console_errors == []
