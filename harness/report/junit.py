"""The run as JUnit XML, as build servers read it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from xml.etree import ElementTree

from harness.conformance.outcome import Event, ScenarioFinished, Tally, Verdict
from harness.report.evidence import lines

#: What XML 1.0 cannot hold, even escaped.
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class JunitReport:
    """Gathers the stream; ``text`` gives the document once the run is over. A finding is a skipped test."""

    def __init__(self, date: datetime | None = None) -> None:
        self._tally = Tally()
        self._date = date or datetime.now(UTC)

    def take(self, event: Event) -> None:
        """Take the next event in."""
        self._tally.take(event)

    def text(self) -> str:
        """Return the report as XML text."""
        tally = self._tally
        assert tally.started is not None and tally.finished is not None
        root = ElementTree.Element("testsuites")
        counts = {
            "tests": str(len(tally.scenarios)),
            "failures": str(tally.count(Verdict.FAIL)),
            "errors": str(tally.count(Verdict.ERROR) + (1 if tally.finished.aborted else 0)),
            "skipped": str(tally.count(Verdict.SKIP) + tally.count(Verdict.FINDING)),
            "time": f"{tally.finished.seconds:.3f}",
        }
        name = f"kong-metering conformance {tally.started.profile} {tally.started.target}"
        stamp = self._date.replace(tzinfo=None).isoformat(timespec="seconds")
        suite = ElementTree.SubElement(
            root, "testsuite", {"name": name, "hostname": "localhost", "timestamp": stamp, **counts}
        )
        for scenario in tally.scenarios:
            _case(suite, scenario, tally)
        if tally.finished.aborted:
            ElementTree.SubElement(suite, "system-err").text = _xml(tally.finished.aborted)
        ElementTree.indent(root)
        return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, scenario: ScenarioFinished, tally: Tally) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        {
            "classname": f"{scenario.group}.{'_'.join(scenario.rules)}",
            "name": _xml(f"{scenario.id}: {scenario.title}"),
            "time": f"{scenario.seconds:.3f}",
        },
    )
    if scenario.verdict is Verdict.PASS:
        return
    tags = {Verdict.FAIL: "failure", Verdict.ERROR: "error"}
    messages = "; ".join(failure.message for failure in scenario.failures) or scenario.reason
    prefix = "finding: " if scenario.verdict is Verdict.FINDING else ""
    tag = tags.get(scenario.verdict, "skipped")
    element = ElementTree.SubElement(case, tag, {"message": _xml(prefix + messages)})
    if scenario.failures:
        element.text = _xml("\n".join(lines(scenario, tally)))


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
