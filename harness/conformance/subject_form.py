"""How events name Consumers: by username, or by their id with a prefix (SPEC SUB-1, SUB-4).

Scenario files give the username; here is what stands for it in the other form, and which form a run has seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args
from urllib.parse import parse_qsl

from harness.conformance.applicability import plugins_of
from harness.conformance.check_catalogue import Check
from harness.conformance.observation import Arrived
from harness.conformance.outcome import WORST_FIRST, AskedForm, Failure, ScenarioFinished, SubjectForm
from harness.conformance.scenario import MAIN_LANE, Scenario
from harness.conformance.state import METERING, consumer_id, consumers_of

ASKED_FORMS: tuple[AskedForm, ...] = get_args(AskedForm)
#: The rule about the form of subjects, which a run that sees both breaks.
RULE = "SUB-1"

#: Subjects as a scenario file writes them, with what they are in the form ``prefixed-id``.
Names = Mapping[str, str]
_MATCHERS = ("equals", "not", "one_of")


def prefixed_names(scenario: Scenario) -> dict[str, dict[str, str]]:
    """Return by lane the subjects that have two forms: those a plugin without ``subject.field`` finds there.

    What another plugin of the lane can find too, in a header say, is left out: it has one form then.
    """
    names: dict[str, dict[str, str]] = {}
    for lane, plugins in _metering_plugins(scenario).items():
        literal = {value for plugin in plugins for value in _literal_values(scenario, plugin)}
        found = {name: other for plugin in plugins for name, other in _two_forms(scenario, plugin)}
        names[lane] = {name: other for name, other in found.items() if name not in literal}
    return names


def ambiguous_subject(scenario: Scenario) -> str | None:
    """Return why the scenario can be judged by usernames alone, or None.

    That is when it expects a subject which may be a Consumer's name or what a request carries.
    """
    for lane, plugins in _metering_plugins(scenario).items():
        literal = {value for plugin in plugins for value in _literal_values(scenario, plugin)}
        doubtful = literal & {name for plugin in plugins for name, _ in _two_forms(scenario, plugin)}
        for name in sorted(doubtful.intersection(_expected(scenario, lane))):
            return (
                f"expects the subject {name!r}, which is both a Consumer's name and what a request carries: "
                "it can be told which only with --subject-form username"
            )
    return None


def in_form(scenario: Scenario, form: SubjectForm) -> Scenario:
    """Return the scenario with the subjects that it expects in ``form``."""
    if form == "username":
        return scenario
    names = prefixed_names(scenario)
    every = {name: other for lane in names.values() for name, other in lane.items()}
    expect = dict(scenario.expect)
    if "events" in expect:
        expect["events"] = [_renamed(event, names.get(_lane(event), {})) for event in expect["events"]]

    def of_delivery(entry: Mapping[str, Any]) -> dict[str, Any]:
        return _renamed(entry, names.get(_lane(entry), {}) if "lane" in entry else every)

    if "deliveries" in expect:
        expect["deliveries"] = [of_delivery(delivery) for delivery in expect["deliveries"]]
    if "first_delivery" in expect:
        expect["first_delivery"] = of_delivery(expect["first_delivery"])
    return replace(scenario, expect=expect)


def forms_seen(scenario: Scenario, arrived: Iterable[Arrived]) -> dict[SubjectForm, str]:
    """Return the forms in which events name Consumers and applications, in order, each with the first subject."""
    names = prefixed_names(scenario)
    seen: dict[SubjectForm, str] = {}
    for one in arrived:
        subject = one.event.get("subject")
        lane = names.get(one.delivery.lane, {})
        if not isinstance(subject, str):
            continue
        if subject in lane:
            seen.setdefault("username", subject)
        elif subject in lane.values():
            seen.setdefault("prefixed-id", subject)
    return seen


def mixed_forms(seen: Mapping[SubjectForm, str]) -> Iterator[Failure]:
    """Yield a failure when one scenario saw both forms."""
    if len(seen) > 1:
        subjects = " and ".join(repr(subject) for subject in seen.values())
        yield Failure((RULE,), f"Consumers are named in two forms: {subjects}", check=Check.SUBJECT_FORM)


@dataclass(slots=True)
class FormsOfRun:
    """Requires one form throughout a run: the first scenario that saw another than the first one did breaks SUB-1.

    Scenarios are to be given in an order of their own, whichever came to its end first.
    """

    _first: dict[SubjectForm, Scenario] = field(default_factory=dict)

    def judged(self, scenario: Scenario, finished: ScenarioFinished) -> tuple[ScenarioFinished, Sequence[Scenario]]:
        """Return the verdict with this taken into account, and the scenarios that it needs to be seen again."""
        told = [(form, subject) for form, subject in finished.subject_forms.items() if form not in self._first]
        before = dict(self._first)
        self._first.update((form, scenario) for form, _ in told)
        if not before or not told:
            return finished, ()
        (form, subject), *_ = told
        known, first = next(iter(before.items()))
        message = (
            f"scenario {scenario.id} saw Consumers named in the form {form} ({subject!r}), "
            f"scenario {first.id} in the form {known}: a gateway has one form"
        )
        verdict = min(finished.verdict, finished.if_unsettled, key=WORST_FIRST.index)
        failures = [*finished.failures, Failure((RULE,), message, check=Check.SUBJECT_FORM)]
        return replace(finished, verdict=verdict, failures=failures), (first, scenario)


def _metering_plugins(scenario: Scenario) -> dict[str, list[Mapping[str, Any]]]:
    by_lane: dict[str, list[Mapping[str, Any]]] = {}
    for plugin in plugins_of(scenario):
        if plugin.get("name") == METERING:
            by_lane.setdefault(_lane(plugin), []).append(plugin)
    return by_lane


def _lane(entry: Mapping[str, Any]) -> str:
    return str(entry.get("lane", MAIN_LANE))


def _source(plugin: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return where a plugin looks the subject up, and the field that it is told."""
    subject = plugin.get("config", {}).get("subject", {})
    return subject.get("look_up_value_in", "consumer"), subject.get("field")


