"""One scenario in the HTML page: verdict, evidence, plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from harness.conformance.matching import Difference
from harness.conformance.outcome import Failure, ScenarioFinished, Tally
from harness.ingest.apis import five_aspects
from harness.report.evidence import SHOWN, counted, indented, requests_concerned, rules_concerned, visible
from harness.report.html_page import as_text
from harness.report.svg_timeline import plot

#: Records of one scenario that are shown; the report is for people.
_RECORDS_SHOWN = 10


def scenario_target(identifier: str) -> str:
    """Return the part of an address after # that leads to the scenario, with the page's script and without it."""
    return f"scenario={quote(visible(identifier), safe='')}"


def scenario_section(scenario: ScenarioFinished, tally: Tally) -> str:
    """Return the scenario as an element that opens; open from the start when there is something to explain."""
    verdict = scenario.verdict.value
    groups = " ".join(dict.fromkeys(rule.partition("-")[0] for rule in scenario.rules))
    opened = " open" if scenario.verdict in SHOWN else ""
    target, rules = scenario_target(scenario.id), f"{', '.join(scenario.rules)}, {scenario.seconds:.2f} s"
    return (
        f'<details class="scenario" data-id="{as_text(scenario.id)}" data-verdict="{verdict}" '
        f'data-groups="{as_text(groups)}"{opened}>'
        f'<summary id="{as_text(target)}"><span class="badge {verdict}">{verdict}</span> '
        f"<strong>{as_text(scenario.id)}</strong> {as_text(scenario.title)} "
        f'<span class="rules">{as_text(rules)}</span>{_not_as_predicted(scenario)}</summary>'
        f"{''.join(_evidence(scenario, tally))}</details>\n"
    )


def _evidence(scenario: ScenarioFinished, tally: Tally) -> Iterator[str]:
    if scenario.reason:
        yield f"<p>{as_text(scenario.reason)}</p>"
    rules = rules_concerned(scenario, tally)
    if rules:
        sentences = "".join(f"<li><strong>{as_text(rule.id)}</strong> {as_text(rule.text)}</li>" for rule in rules)
        yield f"<ul>{sentences}</ul>"
    for failure in scenario.failures:
        yield from _failure(failure)
    requests = requests_concerned(scenario)
    if requests:
        yield f"<h3>Sent</h3><pre>{as_text(chr(10).join(requests.values()))}</pre>"
    if scenario.timeline or requests:
        yield f"<h3>Deliveries</h3><pre>{as_text(chr(10).join(scenario.timeline) or 'nothing arrived')}</pre>"
    if scenario.records:
        yield from _records(scenario.records)
    if scenario.deliveries is not None:
        yield plot(scenario.deliveries, scenario.id)
    yield from _prediction(scenario)
    yield f"<h3>Again</h3><pre>{as_text(scenario.reproduce)}</pre>"


def _failure(failure: Failure) -> Iterator[str]:
    yield f'<div class="failure"><p><strong>{as_text(failure.message)}</strong></p>'
    if failure.differences:
        yield from _table(failure.differences, "Expected", "Received")
    for name, value in (("Expected", failure.expected), ("Received", failure.received)):
        if value is not None:
            yield f"<h3>{name}</h3><pre>{as_text(indented(value))}</pre>"
    yield "</div>"


def _records(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The records that were accepted, by their five aspects."""
    yield f"<h3>{counted(len(records), 'record')} accepted</h3>"
    yield '<table class="diff"><thead><tr>'
    for aspect in ("What", "Whom", "When", "How much", "Where"):
        yield f'<th scope="col">{aspect}</th>'
    yield "</tr></thead><tbody>"
    for record in records[:_RECORDS_SHOWN]:
        read = five_aspects(record)
        told = {} if read is None else read.document()
        where = "\n".join(f"{name}: {value}" for name, value in told.pop("where", {}).items())
        yield "<tr>"
        for value in (*told.values(), where):
            yield f"<td>{as_text('' if value is None else str(value))}</td>"
        yield "</tr>"
    yield "</tbody></table>"
    if len(records) > _RECORDS_SHOWN:
        yield f"<p>The first {_RECORDS_SHOWN} of them.</p>"


def _not_as_predicted(scenario: ScenarioFinished) -> str:
    return ' <span class="unpredicted">not as predicted</span>' if scenario.prediction else ""


def _prediction(scenario: ScenarioFinished) -> Iterator[str]:
    """What the emulator made of the same traffic: beside the verdict, no part of it."""
    if scenario.prediction is None:
        return
    yield '<h3>Beside the emulator</h3><div class="prediction">'
    if scenario.prediction:
        yield f"<p>{counted(len(scenario.prediction), 'difference')}, which the verdict does not count.</p>"
        yield from _table(scenario.prediction, "Predicted", "Seen")
    else:
        yield "<p>As the emulator predicts.</p>"
    yield "</div>"


def _table(differences: Sequence[Difference], before: str, after: str) -> Iterator[str]:
    yield f'<table class="diff"><thead><tr><th scope="col">Field</th><th scope="col">{before}</th>'
    yield f'<th scope="col">{after}</th></tr></thead><tbody>'
    for one in differences:
        yield f'<tr><th scope="row">{as_text(one.field)}</th><td class="expected">{as_text(one.expected)}</td>'
        yield f'<td class="received">{as_text(one.received)}</td></tr>'
    yield "</tbody></table>"
