"""Runs one scenario against one target and gives the verdict."""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.conformance import checks, traces
from harness.conformance.applicability import skip_reason
from harness.conformance.arrival_form import METER_RECORDS, ArrivalForm
from harness.conformance.deliveries import Deliveries, of_observation, of_trace
from harness.conformance.ingest_lane import IngestEndpoint, Lanes
from harness.conformance.matching import Difference
from harness.conformance.observation import Answer, Delivery, Observation, accepted_events
from harness.conformance.outcome import AskedForm, Failure, ScenarioFinished, SubjectForm, Verdict
from harness.conformance.prediction import prediction_differences
from harness.conformance.rules import DEFAULT_PROFILE, catalogue
from harness.conformance.scenario import MAIN_LANE, Scenario
from harness.conformance.state import LaneAccess, declarative_state, plugin_options
from harness.conformance.subject_form import ambiguous_subject, forms_seen, in_form, mixed_forms
from harness.conformance.traffic import as_curl, send
from harness.targets.target import ConfigurationRefusedError, NotApplicableError, Target, TargetUnavailableError

#: Seconds a target may take to say that no metering work is left, before the last look for surplus events.
SETTLE_SECONDS = 2.0
#: Seconds between two questions whether the target has any work left, while something is waited for.
IDLE_CHECK = 0.3


@dataclass(frozen=True, slots=True)
class Order:
    """How the run was asked for, so that one scenario of it can be asked for again.

    ``target_options`` are the words that go with ``--target``, none of them secret. ``strict`` makes a failure of
    what would be a finding. ``subject_form`` is the form in which events must name Consumers.
    """

    profile: str = DEFAULT_PROFILE
    target: str = "emulator"
    shipped: Path | None = None
    strict: bool = False
    target_options: tuple[str, ...] = ()
    subject_form: AskedForm = "username"

    def command(self, *scenarios: Scenario) -> str:
        """Return the command that runs just ``scenarios``."""
        words = ["kong-metering", "conformance"]
        if self.target != "emulator":
            words += ["--target", self.target]
        words += self.target_options
        if self.profile != DEFAULT_PROFILE:
            words += ["--profile", self.profile]
        if self.strict:
            words += ["--strict"]
        shipped = self.shipped
        if shipped is not None and all(Path(one.file).is_relative_to(shipped) for one in scenarios):
            return shlex.join([*words, *(word for one in scenarios for word in ("--scenario", one.id))])
        return shlex.join([*words, *(one.file for one in scenarios)])


@dataclass(frozen=True, slots=True)
class Predictor:
    """Gateways that are driven the same way afterwards, one at a time, and their ingest endpoint.

    ``lend`` gives one that names Consumers in a form, for as long as its context lasts.
    """

    lend: Callable[[SubjectForm], AbstractContextManager[Target]]
    endpoint: IngestEndpoint


