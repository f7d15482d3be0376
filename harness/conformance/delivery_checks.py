"""Judges what reached the ingest endpoint: how the requests came, and what none of them may ever be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.conformance.arrival_form import FORMS, ArrivalForm, identity_of
from harness.conformance.check_catalogue import Check
from harness.conformance.matching import ABSENT, Difference, in_words, value_differences
from harness.conformance.observation import Delivery, Observation
from harness.conformance.outcome import Failure
from harness.conformance.scenario import Scenario

#: Seconds by which a timer may run out early: gateways round theirs to milliseconds, and two clocks are compared.
TIMER_TOLERANCE = 0.005
#: Rules that any scenario with arrivals of their form may find broken, whatever it is about.
RULES_OF_ANY_SCENARIO = frozenset(rule for form in FORMS.values() for rule in form.rules_anywhere)


def delivery_failures(scenario: Scenario, seen: Observation) -> Iterator[Failure]:
    """Yield how the requests to the ingest endpoint are not as ``scenario`` expects."""
    expect = scenario.expect
    sizes = [len(delivery.events) for delivery in seen.deliveries]
    if "batches" in expect and sizes != expect["batches"]:
        difference = Difference("batch sizes", str(expect["batches"]), str(sizes), Check.DELIVERY_BATCHES)
        yield Failure((), "the events did not arrive in the expected batches", [difference])
    if "max_batch" in expect and max(sizes, default=0) > expect["max_batch"]:
        words = f"at most {expect['max_batch']}"
        difference = Difference("largest batch", words, str(max(sizes)), Check.DELIVERY_MAX_BATCH)
        yield Failure((), "a batch is too large", [difference])
    if "connections" in expect:
        used = len({delivery.connection for delivery in seen.deliveries if delivery.connection is not None})
        wanted_connections = expect["connections"]
        differences = [*value_differences("connections", wanted_connections, used, check=Check.DELIVERY_CONNECTIONS)]
        if differences:
            yield Failure((), "connections to the ingest endpoint", differences)
    if "first_delivery" in expect and seen.deliveries:
        differences = [*_delivery_differences(scenario.form, expect["first_delivery"], seen.deliveries[0], seen)]
        if differences:
            yield Failure((), "the first delivery is not as expected", differences)
    if "deliveries" not in expect:
        return
    wanted: Sequence[Mapping[str, Any]] = expect["deliveries"]
    if len(seen.deliveries) != len(wanted):
        text = f"{len(wanted)} deliveries expected, {len(seen.deliveries)} arrived"
        yield Failure((), text, check=Check.DELIVERY_COUNT)
    for number, (expected, delivery) in enumerate(zip(wanted, seen.deliveries, strict=False), 1):
        differences = [*_delivery_differences(scenario.form, expected, delivery, seen)]
        if differences:
            yield Failure((), f"delivery {number} is not as expected", differences)


def _delivery_differences(
    form: ArrivalForm, expected: Mapping[str, Any], delivery: Delivery, seen: Observation
) -> Iterator[Difference]:
    for name, received, check in (
        ("entries", len(delivery.events), Check.DELIVERY_ENTRIES),
        ("body", delivery.shape, Check.DELIVERY_BODY),
        ("path", delivery.path, Check.DELIVERY_PATH),
    ):
        if name in expected:
            yield from value_differences(name, expected[name], received, check=check)
    subjects = [event.get(form.whom) for event in delivery.events]
    if "subjects" in expected and subjects != expected["subjects"]:
        yield Difference(form.customers, str(expected["subjects"]), str(subjects), Check.DELIVERY_SUBJECTS)
    if "repeats" in expected:
        earlier = next((one for one in seen.deliveries if one.number == expected["repeats"]), None)
        if earlier is None or earlier.body != delivery.body:
            ids = [form.name_of(event) for event in delivery.events]
            before = [form.name_of(event) for event in earlier.events] if earlier else "nothing"
            words = f"the bytes of delivery {expected['repeats']} (ids {before})"
            yield Difference("body", words, f"other bytes (ids {ids})", Check.DELIVERY_REPEATS)
    if "after_previous" in expected:
        previous = next((one for one in seen.deliveries if one.number == delivery.number - 1), None)
        gap = ABSENT if previous is None else round(delivery.at - previous.at, 6)
        bounds = _tolerant(expected["after_previous"])
        what = "seconds since the delivery before"
        yield from value_differences(what, bounds, gap, check=Check.DELIVERY_AFTER_PREVIOUS)
    if "after_request" in expected:
        bounds = {key: value for key, value in expected["after_request"].items() if key != "of"}
        window = seen.window(expected["after_request"]["of"])
        gap = ABSENT if window is None else round(delivery.at - window[0], 6)
        what = f"seconds since request {expected['after_request']['of']}"
        yield from value_differences(what, _tolerant(bounds), gap, check=Check.DELIVERY_AFTER_REQUEST)


def _tolerant(bounds: Any) -> Any:
    """Return a lower bound as the clocks allow for; an upper one is the scenario's own, which has to leave room."""
    if isinstance(bounds, Mapping) and "at_least" in bounds:
        return {**bounds, "at_least": round(bounds["at_least"] - TIMER_TOLERANCE, 6)}
    return bounds


def failures_in_any_scenario(form: ArrivalForm, seen: Observation) -> Iterator[Failure]:
    """Yield what no delivery of ``form`` may ever be, whatever the scenario is about."""
    reported: set[tuple[str, str]] = set()
    first: dict[tuple[str, ...], tuple[Mapping[str, Any], int]] = {}
    for delivery in seen.deliveries:
        for rule, sentence in delivery.complaints:
            if (rule, sentence) not in reported:
                reported.add((rule, sentence))
                check = Check.INGEST_REQUEST if rule == form.request_rule else Check.INGEST_EVENT
                yield Failure((rule,), f"delivery {delivery.number}: {sentence}", check=check)
        for event in delivery.events:
            if form.empty_rule is not None:
                yield from _empty_values(form, form.empty_rule, event, reported)
            known = first.setdefault((delivery.lane, *identity_of(event)), (event, delivery.number))
            if known[0] != event:
                where = f"deliveries {known[1]} and {delivery.number}"
                text = f"{where} have two different {form.noun}s with id {form.name_of(event)!r}"
                rules = (form.identity_rule,)
                yield Failure(rules, text, expected=known[0], received=event, check=Check.EVENT_CHANGED)


def _empty_values(
    form: ArrivalForm, rule: str, event: Mapping[str, Any], reported: set[tuple[str, str]]
) -> Iterator[Failure]:
    data = event.get(form.fields)
    for name, value in data.items() if isinstance(data, Mapping) else ():
        if (value is None or value == "") and (rule, name) not in reported:
            reported.add((rule, name))
            text = f"{form.fields}.{name} is {in_words(value)} where it must be absent"
            yield Failure((rule,), text, received=event, check=Check.EVENT_EMPTY)
