"""The page of a load: what stands in it, that no value breaks out of it, and that it works in a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from chromium import Chromium
from page_outline import Outline

import loadtests
from loadtests.report.comparison import Comparison
from loadtests.report.html_report import page
from loadtests.report.recorded import RecordedReport, UnusableReport
from loadtests.report.trend import Trend
from tests.loadtests.recorded_report import changed, document, report, run

SCHEMA = json.loads((Path(loadtests.__file__).parent / "schemas" / "load-report.json").read_text())
PLOTS = 6
HOSTILE = "</script></style><script>document.title='broken out'</script><img src=x onerror=alert(1)>\"'&\u202e\x00"


def hostile() -> dict[str, Any]:
    """The report with hostile words wherever a name, a subject or a version stands."""
    data = document()
    for name in ("gateway_version", "system", "locust_version", "harness_version", "python_version"):
        data["surroundings"][name] = HOSTILE
    for verdict in data["verdicts"]:
        verdict |= dict.fromkeys(("option", "argument", "about", "limit", "seen"), HOSTILE)
    for fault in data["faults"]:
        fault["about"] = HOSTILE
    for row in data["losses"]["allowed"]:
        row["about"] = HOSTILE
    data["losses"]["agreement"] = HOSTILE
    account = data["reconciliation"]
    for found in account["examples"].values():
        for one in found:
            one |= {"number": HOSTILE, "expectation": HOSTILE}
            for event in one["arrivals"]:
                wrong = [{"path": HOSTILE, "expected": {HOSTILE: 1}, "seen": [HOSTILE]}]
                event |= {"subject": HOSTILE, "type": HOSTILE, "verdict": HOSTILE, "wrong": wrong}
    return data


def compared() -> Comparison:
    return Comparison.of(run("0000000a"), Trend((run("00000001", achieved=50.0), run("00000002", lost=7))))


def test_the_recorded_report_has_the_form_of_todays_reports() -> None:
    jsonschema.validate(document(), SCHEMA)


def test_verdict_figures_losses_overhead_and_command_stand_in_it() -> None:
    outline, recorded = Outline(page(report())), report()
    account = recorded.account
    for words in (
        "limits broken",
        "1 of 6 limits broken: --max-billing-latency-p99 1 s: 3.76 s billing latency, p99.",
        "60 a second asked, 60.1 achieved",
        f"{account['classes']['billed_once']:,}",
        "an event that was due never came",
        "answers 503, from 2.0 s to 6.0 s",
        "gateway restarted, graceful",
        "RET-2",
        "predicted and seen losses agree",
        "Clients must not wait for the ingest endpoint (DLV-5)",
        account["examples"]["missing"][0]["number"],
        "kong-metering load --target emulator --profile kong-3.16 --plan plan.json --max-loss 0",
        "--max-billing-latency-p99 1s --max-overhead 100%",
        '"max_batch_size": 20',
    ):
        assert words in outline.text
    assert not outline.open


def test_each_plot_has_its_words_and_a_table_of_the_same_numbers() -> None:
    outline = Outline(page(report()))
    pictures = [one for one in outline.all("svg") if one.get("role") == "img"]
    assert len(pictures) == PLOTS
    assert all(one["aria-label"] for one in pictures)
    columns = report().columns
    for name in ("requests", "deliveries", "retries", "backlog"):
        for count in columns[name]:
            assert f'<td class="number">{count:,}</td>' in page(report())


def test_outages_and_restarts_are_bands_in_every_plot_over_time() -> None:
    outline = Outline(page(report()))
    bands = [
        one["class"] for one in outline.all("rect") if one.get("class") in ("fault", "restart") and one["y"] != "1"
    ]
    assert bands == ["fault", "fault", "restart"] * 4


def test_a_report_of_a_run_that_kept_all_limits_says_so() -> None:
    data = document()
    for verdict in data["verdicts"]:
        verdict["kept"] = True
    outline = Outline(page(RecordedReport({**data, "kept": True})))
    assert "All 6 limits were kept." in outline.text
    assert "broken" not in outline.text


def test_what_changed_since_earlier_runs_is_in_it_when_there_is_a_trend() -> None:
    outline = Outline(page(report(), compared()))
    assert "Against run 00000002" in outline.text
    sparks = [one["aria-label"] or "" for one in outline.all("svg") if one.get("class") == "spark"]
    assert sparks[0] == "requests a second of the last 3 runs: 50, 60.1, 60.1"
    assert sparks[2].endswith("20, 7, 20")
    assert not outline.open


def test_it_asks_for_nothing_and_has_no_script_handler_or_style_in_an_attribute() -> None:
    outline = Outline(page(RecordedReport(hostile()), compared()))
    assert not {"script", "img", "iframe", "object", "base"} & {tag for tag, _ in outline.elements}
    for _, attributes in outline.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "style", "srcdoc")]
    (policy,) = [one["content"] for one in outline.all("meta") if "http-equiv" in one]
    assert "default-src 'none'" in str(policy) and "script" not in str(policy) and "unsafe" not in str(policy)


def test_hostile_values_add_no_element() -> None:
    """A page of hostile values has the very elements of a page of tame ones."""
    tame = json.loads(json.dumps(hostile()).replace(json.dumps(HOSTILE)[1:-1], "tame"))
    wild = Outline(page(RecordedReport(hostile())))
    assert [tag for tag, _ in wild.elements] == [tag for tag, _ in Outline(page(RecordedReport(tame))).elements]
    assert "document.title='broken out'" in wild.text
    assert not wild.open


def test_every_link_leads_somewhere() -> None:
    outline = Outline(page(report(), compared()))
    targets = {attributes["id"] for _, attributes in outline.elements if "id" in attributes}
    assert {str(one["href"]).removeprefix("#") for one in outline.all("a")} <= targets


@pytest.mark.parametrize("dark", [False, True])
def test_it_works_from_a_disk_without_a_network_in_light_and_dark(
    chromium: Chromium, tmp_path: Path, dark: bool
) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(report(), compared()), encoding="utf-8")
    browser_page = chromium.open_page(file.as_uri(), dark=dark, offline=True)
    assert browser_page.console_errors == []
    assert [url for url in browser_page.requests if not url.startswith(("file:", "data:"))] == []
    sizes = browser_page.evaluate(
        "[...document.querySelectorAll('svg.plot')].map((one) => one.getBoundingClientRect().height)"
    )
    assert len(sizes) == PLOTS and all(size > 100 for size in sizes)
    lines = browser_page.evaluate(
        "[...document.querySelectorAll('svg.plot path')].map((one) => one.getTotalLength())"
    )
    assert len(lines) >= 10 and all(length > 100 for length in lines)
    ground, text = browser_page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        ".map((one) => one.match(/\\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b))"
    )
    assert (ground < text) is dark


def test_on_a_narrow_screen_wide_parts_scroll_by_themselves(chromium: Chromium, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(report(), compared()), encoding="utf-8")
    browser_page = chromium.open_page(file.as_uri())
    narrow = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser_page.send("Emulation.setDeviceMetricsOverride", narrow)
    browser_page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser_page.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("dark", [False, True])
def test_every_line_stands_out_from_the_ground_it_is_drawn_on(chromium: Chromium, tmp_path: Path, dark: bool) -> None:
    """At least 3 to 1, as WCAG asks of graphics; the dashes differ besides."""
    file = tmp_path / "report.html"
    file.write_text(page(report()), encoding="utf-8")
    browser_page = chromium.open_page(file.as_uri(), dark=dark)
    styles = browser_page.evaluate(
        "['first', 'second', 'third', 'level'].map((name) => {"
        "const one = getComputedStyle(document.querySelector(`svg.plot .${name}`));"
        "return [one.stroke, one.strokeDasharray]; })"
    )
    ground = browser_page.evaluate("getComputedStyle(document.querySelector('svg.plot')).backgroundColor")
    assert all(_contrast(colour, ground) >= 3 for colour, _ in styles), styles
    assert len({dashes for _, dashes in styles}) == len(styles)


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_hostile_values_do_nothing_in_a_browser(chromium: Chromium, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(RecordedReport(hostile())), encoding="utf-8")
    browser_page = chromium.open_page(file.as_uri())
    assert browser_page.console_errors == []
    assert browser_page.evaluate("document.querySelectorAll('script, img').length") == 0
    assert "broken out" in browser_page.evaluate("document.querySelector('h1').innerText")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("version", 2, "is of version 2, and this program knows 1"),
        ("kept", "yes", "kept: 'yes' is not of type 'boolean'"),
        ("verdicts.0.option", 7, "verdicts.0.option"),
        ("plan.rate", -1, "its plan"),
        ("reconciliation.billing_latency_histogram", "HIST!", "its histogram cannot be read"),
        ("reconciliation.timeline.requests", [1], "not of one length"),
    ],
)
def test_what_is_no_report_is_refused_in_one_line(path: str, value: Any, said: str) -> None:
    with pytest.raises(UnusableReport, match=said) as caught:
        RecordedReport(changed(path, value), "some.json")
    assert str(caught.value).startswith("some.json: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[", '{"a": NaN}', "null"])
def test_what_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(UnusableReport, match=r"report\.json: is no"):
        RecordedReport.read(tmp_path)
