"""A check that is really gone: the mutant that it alone kills survives, and is killed again with the check back."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from harness import resources
from harness.conformance.check_catalogue import Check
from harness.conformance.mutants import Mutant, read_mutants
from harness.conformance.scenario import Scenario, read_scenarios
from harness.conformance.self_check import Fate, MutantResult, SelfCheck, child_command
from harness.targets.fake_ingest import IngestPorts

WITHOUT_MATCHER = """\
from harness.conformance import matching
complaint = matching._complaint
matching._complaint = lambda name, *rest: None if name == {matcher!r} else complaint(name, *rest)
"""
WITHOUT_NUMBER = """\
from harness.conformance import traces
traces._NUMBERS = {{name: check for name, check in traces._NUMBERS.items() if name != {number!r}}}
"""
WITHOUT_ONLY = """\
from harness.conformance import event_checks
differences = event_checks.event_differences
event_checks.event_differences = lambda expected, event, setting: differences(
    {name: value for name, value in expected.items() if name != "only"}, event, setting
)
"""
WITHOUT_TIMES = """\
from harness.conformance import traces
of_all, fields = traces._LISTS["tries"]
traces._LISTS = {**traces._LISTS, "tries": (of_all, {name: one for name, one in fields.items() if name != "t"})}
"""

#: By check: a mutant that it alone kills, and what takes the check out of the child's suite.
DELETIONS = {
    Check.FIELD_TYPE: ("request-id-as-a-number", WITHOUT_MATCHER.format(matcher="type")),
    Check.FIELD_SAME: ("token-events-without-a-common-id", WITHOUT_MATCHER.format(matcher="same_as")),
    Check.FIELD_UNIQUE: (
        "one-request-id-for-all",
        "from harness.conformance.event_checks import _Pairing\n_Pairing.repeated = lambda self: iter(())",
    ),
    Check.EVENT_ONLY: ("query-among-the-data", WITHOUT_ONLY),
    Check.EVENT_EMPTY: (
        "null-for-an-unknown-cache-status",
        "from harness.conformance import delivery_checks\ndelivery_checks._empty_values = lambda *_: iter(())",
    ),
    Check.TRACE_TIMES: ("late-entry-waits", WITHOUT_TIMES),
    Check.TRACE_PEAK: ("peak-counts-what-is-in-flight", WITHOUT_NUMBER.format(number="peak_entries")),
    Check.TRACE_END: ("awake-after-the-last-batch", WITHOUT_NUMBER.format(number="ended_at")),
}

#: One Consumer, billed by an instance that counts AI tokens and by one that does not.
BILLED = """\
id: {id}
title: A Consumer is billed
rules: [SUB-1]
plugin: {{name: metering-and-billing, config: {{meter_ai_token_usage: {tokens}}}}}
exchanges:
  - id: one
    exchange:
      request: {{method: GET, path: /, query: "", headers: [], started_at: 1}}
      response: {{status: 200, size_bytes: 1, ended_at: 2}}
      consumer: {{id: 6f0a9d0e-58d2-4f6e-9f5e-2d6a3c1b7e11, username: alice}}
expect: {{events: [{{of: one, subject: alice}}]}}
"""
WITHOUT_THE_FORM_OF_A_RUN = """\
from harness.conformance.subject_form import FormsOfRun
FormsOfRun.judged = lambda self, scenario, finished: (finished, ())
"""


@pytest.fixture(scope="module")
def mutants() -> dict[str, Mutant]:
    return {mutant.id: mutant for mutant in read_mutants()}


@pytest.fixture(scope="module")
def in_process() -> list[Scenario]:
    """The scenarios that need neither gateway nor ingest endpoint."""
    return [one for one in read_scenarios([resources.scenarios()]) if one.kind in ("simulate", "exchanges")]


def judged(mutant: Mutant, scenarios: list[Scenario], deletion: str | None) -> MutantResult:
    command = child_command("harness.cli.mutant_run")
    if deletion is not None:
        command = [sys.executable, "-c", f"{deletion}\nfrom harness.cli.mutant_run import main\nmain()"]
    ports = msgspec.to_builtins(IngestPorts(1, 1, 1))
    return SelfCheck(scenarios, command, ports, thorough=True).judge(mutant)


@pytest.mark.parametrize("check", DELETIONS)
def test_without_the_check_its_mutant_survives(
    check: Check, mutants: dict[str, Mutant], in_process: list[Scenario]
) -> None:
    mutant, deletion = mutants[DELETIONS[check][0]], DELETIONS[check][1]
    with_it = judged(mutant, in_process, None)
    assert (with_it.fate, with_it.checks) == (Fate.KILLED, frozenset((check.value,)))
    without_it = judged(mutant, in_process, deletion)
    assert (without_it.fate, without_it.reason) == (Fate.SURVIVED, "")


def test_two_forms_of_one_consumer_are_found_only_by_looking_at_the_whole_run(
    mutants: dict[str, Mutant], tmp_path: Path
) -> None:
    for name, tokens in (("with-tokens", "true"), ("without-tokens", "false")):
        (tmp_path / f"{name}.yaml").write_text(BILLED.format(id=name, tokens=tokens))
    mutant, scenarios = mutants["another-form-where-tokens-count"], read_scenarios([tmp_path])
    with_it = judged(mutant, scenarios, None)
    assert (with_it.fate, with_it.checks) == (Fate.KILLED, frozenset((Check.SUBJECT_FORM.value,)))
    without_it = judged(mutant, scenarios, WITHOUT_THE_FORM_OF_A_RUN)
    assert (without_it.fate, without_it.reason) == (Fate.SURVIVED, "")
