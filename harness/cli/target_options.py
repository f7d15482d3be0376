"""What ``conformance`` is run against: a deployment, its ingest endpoint and, if asked for, a predictor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from harness.cli.deployment import (
    OF_TARGET,
    TARGETS,
    Deployment,
    GatewayLogs,
    StandingWish,
    asked_for,
    choose_deployment,
    deployment_options,
    words,
)
from harness.conformance.outcome import AskedForm
from harness.conformance.pool import PredictorFactory, StartedEndpoint
from harness.conformance.scenario import MAIN_LANE, Scenario
from harness.conformance.state import LaneAccess, declarative_state
from harness.conformance.subject_form import ASKED_FORMS
from harness.targets.fake_ingest import IngestPlace
from harness.targets.target import Target

_WORKERS = {"emulator": 4, "docker": 2, "url": 1}
#: What is required where it is not said: the emulator does as it is told, of any other it is not known.
_FORMS: Mapping[str, AskedForm] = {"emulator": "username", "docker": "auto", "url": "auto"}
_OWN: Mapping[str, tuple[str, ...]] = {"predict": ("docker", "url"), "subject_form": TARGETS}
_OF_TARGET = {**OF_TARGET, **_OWN}

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Chosen:
    """A target as asked for: how to make it and its endpoint, how many side by side, the words that ask for it.

    ``profile`` is the one asked for, or else that of the gateway's version. ``subject_form`` is the form in which its
    events must name Consumers.
    """

    make_target: Callable[[], Target]
    make_endpoint: Callable[[], StartedEndpoint]
    workers: int
    profile: str
    words: tuple[str, ...] = ()
    make_predictor: PredictorFactory | None = None
    logs: GatewayLogs | None = None
    subject_form: AskedForm = "username"


def target_options(command: _Command) -> _Command:
    """Give a command the options; it takes them as ``**deployment``."""
    predict = click.option(
        "--predict", is_flag=True, help="docker, url: show what differs from the emulator, given the same traffic."
    )
    subject_form = click.option(
        "--subject-form",
        type=click.Choice(ASKED_FORMS),
        help="How events name Consumers: by username, as consumer:ID, or either throughout (username; else auto).",
    )
    return deployment_options(predict(subject_form(command)))


def choose(
    target: str, profile: str | None, given: Mapping[str, Any], scenarios: Sequence[Scenario]
) -> Chosen | None:
    """Return the target asked for; None when a configuration was written instead, for the user to apply.

    Raises UsageError for options that do not fit, CannotContinue.
    """
    asked = asked_for(target, given, _OWN)
    deployment = choose_deployment(target, profile, asked, lambda place, port: _standing(scenarios, place, port))
    if deployment is None:
        return None
    return Chosen(
        deployment.make_target,
        lambda: _endpoint(deployment),
        _WORKERS[target],
        deployment.profile,
        words(asked),
        _predictor(deployment.profile, asked),
        deployment.logs,
        asked.get("subject_form", _FORMS[target]),
    )


def _predictor(profile: str, asked: Mapping[str, Any]) -> PredictorFactory | None:
    if not asked.get("predict"):
        return None
    from harness.targets.emulator import EmulatorTarget

    return lambda form: EmulatorTarget(profile, subject_form=form)


def _standing(scenarios: Sequence[Scenario], place: IngestPlace, upstream_port: int) -> StandingWish:
    """Return the configuration that most of the scenarios need."""
    from harness.targets.echo_upstream import with_upstream
    from harness.targets.gateway_url import comparable
    from harness.targets.standing_configuration import LANE, new_token

    endpoint = f"http://{place.host}:{place.port}/lane/{LANE}/v3/openmeter/events"
    access = {MAIN_LANE: LaneAccess(endpoint, "", new_token())}
    states = [declarative_state(one, access, "standing") for one in scenarios if _stands(one)]
    if not states:
        raise click.UsageError("none of these scenarios can be run with one configuration alone")
    (commonest, count), *_ = Counter(map(comparable, states)).most_common(1)
    state = next(state for state in states if comparable(state) == commonest)
    return StandingWish(
        with_upstream(state, place.host.strip("[]"), upstream_port, balanced=True),
        f"It is the configuration for {count} of these scenarios; the others will be skipped.",
    )


def _stands(scenario: Scenario) -> bool:
    steps_fit = not any(step.of_the_gateway for step in scenario.steps)
    led_by_configuration = scenario.profile.endpoint_option is None
    return scenario.kind == "traffic" and steps_fit and led_by_configuration and set(scenario.lanes) == {MAIN_LANE}


def _endpoint(deployment: Deployment) -> StartedEndpoint:
    from harness.targets.fake_ingest import FakeIngest
    from harness.targets.standing_configuration import StandingLane

    ingest = FakeIngest(deployment.place)
    lanes = ingest.start()
    if deployment.standing is None:
        return StartedEndpoint(lanes, ingest.stop)
    return StartedEndpoint(StandingLane(lanes, deployment.standing.token), ingest.stop, lanes)
