"""The run as one JSON document, described by ``report.schema.json``.

Its head and its profiles follow the conformance reports of the Kubernetes Gateway API: who made what was tested, a
result and figures for each profile, so that it can be handed to others. Rules and scenarios come with all evidence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.conformance.deliveries import Deliveries, Try
from harness.conformance.matching import Difference
from harness.conformance.outcome import Event, Failure, ScenarioFinished, Tally, Verdict, rule_verdict
from harness.conformance.rules import Rule
from harness.report.evidence import GROUPS
from harness.report.implementation import Implementation, default_implementation

FORMAT = "kong-metering-conformance/1"
SCHEMA_FILE = Path(__file__).with_name("report.schema.json")

#: Where each verdict on a rule is counted.
_COUNTED = {
    Verdict.PASS: "passed",
    Verdict.FAIL: "failed",
    Verdict.ERROR: "failed",
    Verdict.FINDING: "findings",
    Verdict.SKIP: "skipped",
    Verdict.NOT_COVERED: "skipped",
}
_KINDS = ("passed", "failed", "findings", "skipped")
_HALF = re.compile("[\ud800-\udfff]")


class JsonReport:
    """Gathers the stream; ``text`` gives the document once the run is over.

    ``implementation`` is who made the target (default: what is known of it), ``date`` what the report bears.
    """

    def __init__(self, implementation: Implementation | None = None, date: datetime | None = None) -> None:
        self._tally = Tally()
        self._implementation = implementation
        self._date = date or datetime.now(UTC)

    def take(self, event: Event) -> None:
        """Take the next event in."""
        self._tally.take(event)

    def document(self) -> dict[str, Any]:
        """Return the report as plain data."""
        tally = self._tally
        started, finished = tally.started, tally.finished
        assert started is not None and finished is not None
        made_by = self._implementation or default_implementation(started.target, started.version)
        return {
            "format": FORMAT,
            "date": self._date.isoformat(timespec="seconds"),
            "harness_version": started.version,
            "implementation": made_by.document(),
            "target": started.target,
            "mode": started.target,
            "profile": started.profile,
            "strict": started.strict,
            "subject_form": {"required": started.subject_form, "seen": tally.subject_forms},
            "seconds": round(finished.seconds, 3),
            "aborted": finished.aborted,
            "ok": tally.good,
            "totals": {verdict.value: tally.count(verdict) for verdict in Verdict if verdict != Verdict.NOT_COVERED},
            "profiles": [_profile(started.profile, tally)],
            "rules": [
                {
                    "id": rule.id,
                    "rule": rule.text,
                    "from": list(rule.provenance),
                    "provisional": rule.unsettled,
                    "verdict": tally.verdict(rule.id).value,
                    "scenarios": [scenario.id for scenario in tally.of_rule(rule.id)],
                }
                for rule in tally.rules.values()
            ],
            "scenarios": [_scenario(scenario) for scenario in tally.scenarios],
        }

    def text(self) -> str:
        """Return the report as JSON text."""
        text = json.dumps(self.document(), indent=2, ensure_ascii=False)
        return _HALF.sub(lambda half: f"\\u{ord(half.group()):04x}", text) + "\n"


def _profile(name: str, tally: Tally) -> dict[str, Any]:
    rules = [*tally.rules.values()]
    statistics = _statistics(rules, tally)
    passed, asked = statistics["passed"], len(rules)
    groups = dict.fromkeys(rule.group for rule in rules)
    words = [f"{count} {kind}" for kind, count in statistics.items() if count and kind != "passed"]
    return {
        "name": name,
        "summary": ", ".join([f"{passed} of {asked} rules passed", *words]),
        "result": _result(statistics),
        "statistics": statistics,
        "groups": [_group(group, [rule for rule in rules if rule.group == group], tally) for group in groups],
    }


def _group(name: str, rules: Sequence[Rule], tally: Tally) -> dict[str, Any]:
    statistics = _statistics(rules, tally)
    return {
        "name": name,
        "title": GROUPS.get(name, name),
        "result": _result(statistics),
        "statistics": statistics,
        **{kind: _outcomes(kind, rules, tally) for kind in ("failed", "findings", "skipped")},
    }


def _statistics(rules: Sequence[Rule], tally: Tally) -> dict[str, int]:
    kinds = [_COUNTED[tally.verdict(rule.id)] for rule in rules]
    return {kind: kinds.count(kind) for kind in _KINDS}


def _result(statistics: dict[str, int]) -> str:
    """As in the Gateway API: what was not tested makes a result partial. A finding does not stand against it."""
    if statistics["failed"]:
        return "failure"
    return "partial" if statistics["skipped"] else "success"


def _outcomes(kind: str, rules: Sequence[Rule], tally: Tally) -> list[dict[str, Any]]:
    return [
        {
            "rule": rule.id,
            "provisional": rule.unsettled,
            "scenarios": [one.id for one in tally.of_rule(rule.id) if _COUNTED[rule_verdict(rule.id, one)] == kind],
        }
        for rule in rules
        if _COUNTED[tally.verdict(rule.id)] == kind
    ]


def _scenario(scenario: ScenarioFinished) -> dict[str, Any]:
    return {
        "id": scenario.id,
        "title": scenario.title,
        "file": scenario.file,
        "group": scenario.group,
        "rules": list(scenario.rules),
        "verdict": scenario.verdict.value,
        "seconds": round(scenario.seconds, 3),
        "reason": scenario.reason,
        "failures": [_failure(failure) for failure in scenario.failures],
        "requests": dict(scenario.requests),
        "timeline": list(scenario.timeline),
        "reproduce": scenario.reproduce,
        "deliveries": None if scenario.deliveries is None else _deliveries(scenario.deliveries),
        "subject_forms": list(scenario.subject_forms),
        **({} if scenario.prediction is None else {"prediction": _prediction(scenario.prediction)}),
    }


def _prediction(differences: Sequence[Difference]) -> list[dict[str, str]]:
    return [{"field": one.field, "predicted": one.expected, "seen": one.received} for one in differences]


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "rules": list(failure.rules),
        "message": failure.message,
        "step": failure.step,
        "differences": [
            {"field": one.field, "expected": one.expected, "received": one.received} for one in failure.differences
        ],
        "expected": failure.expected,
        "received": failure.received,
    }


def _deliveries(deliveries: Deliveries) -> dict[str, Any]:
    return {
        "exact": deliveries.exact,
        "queues": {lane: dict(settings) for lane, settings in deliveries.queues.items()},
        "tries": [_try(one) for one in deliveries.tries],
        "lost": [{"at": one.at, "entry": one.entry, "reason": one.reason} for one in deliveries.lost],
    }


def _try(one: Try) -> dict[str, Any]:
    return {
        "at": round(one.at, 6),
        "status": one.status,
        "events": one.events,
        "shape": one.shape,
        "lane": one.lane,
        "batch": one.batch,
        "number": one.number,
        "seconds": one.seconds,
        "entered": [round(at, 6) for at in one.entered],
    }