def run(
    scenario: Scenario,
    target: Target,
    endpoint: IngestEndpoint | None,
    order: Order,
    predictor: Predictor | None = None,
) -> ScenarioFinished:
    """Run ``scenario`` and judge it. Never raises for what the target does: that is verdict ``error``.

    With a ``predictor`` the result also has what differs from what that one makes of the same traffic.
    """
    begun = time.perf_counter()
    reason = skip_reason(scenario, target, order.profile)
    if reason is None and order.subject_form != "username":
        reason = ambiguous_subject(scenario)
    if reason is not None:
        return _finished(scenario, order, Verdict.SKIP, begun, reason)
    try:
        seen = observe(scenario, target, endpoint)
    except NotApplicableError as error:
        return _finished(scenario, order, Verdict.SKIP, begun, str(error))
    except TargetUnavailableError as error:
        return replace(_finished(scenario, order, Verdict.ERROR, begun, str(error)), unreachable=True)
    except Exception as error:  # whatever went wrong, the other scenarios still run
        return _finished(scenario, order, Verdict.ERROR, begun, f"{type(error).__name__}: {error}")
    lines: Sequence[str] = ()
    deliveries: Deliveries | None = None
    arrived = accepted_events(seen.deliveries)
    forms = forms_seen(scenario, arrived)
    named: SubjectForm = next(iter(forms), "username")
    form = named if order.subject_form == "auto" else order.subject_form
    if seen.trace is not None:
        failures = traces.judge_trace(scenario, seen.trace)
        lines, deliveries = traces.timeline(seen.trace), of_trace(scenario.schedule or {}, seen.trace, scenario.form)
    else:
        failures = checks.judge(in_form(scenario, form), seen, target.clock_tolerance)
        if order.subject_form == "auto":
            failures += mixed_forms(forms)
        if scenario.kind == "traffic":
            lines = [_line(scenario.form, delivery, seen.started_at) for delivery in seen.deliveries]
            deliveries = of_observation(scenario, seen)
    if_unsettled = Verdict.FINDING if target.genuine and not order.strict else Verdict.FAIL
    verdict = _verdict(failures, if_unsettled)
    finished = _finished(scenario, order, verdict, begun, failures=failures, timeline=lines, deliveries=deliveries)
    records = [one.event for one in arrived] if scenario.form is METER_RECORDS else []
    finished = replace(finished, subject_forms=forms, if_unsettled=if_unsettled, records=records)
    if predictor is None:
        return finished
    return replace(finished, prediction=_predicted(scenario, seen, predictor, form))


def _predicted(scenario: Scenario, seen: Observation, predictor: Predictor, form: SubjectForm) -> list[Difference]:
    try:
        with predictor.lend(form) as target:
            predicted = observe(scenario, target, predictor.endpoint)
    except Exception as error:  # it stands beside the verdict, and must not spoil it
        return [Difference("prediction", "could not be made", f"{type(error).__name__}: {error}")]
    return prediction_differences(seen, predicted)


def observe(scenario: Scenario, target: Target, endpoint: IngestEndpoint | None) -> Observation:
    """Do what ``scenario`` says and return what was seen. Raises TargetUnavailableError."""
    if scenario.kind == "simulate":
        assert scenario.schedule is not None
        return Observation(trace=target.simulate(scenario.schedule))
    if scenario.kind == "exchanges":
        return _observe_pipeline(scenario, target)
    if scenario.kind == "advice":
        return Observation(advice=target.advice(scenario.plugins))
    assert endpoint is not None
    return _observe_proxy(scenario, target, endpoint)


def _observe_pipeline(scenario: Scenario, target: Target) -> Observation:
    seen = Observation()
    outcomes = target.pipeline_events(scenario.plugins[0], [entry["exchange"] for entry in scenario.exchanges])
    dropped: dict[str, str] = {}
    for number, (entry, outcome) in enumerate(zip(scenario.exchanges, outcomes, strict=True), 1):
        if outcome["dropped"]:
            dropped[entry["id"]] = str(outcome["dropped"].get("reason", "dropped"))
        started = float(entry["exchange"]["request"]["started_at"])
        at = float(entry["exchange"]["response"]["ended_at"])
        seen.answers.append(Answer(entry["id"], started, at, at - started, entry["exchange"]["response"]["status"]))
        seen.deliveries.append(Delivery(number, at, None, "array", None, "", outcome["events"], True))
    seen.dropped = dropped
    return seen


def _observe_proxy(scenario: Scenario, target: Target, endpoint: IngestEndpoint) -> Observation:
    run_name = f"{scenario.id}-{secrets.token_hex(4)}"
    names = {lane: f"{run_name}-{lane}" for lane in scenario.lanes}
    access: dict[str, LaneAccess] = {}
    lanes = Lanes(endpoint, names)
    seen = Observation(started_at=time.time())
    try:
        for lane, name in names.items():
            token = secrets.token_urlsafe(24)
            url = endpoint.open_lane(name, token, scenario.lanes[lane], scenario.form)
            access[lane] = LaneAccess(url, endpoint.untrusted_url(name), token)
        try:
            options = plugin_options(scenario, access)
            if options:
                target.set_plugin_options(options)
            target.apply(declarative_state(scenario, access, run_name))
            _drive(scenario, target, lanes, partial(declarative_state, scenario, access, run_name), seen)
        except ConfigurationRefusedError as error:
            seen.refused = _without_tokens(str(error), access)
            return seen
        _wait(partial(lanes.wait, partial(checks.satisfied, scenario)), scenario, target)
        target.settle(SETTLE_SECONDS)
        lanes.look()
        seen.deliveries = lanes.received()
        if "log" in scenario.expect:
            seen.log = target.log_lines()
    finally:
        lanes.close()
    return seen