def _two_forms(scenario: Scenario, plugin: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the subjects in both forms that a plugin finds, if its subjects have two."""
    source, told = _source(plugin)
    if told is not None:
        return
    if source == "consumer":
        for consumer in _consumers(scenario):
            if consumer.get("username"):
                yield consumer["username"], f"consumer:{consumer_id(consumer)}"
    elif source == "application":
        for entry in scenario.exchanges:
            application = entry["exchange"].get("application") or {}
            if application.get("id"):
                yield application["id"], f"app:{application['id']}"


def _literal_values(scenario: Scenario, plugin: Mapping[str, Any]) -> Iterator[str]:
    """Yield the subjects that a plugin may find and that have one form: what is in requests, or in a field."""
    source, told = _source(plugin)
    if told is None:
        return
    if source == "header":
        headers = (header for step in scenario.steps for header in step.headers)
        yield from (value.strip() for name, value in headers if name.lower() == told.lower())
    elif source == "query":
        parameters = (one for step in scenario.steps for one in parse_qsl(step.query or ""))
        yield from (value for name, value in parameters if name == told)
    elif source == "consumer":
        yield from (str(consumer[told]) for consumer in _consumers(scenario) if consumer.get(told))


def _expected(scenario: Scenario, lane: str) -> Iterator[str]:
    """Yield the subjects that the scenario expects on a lane."""
    expect = scenario.expect
    yield from (name for event in expect.get("events", ()) if _lane(event) == lane for name in _words(event))
    for delivery in (*expect.get("deliveries", ()), expect.get("first_delivery", {})):
        if "lane" not in delivery or _lane(delivery) == lane:
            yield from _words(delivery)


def _words(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield the subjects of an expected event or delivery, those in matchers too."""
    waiting = [entry.get("subject"), entry.get("subjects")]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, Mapping):
            waiting.extend(one for matcher, one in value.items() if matcher in _MATCHERS)


def _consumers(scenario: Scenario) -> Iterator[Mapping[str, Any]]:
    if scenario.kind != "exchanges":
        yield from consumers_of(scenario)
    for entry in scenario.exchanges:
        if entry["exchange"].get("consumer"):
            yield entry["exchange"]["consumer"]


def _renamed(entry: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """Return an expected event or delivery with its subjects in the prefixed form."""
    renamed = dict(entry)
    for member in ("subject", "subjects"):
        if member in renamed:
            renamed[member] = _translated(renamed[member], names)
    return renamed


def _translated(value: Any, names: Names) -> Any:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list):
        return [_translated(one, names) for one in value]
    if isinstance(value, Mapping):
        return {key: _translated(one, names) if key in _MATCHERS else one for key, one in value.items()}
    return value
