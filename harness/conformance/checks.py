"""Judges an observation by a scenario's expectations. Written from the rules; knows nothing of any target."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.conformance.check_catalogue import Check
from harness.conformance.delivery_checks import delivery_failures, failures_in_any_scenario
from harness.conformance.event_checks import event_failures
from harness.conformance.matching import ABSENT, Difference, value_differences
from harness.conformance.observation import Answer, Delivery, Observation, accepted_events
from harness.conformance.outcome import Failure
from harness.conformance.scenario import Scenario, Step


def judge(scenario: Scenario, seen: Observation, clock_tolerance: float = 0.0) -> list[Failure]:
    """Return what is not as ``scenario`` expects, worst first; empty when all is well.

    ``clock_tolerance`` is how far, in seconds, the gateway's clock may be from ours.
    """
    expect = scenario.expect
    if "refused" in expect or seen.refused is not None:
        return list(_refusal(scenario, seen))
    if "advice" in expect:
        return list(_advice(scenario, seen))
    failures = [*_answers(scenario, seen)]
    if "events" in expect or "count" in expect:
        failures.extend(event_failures(scenario, seen, clock_tolerance))
    failures.extend(delivery_failures(scenario, seen))
    failures.extend(_log(scenario, seen))
    failures.extend(failures_in_any_scenario(scenario.form, seen))
    return [failure if failure.rules else replace(failure, rules=scenario.rules) for failure in failures]


def satisfied(scenario: Scenario, deliveries: Sequence[Delivery]) -> bool:
    """Return whether the verdict needs no more deliveries: as much has arrived as the scenario expects, so that
    waiting longer could only bring surplus, or what arrived is wrong already.
    """
    if any(delivery.complaints for delivery in deliveries):
        return True
    expect = scenario.expect
    wanted = expected_count(expect)
    if wanted is not None and len(accepted_events(deliveries)) < wanted:
        return False
    return len(deliveries) >= max(len(expect.get("deliveries", ())), len(expect.get("batches", ())))


def expected_count(expect: Mapping[str, Any]) -> int | None:
    """Return how many events are expected in all, or None when the scenario does not say."""
    if "count" in expect:
        return int(expect["count"])
    if "events" in expect:
        return sum(int(event.get("times", 1)) for event in expect["events"])
    return None


def _advice(scenario: Scenario, seen: Observation) -> Iterator[Failure]:
    wanted = Counter(scenario.expect["advice"])
    given = Counter(seen.advice)
    for rule in sorted((wanted - given).elements()):
        text = f"lint has no advice {rule!r}"
        received = ", ".join(sorted(given)) or "none"
        yield Failure(scenario.rules, text, received=received, check=Check.ADVICE_MISSING)
    for rule in sorted((given - wanted).elements()):
        text = f"lint has advice that is not expected, {rule!r}"
        yield Failure(scenario.rules, text, check=Check.ADVICE_SURPLUS)


def _refusal(scenario: Scenario, seen: Observation) -> Iterator[Failure]:
    words: Sequence[str] = scenario.expect.get("refused", ())
    if not words:
        text = "the gateway refused the configuration"
        yield Failure(scenario.rules, text, received=seen.refused, check=Check.CONFIG_ACCEPTED)
    elif seen.refused is None:
        text = "the gateway accepted a configuration it must refuse"
        yield Failure(scenario.rules, text, check=Check.CONFIG_REFUSED)
    else:
        missing = [word for word in words if word.lower() not in seen.refused.lower()]
        if missing:
            text = f"the refusal does not mention {', '.join(missing)}"
            yield Failure(scenario.rules, text, received=seen.refused, check=Check.CONFIG_REASON)


def _answers(scenario: Scenario, seen: Observation) -> Iterator[Failure]:
    for what, number in (seen.waited_for or {}).items():
        words = f"{scenario.form.noun}s" if what == "events" else what
        text = f"{number} {words} were waited for and did not come; the traffic ended there"
        yield Failure((), text, check=Check.TRAFFIC_WAIT)
    for step in scenario.steps:
        answers = [answer for answer in seen.answers if answer.step == step.id]
        for number, answer in enumerate(answers, 1):
            differences = [*_answer_differences(step, answer)]
            if differences:
                which = f"{step.id} ({number} of {step.repeat})" if step.repeat > 1 else step.id
                yield Failure((), f"the answer to {which!r} is not as it should be", differences, step=step.id)


def _answer_differences(step: Step, answer: Answer) -> Iterator[Difference]:
    response = step.response
    status = answer.status if answer.error is None else f"no answer: {answer.error}"
    yield from value_differences("status", response.get("status", 200), status, check=Check.ANSWER_STATUS)
    for name, expected in response.get("headers", {}).items():
        value = answer.headers.get(name.lower(), ABSENT)
        yield from value_differences(f"header {name}", expected, value, check=Check.ANSWER_HEADERS)
    if "body" in response:
        yield from value_differences("body", response["body"], answer.body, check=Check.ANSWER_BODY)
    if "within" in response and answer.seconds > response["within"]:
        words = f"at most {response['within']} s"
        yield Difference("answer time", words, f"{answer.seconds:.3f} s", Check.ANSWER_WITHIN)


def _log(scenario: Scenario, seen: Observation) -> Iterator[Failure]:
    for wanted in scenario.expect.get("log", ()):
        pattern = re.compile(wanted["matches"], re.IGNORECASE)
        count = sum(pattern.search(line) is not None for line in seen.log)
        what = f"log lines like /{wanted['matches']}/"
        differences = [*value_differences(what, wanted.get("times", {"at_least": 1}), count, check=Check.LOG)]
        if differences:
            yield Failure((), "the gateway's log is not as expected", differences)
