"""One scenario in the HTML page: verdict, evidence, plot."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from urllib.parse import quote

from harness.conformance.outcome import Failure, ScenarioFinished, Tally
from harness.report.evidence import SHOWN, indented, requests_concerned, rules_concerned, visible
from harness.report.svg_timeline import plot


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
        f'<details class="scenario" data-id="{_text(scenario.id)}" data-verdict="{verdict}" '
        f'data-groups="{_text(groups)}"{opened}>'
        f'<summary id="{_text(target)}"><span class="badge {verdict}">{verdict}</span> '
        f"<strong>{_text(scenario.id)}</strong> {_text(scenario.title)} "
        f'<span class="rules">{_text(rules)}</span></summary>'
        f"{''.join(_evidence(scenario, tally))}</details>\n"
    )


def _evidence(scenario: ScenarioFinished, tally: Tally) -> Iterator[str]:
    if scenario.reason:
        yield f"<p>{_text(scenario.reason)}</p>"
    rules = rules_concerned(scenario, tally)
    if rules:
        sentences = "".join(f"<li><strong>{_text(rule.id)}</strong> {_text(rule.text)}</li>" for rule in rules)
        yield f"<ul>{sentences}</ul>"
    for failure in scenario.failures:
        yield from _failure(failure)
    requests = requests_concerned(scenario)
    if requests:
        yield f"<h3>Sent</h3><pre>{_text(chr(10).join(requests.values()))}</pre>"
    if scenario.timeline or requests:
        yield f"<h3>Deliveries</h3><pre>{_text(chr(10).join(scenario.timeline) or 'nothing arrived')}</pre>"
    if scenario.deliveries is not None:
        yield plot(scenario.deliveries, scenario.id)
    yield f"<h3>Again</h3><pre>{_text(scenario.reproduce)}</pre>"


def _failure(failure: Failure) -> Iterator[str]:
    yield f'<div class="failure"><p><strong>{_text(failure.message)}</strong></p>'
    if failure.differences:
        yield '<table class="diff"><thead><tr><th scope="col">Field</th><th scope="col">Expected</th>'
        yield '<th scope="col">Received</th></tr></thead><tbody>'
        for one in failure.differences:
            yield f'<tr><th scope="row">{_text(one.field)}</th><td class="expected">{_text(one.expected)}</td>'
            yield f'<td class="received">{_text(one.received)}</td></tr>'
        yield "</tbody></table>"
    for name, value in (("Expected", failure.expected), ("Received", failure.received)):
        if value is not None:
            yield f"<h3>{name}</h3><pre>{_text(indented(value))}</pre>"
    yield "</div>"


def _text(value: str) -> str:
    return escape(visible(value))