def _drive(
    scenario: Scenario,
    target: Target,
    lanes: Lanes,
    state_with: Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]],
    seen: Observation,
) -> None:
    for step in scenario.steps:
        if step.wait_for is not None:
            if not _wait(partial(lanes.wait_for, step.wait_for), scenario, target):
                seen.waited_for = step.wait_for
                return  # what comes after would only blur what is missing
        elif step.reconfigure is not None:
            target.apply(state_with(step.reconfigure))
        elif step.restart is not None:
            target.restart(step.restart)
        elif step.freeze is not None:
            target.freeze(step.freeze)
        else:
            answers = send(step, target.proxy_url)
            if all(answer.refused for answer in answers):
                target.idle()  # one that knows why nobody is there says so
                raise TargetUnavailableError(f"nothing listens at the gateway's proxy {target.proxy_url}")
            seen.answers.extend(answers)


def _wait(arrived: Callable[[float], bool], scenario: Scenario, target: Target) -> bool:
    """Wait up to the scenario's patience for ``arrived``, less when the target says that nothing more can come.

    ``arrived`` waits up to so many seconds and returns whether what is waited for is there.
    """
    deadline = time.monotonic() + scenario.patience
    while (left := deadline - time.monotonic()) > 0:
        if arrived(min(left, IDLE_CHECK)):
            return True
        if target.idle():
            return arrived(0.0)  # what came between the look and the question
    return False


def _without_tokens(text: str, access: Mapping[str, LaneAccess]) -> str:
    for lane in access.values():
        text = text.replace(lane.token, "****")
    return text


def _verdict(failures: Sequence[Failure], if_unsettled: Verdict) -> Verdict:
    """Kong's own plugin that breaks only unsettled rules gives a finding; any other was made to keep those too."""
    if not failures:
        return Verdict.PASS
    broken = {rule for failure in failures for rule in failure.rules}
    unsettled = all(rule in catalogue() and catalogue()[rule].unsettled for rule in broken)
    return if_unsettled if unsettled else Verdict.FAIL


def _line(form: ArrivalForm, delivery: Delivery, since: float) -> str:
    answer = "no answer" if delivery.status is None else str(delivery.status)
    kind = (delivery.content_type or "no content type").partition(";")[0]
    ids = ", ".join("…" + form.name_of(event)[-6:] for event in delivery.events[:3])
    more = ", …" if len(delivery.events) > 3 else ""
    lane = "" if delivery.lane == MAIN_LANE else f"  [{delivery.lane}]"
    size = f"{len(delivery.events)} {form.noun}{'' if len(delivery.events) == 1 else 's'}"
    return f"+{delivery.at - since:7.3f} s  {delivery.shape} of {size} ({ids}{more}), {kind} → {answer}{lane}"


def _finished(
    scenario: Scenario,
    order: Order,
    verdict: Verdict,
    begun: float,
    reason: str = "",
    failures: Sequence[Failure] = (),
    timeline: Sequence[str] = (),
    deliveries: Deliveries | None = None,
) -> ScenarioFinished:
    requests: dict[str, Any] = {step.id: as_curl(step) for step in scenario.steps if step.path is not None}
    return ScenarioFinished(
        id=scenario.id,
        title=scenario.title,
        file=scenario.file,
        group=scenario.group,
        rules=scenario.rules,
        verdict=verdict,
        seconds=time.perf_counter() - begun,
        reason=reason,
        failures=failures,
        requests=requests,
        timeline=timeline,
        reproduce=order.command(scenario),
        deliveries=deliveries,
    )
