"""The run as one JSON document, described by ``report.schema.json``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.conformance.outcome import Event, Failure, ScenarioFinished, Tally, Verdict

FORMAT = "kong-metering-conformance/1"
SCHEMA_FILE = Path(__file__).with_name("report.schema.json")


class JsonReport:
    """Gathers the stream; ``text`` gives the document once the run is over."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._date = datetime.now(UTC)

    def take(self, event: Event) -> None:
        """Take the next event in."""
        self._tally.take(event)

    def document(self) -> dict[str, Any]:
        """Return the report as plain data."""
        tally = self._tally
        assert tally.started is not None and tally.finished is not None
        return {
            "format": FORMAT,
            "date": self._date.isoformat(timespec="seconds"),
            "harness_version": tally.started.version,
            "target": tally.started.target,
            "profile": tally.started.profile,
            "seconds": round(tally.finished.seconds, 3),
            "aborted": tally.finished.aborted,
            "ok": tally.good,
            "totals": {verdict.value: tally.count(verdict) for verdict in Verdict if verdict != Verdict.NOT_COVERED},
            "rules": [
                {
                    "id": rule.id,
                    "rule": rule.text,
                    "from": list(rule.provenance),
                    "verdict": tally.verdict(rule.id).value,
                    "scenarios": [scenario.id for scenario in tally.of_rule(rule.id)],
                }
                for rule in tally.rules.values()
            ],
            "scenarios": [_scenario(scenario) for scenario in tally.scenarios],
        }

    def text(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n"


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
    }


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
