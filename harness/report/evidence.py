"""What a report shows of one scenario: the rules concerned, requests, differences, deliveries, the command.

All reports show the same; here is what they have in common.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.conformance.outcome import Failure, ScenarioFinished, Tally, Verdict
from harness.conformance.rules import Rule

#: Verdicts whose scenarios are shown with their evidence, worst first.
SHOWN = (Verdict.ERROR, Verdict.FAIL, Verdict.FINDING)

#: What a rule's group is called, in the order of the catalogue.
GROUPS: Mapping[str, str] = {
    "CFG": "Configuration",
    "SUB": "Subject",
    "DRP": "Drop",
    "EVT": "Event",
    "ATR": "Attributes",
    "FLT": "Which traffic",
    "CND": "Conditions",
    "BAT": "Batching",
    "RET": "Retrying",
    "CAP": "Capacity",
    "BRK": "Circuit breaker",
    "DLV": "Delivery",
    "LIF": "Life cycle",
    "AMB": "Amberflo",
}

#: Control characters but tab and line feed, what turns the direction of text, and halves of surrogate pairs.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def visible(text: str) -> str:
    """Return ``text`` with what no reader would see, or no file could hold, written as an escape."""
    return _HIDDEN.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def counted(number: int, noun: str) -> str:
    """Return ``1 scenario``, ``2 scenarios``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def subject_form_words(tally: Tally) -> str:
    """Return in which form events named Consumers, and which one was required."""
    assert tally.started is not None
    return f"{' and '.join(tally.subject_forms) or 'none seen'} (required: {tally.started.subject_form})"


def rules_concerned(scenario: ScenarioFinished, tally: Tally) -> list[Rule]:
    """Return the rules that the scenario's failures break, without any those that it shows, in order."""
    broken = [rule for failure in scenario.failures for rule in failure.rules]
    return [tally.rules[rule] for rule in dict.fromkeys(broken or scenario.rules) if rule in tally.rules]


def requests_concerned(scenario: ScenarioFinished) -> dict[str, str]:
    """Return the requests, by step, that the failures are about; all of them when they are about none."""
    steps = {failure.step for failure in scenario.failures if failure.step}
    return {step: text for step, text in scenario.requests.items() if not steps or step in steps}


def compact(value: Any) -> str:
    """Return an event or message on one line."""
    return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def indented(value: Any) -> str:
    """Return an event or message as a person reads it."""
    return visible(value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str))


def lines(scenario: ScenarioFinished, tally: Tally) -> Iterator[str]:
    """Yield the evidence as plain text."""
    if scenario.reason:
        yield visible(scenario.reason)
    for rule in rules_concerned(scenario, tally):
        yield f"{rule.id}: {rule.text}"
    for failure in scenario.failures:
        yield f"✗ {visible(failure.message)}"
        yield from _failure(failure)
    for command in requests_concerned(scenario).values():
        yield f"sent     {visible(command)}"
    for number, line in enumerate(scenario.timeline):
        yield ("arrived  " if number == 0 else "         ") + visible(line)
    if scenario.requests and not scenario.timeline:
        yield "arrived  nothing"
    yield from predictions(scenario)
    yield f"again    {scenario.reproduce}"


def predictions(scenario: ScenarioFinished) -> Iterator[str]:
    """Yield how the run differs from what the emulator predicts, as plain text; nothing when it was not asked."""
    for one in scenario.prediction or ():
        yield f"differs  {visible(one.field)}: predicted {visible(one.expected)}, seen {visible(one.received)}"


def _failure(failure: Failure) -> Iterator[str]:
    for one in failure.differences:
        yield f"    {visible(one.field)}: expected {visible(one.expected)}, received {visible(one.received)}"
    if failure.expected is not None and not failure.differences:
        yield f"    expected  {compact(failure.expected)}"
    if failure.received is not None:
        yield f"    received  {compact(failure.received)}"
