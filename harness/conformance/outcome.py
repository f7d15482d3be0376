"""The stream of what happens in a run. Every report is made from these events alone."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from harness.conformance.check_catalogue import Check
from harness.conformance.deliveries import Deliveries
from harness.conformance.matching import Difference
from harness.conformance.rules import Rule

#: How events name Consumers: ``alice``, or ``consumer:`` and the Consumer's id (SPEC SUB-1).
SubjectForm = Literal["username", "prefixed-id"]
#: The form that a run requires; ``auto``: either, but one throughout.
AskedForm = Literal["auto", "username", "prefixed-id"]


class Verdict(enum.StrEnum):
    """What came of a scenario, or of a rule over all its scenarios."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    FINDING = "finding"
    SKIP = "skip"
    ERROR = "error"
    NOT_COVERED = "not covered"


#: Of several verdicts on one rule the first in this order stands for it.
WORST_FIRST = (Verdict.ERROR, Verdict.FAIL, Verdict.FINDING, Verdict.PASS, Verdict.SKIP, Verdict.NOT_COVERED)


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that is not as it should be, with its evidence.

    ``rules`` are the ids it breaks (empty until the scenario's own are filled in); ``step`` the request concerned.
    ``check`` is what found it (None: what found its differences).
    """

    rules: tuple[str, ...]
    message: str
    differences: Sequence[Difference] = ()
    expected: Mapping[str, Any] | None = None
    received: Any = None
    step: str | None = None
    check: Check | None = None

    @property
    def checks(self) -> frozenset[Check]:
        """The checks that found it; with all of them gone it would not be told."""
        if self.check is not None:
            return frozenset((self.check,))
        return frozenset(one.check for one in self.differences if one.check is not None)


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run begins: against what, judged by which profile, over which rules and how many scenarios.

    ``strict`` is whether what would be a finding is judged a failure. ``subject_form`` is the form required of
    Consumers' names.
    """

    target: str
    profile: str
    version: str
    rules: Sequence[Rule]
    scenarios: int
    strict: bool = False
    subject_form: AskedForm = "username"


@dataclass(frozen=True, slots=True)
class ScenarioFinished:
    """One scenario's verdict with evidence.

    ``seconds`` is its duration. ``requests`` are the requests as a client would type them, credentials hidden, by
    step; ``timeline`` one line per delivery, and ``deliveries`` the same as data (None: nothing was queued).
    ``reproduce`` is the command that runs just this scenario; ``unreachable`` says that
    the target did not answer at all. ``prediction`` is how it differs from what the emulator made of the same
    traffic (None: it was not asked); it has no part in the verdict. ``subject_forms`` are the forms in which events
    named Consumers, each with the first such subject; ``if_unsettled`` is the verdict on a break of a rule that
    nothing public settles. ``records`` are the meter records that were accepted, for a plugin that sends such.
    """

    id: str
    title: str
    file: str
    group: str
    rules: tuple[str, ...]
    verdict: Verdict
    seconds: float
    reason: str = ""
    failures: Sequence[Failure] = ()
    requests: Mapping[str, str] = field(default_factory=dict)
    timeline: Sequence[str] = ()
    reproduce: str = ""
    unreachable: bool = False
    deliveries: Deliveries | None = None
    prediction: Sequence[Difference] | None = None
    subject_forms: Mapping[SubjectForm, str] = field(default_factory=dict)
    records: Sequence[Mapping[str, Any]] = ()
    if_unsettled: Verdict = Verdict.FAIL


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run is over; ``seconds`` is its duration, ``aborted`` why it could not be completed."""

    seconds: float
    aborted: str | None = None


Event = RunStarted | ScenarioFinished | RunFinished


class Report(Protocol):
    """Something that makes a report from the stream."""

    def take(self, event: Event) -> None:
        """Take the next event in."""


@dataclass(slots=True)
class Tally:
    """Rules × verdicts, gathered from the stream."""

    rules: dict[str, Rule] = field(default_factory=dict)
    scenarios: list[ScenarioFinished] = field(default_factory=list)
    started: RunStarted | None = None
    finished: RunFinished | None = None

    def take(self, event: Event) -> None:
        """Take the next event in."""
        if isinstance(event, RunStarted):
            self.started = event
            self.rules = {rule.id: rule for rule in event.rules}
        elif isinstance(event, ScenarioFinished):
            self.scenarios.append(event)
        else:
            self.finished = event

    @property
    def subject_forms(self) -> list[SubjectForm]:
        """The forms in which events named Consumers, in the order in which they were first seen."""
        return list(dict.fromkeys(form for scenario in self.scenarios for form in scenario.subject_forms))

    def of_rule(self, rule: str) -> list[ScenarioFinished]:
        """Return the scenarios that show ``rule`` or broke it."""
        return [
            scenario
            for scenario in self.scenarios
            if rule in scenario.rules or any(rule in failure.rules for failure in scenario.failures)
        ]

    def verdict(self, rule: str) -> Verdict:
        """Return the verdict on one rule over all its scenarios."""
        seen = {rule_verdict(rule, scenario) for scenario in self.of_rule(rule)} or {Verdict.NOT_COVERED}
        return next(verdict for verdict in WORST_FIRST if verdict in seen)

    def count(self, verdict: Verdict) -> int:
        """Return how many scenarios have this verdict."""
        return sum(scenario.verdict is verdict for scenario in self.scenarios)

    @property
    def good(self) -> bool:
        """Whether nothing failed and at least one scenario was run: skipped ones prove nothing."""
        bad = self.count(Verdict.FAIL) + self.count(Verdict.ERROR)
        return bad == 0 and self.judged and self.finished is not None and self.finished.aborted is None

    @property
    def judged(self) -> bool:
        """Whether any scenario was run and not skipped."""
        return self.count(Verdict.SKIP) < len(self.scenarios)


def rule_verdict(rule: str, scenario: ScenarioFinished) -> Verdict:
    """Return what one scenario says of one rule: a failure speaks against the rules it names, not all it shows."""
    if scenario.verdict in (Verdict.FAIL, Verdict.FINDING):
        blamed = any(rule in failure.rules for failure in scenario.failures)
        return scenario.verdict if blamed else Verdict.PASS
    return scenario.verdict
