"""Judges an observation by a scenario's expectations. Written from the rules; knows nothing of any target."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.conformance.matching import (
    ABSENT,
    Difference,
    Setting,
    assign,
    event_differences,
    in_words,
    member,
    parse_time,
    value_differences,
)
from harness.conformance.observation import Answer, Arrived, Delivery, Observation, accepted_events
from harness.conformance.outcome import Failure
from harness.conformance.scenario import MAIN_LANE, Scenario, Step

#: Seconds by which a timer may run out early: gateways round theirs to milliseconds, and two clocks are compared.
TIMER_TOLERANCE = 0.005


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
        failures.extend(_events(scenario, seen, clock_tolerance))
    failures.extend(_deliveries(scenario, seen))
    failures.extend(_log(scenario, seen))
    failures.extend(_always(seen))
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
        yield Failure(scenario.rules, f"lint has no advice {rule!r}", received=", ".join(sorted(given)) or "none")
    for rule in sorted((given - wanted).elements()):
        yield Failure(scenario.rules, f"lint has advice that is not expected, {rule!r}")


def _refusal(scenario: Scenario, seen: Observation) -> Iterator[Failure]:
    words: Sequence[str] = scenario.expect.get("refused", ())
    if not words:
        yield Failure(scenario.rules, "the gateway refused the configuration", received=seen.refused)
    elif seen.refused is None:
        yield Failure(scenario.rules, "the gateway accepted a configuration it must refuse")
    else:
        missing = [word for word in words if word.lower() not in seen.refused.lower()]
        if missing:
            yield Failure(scenario.rules, f"the refusal does not mention {', '.join(missing)}", received=seen.refused)


def _answers(scenario: Scenario, seen: Observation) -> Iterator[Failure]:
    for step in scenario.steps:
        if step.path is None:
            continue
        answers = [answer for answer in seen.answers if answer.step == step.id]
        if len(answers) < step.repeat:
            yield Failure((), f"only {len(answers)} of {step.repeat} requests {step.id!r} were sent")
        for number, answer in enumerate(answers, 1):
            differences = [*_answer_differences(step, answer)]
            if differences:
                which = f"{step.id} ({number} of {step.repeat})" if step.repeat > 1 else step.id
                yield Failure((), f"the answer to {which!r} is not as it should be", differences, step=step.id)


def _answer_differences(step: Step, answer: Answer) -> Iterator[Difference]:
    response = step.response
    if answer.error is not None:
        yield Difference("answer", "an HTTP answer", answer.error)
        return
    yield from value_differences("status", response.get("status", 200), answer.status)
    for name, expected in response.get("headers", {}).items():
        yield from value_differences(f"header {name}", expected, answer.headers.get(name.lower(), ABSENT))
    if "body" in response:
        yield from value_differences("body", response["body"], answer.body)
    if "within" in response and answer.seconds > response["within"]:
        yield Difference("answer time", f"at most {response['within']} s", f"{answer.seconds:.3f} s")


def _events(scenario: Scenario, seen: Observation, clock_tolerance: float) -> Iterator[Failure]:
    expect = scenario.expect
    arrived = accepted_events(seen.deliveries)
    if "events" not in expect:
        if len(arrived) != expect["count"]:
            yield Failure((), f"{expect['count']} events expected, {len(arrived)} accepted by the ingest endpoint")
        return
    wanted = [event for event in expect["events"] for _ in range(event.get("times", 1))]
    settings = [_setting(event, seen, clock_tolerance) for event in wanted]

    def compare(index: int, candidate: Arrived, named: Mapping[str, Any] | None) -> list[Difference]:
        event, setting = wanted[index], settings[index]
        if event.get("lane", MAIN_LANE) != candidate.delivery.lane:
            lane = Difference("ingest endpoint", event.get("lane", MAIN_LANE), candidate.delivery.lane)
            return [lane, *event_differences(_without_references(event), candidate.event, setting)]
        if named is None:
            return [*event_differences(_without_references(event), candidate.event, setting)]
        return [*event_differences(event, candidate.event, replace(setting, named=named))]

    if expect.get("in_order"):
        pairs: list[int | None] = [index if index < len(arrived) else None for index in range(len(wanted))]
    else:
        costs = [[len(compare(index, one, None)) for one in arrived] for index in range(len(wanted))]
        pairs = assign(costs)
    named = {
        event["name"]: arrived[pair].event
        for event, pair in zip(wanted, pairs, strict=True)
        if "name" in event and pair is not None
    }

    def missing(index: int) -> Failure:
        event = wanted[index]
        if not arrived:
            return Failure((), "an event is missing", expected=event, step=event.get("of"))
        nearest = min(arrived, key=lambda one: len(compare(index, one, named)))
        text = "an event is missing; the nearest that arrived is counted for another"
        return Failure((), text, compare(index, nearest, named), event, nearest.event, step=event.get("of"))

    nearest_free = [index for index in range(len(arrived)) if index not in pairs]
    for index, (event, pair) in enumerate(zip(wanted, pairs, strict=True)):
        if pair is None:
            yield missing(index)
            continue
        differences = compare(index, arrived[pair], named)
        if differences:
            yield Failure(
                (), "an event is not as expected", differences, event, arrived[pair].event, step=event.get("of")
            )
    for index in nearest_free:
        culprit = _dropped_step(scenario, seen, arrived[index].event)
        text = f"request {culprit!r} must make no event, and made one" if culprit else "an event too many"
        yield Failure((), text, received=arrived[index].event, step=culprit)
    yield from _uniqueness(wanted, arrived)
    for step, reason in _not_dropped(scenario, seen):
        yield Failure((), f"exchange {step!r} must be dropped: {reason}", step=step)


def _setting(event: Mapping[str, Any], seen: Observation, clock_tolerance: float) -> Setting:
    return Setting(seen.window(event["of"]) if "of" in event else None, clock_tolerance)


def _without_references(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the expectation without ``same_as``, which can be judged only once events are paired."""

    def plain(value: Any) -> bool:
        return not (isinstance(value, Mapping) and "same_as" in value)

    kept = {key: value for key, value in event.items() if key == "data" or plain(value)}
    if "data" in kept and not event.get("only"):
        kept["data"] = {key: value for key, value in event["data"].items() if plain(value)}
    elif "data" in kept:
        kept["data"] = {key: value if plain(value) else {"present": True} for key, value in event["data"].items()}
    return kept


def _dropped_step(scenario: Scenario, seen: Observation, event: Mapping[str, Any]) -> str | None:
    """Return the request a surplus event is of, judged by its time, if that is one that must be dropped."""
    try:
        at, _ = parse_time(str(event.get("time")))
    except ValueError:
        return None
    nearest: tuple[float, str] | None = None
    for step in {answer.step for answer in seen.answers}:
        start, end = seen.window(step) or (at, at)
        distance = max(start - at, at - end, 0.0)
        if nearest is None or distance < nearest[0]:
            nearest = (distance, step)
    return nearest[1] if nearest and nearest[1] in scenario.expect.get("dropped", ()) else None


def _not_dropped(scenario: Scenario, seen: Observation) -> Iterator[tuple[str, str]]:
    if scenario.kind == "exchanges":
        for step in scenario.expect.get("dropped", ()):
            if step not in seen.dropped:
                yield step, "the pipeline does not report it dropped"


def _uniqueness(wanted: Sequence[Mapping[str, Any]], arrived: Sequence[Arrived]) -> Iterator[Failure]:
    paths = {name for event in wanted for name, value in event.items() if _is_unique(value)}
    for event in wanted:
        paths |= {f"data.{name}" for name, value in event.get("data", {}).items() if _is_unique(value)}
    for path in sorted(paths):
        counts = Counter(str(member(one.event, path)) for one in arrived)
        for value, count in counts.items():
            if count > 1:
                difference = Difference(path, "different in every event", f"{value!r} in {count} events")
                yield Failure((), f"{path} is not unique", [difference])


def _is_unique(value: Any) -> bool:
    return isinstance(value, Mapping) and "unique" in value


def _deliveries(scenario: Scenario, seen: Observation) -> Iterator[Failure]:
    expect = scenario.expect
    sizes = [len(delivery.events) for delivery in seen.deliveries]
    if "batches" in expect and sizes != expect["batches"]:
        difference = Difference("batch sizes", str(expect["batches"]), str(sizes))
        yield Failure((), "the events did not arrive in the expected batches", [difference])
    if "max_batch" in expect and max(sizes, default=0) > expect["max_batch"]:
        difference = Difference("largest batch", f"at most {expect['max_batch']}", str(max(sizes)))
        yield Failure((), "a batch is too large", [difference])
    if "connections" in expect:
        used = len({delivery.connection for delivery in seen.deliveries if delivery.connection is not None})
        differences = [*value_differences("connections", expect["connections"], used)]
        if differences:
            yield Failure((), "connections to the ingest endpoint", differences)
    if "first_delivery" in expect and seen.deliveries:
        differences = [*_delivery_differences(expect["first_delivery"], seen.deliveries[0], seen)]
        if differences:
            yield Failure((), "the first delivery is not as expected", differences)
    if "deliveries" not in expect:
        return
    wanted: Sequence[Mapping[str, Any]] = expect["deliveries"]
    if len(seen.deliveries) != len(wanted):
        yield Failure((), f"{len(wanted)} deliveries expected, {len(seen.deliveries)} arrived")
    for number, (expected, delivery) in enumerate(zip(wanted, seen.deliveries, strict=False), 1):
        differences = [*_delivery_differences(expected, delivery, seen)]
        if differences:
            yield Failure((), f"delivery {number} is not as expected", differences)


def _delivery_differences(expected: Mapping[str, Any], delivery: Delivery, seen: Observation) -> Iterator[Difference]:
    checks = {
        "lane": delivery.lane,
        "entries": len(delivery.events),
        "body": delivery.shape,
        "content_type": (delivery.content_type or "").partition(";")[0].strip().lower() or ABSENT,
        "method": delivery.method,
        "path": delivery.path,
    }
    for name, received in checks.items():
        if name in expected:
            yield from value_differences(name, expected[name], received)
    subjects = [event.get("subject") for event in delivery.events]
    if "subjects" in expected and subjects != expected["subjects"]:
        yield Difference("subjects", str(expected["subjects"]), str(subjects))
    if "repeats" in expected:
        earlier = next((one for one in seen.deliveries if one.number == expected["repeats"]), None)
        if earlier is None or earlier.body != delivery.body:
            ids = [event.get("id") for event in delivery.events]
            before = [event.get("id") for event in earlier.events] if earlier else "nothing"
            words = f"the bytes of delivery {expected['repeats']} (ids {before})"
            yield Difference("body", words, f"other bytes (ids {ids})")
    if "after_previous" in expected:
        previous = next((one for one in seen.deliveries if one.number == delivery.number - 1), None)
        gap = ABSENT if previous is None else round(delivery.at - previous.at, 6)
        yield from value_differences("seconds since the delivery before", _tolerant(expected["after_previous"]), gap)
    if "after_request" in expected:
        bounds = {key: value for key, value in expected["after_request"].items() if key != "of"}
        window = seen.window(expected["after_request"]["of"])
        gap = ABSENT if window is None else round(delivery.at - window[0], 6)
        yield from value_differences(
            f"seconds since request {expected['after_request']['of']}", _tolerant(bounds), gap
        )


def _tolerant(bounds: Any) -> Any:
    """Return a lower bound as the clocks allow for; an upper one is the scenario's own, which has to leave room."""
    if isinstance(bounds, Mapping) and "at_least" in bounds:
        return {**bounds, "at_least": round(bounds["at_least"] - TIMER_TOLERANCE, 6)}
    return bounds


def _log(scenario: Scenario, seen: Observation) -> Iterator[Failure]:
    for wanted in scenario.expect.get("log", ()):
        pattern = re.compile(wanted["matches"], re.IGNORECASE)
        count = sum(pattern.search(line) is not None for line in seen.log)
        what = f"log lines like /{wanted['matches']}/"
        differences = [*value_differences(what, wanted.get("times", {"at_least": 1}), count)]
        if differences:
            yield Failure((), "the gateway's log is not as expected", differences)


def _always(seen: Observation) -> Iterator[Failure]:
    """Yield what no delivery may ever be, whatever the scenario is about."""
    reported: set[tuple[str, str]] = set()
    first: dict[tuple[str, Any, Any], tuple[Mapping[str, Any], int]] = {}
    for delivery in seen.deliveries:
        for rule, sentence in delivery.complaints:
            if (rule, sentence) not in reported:
                reported.add((rule, sentence))
                yield Failure((rule,), f"delivery {delivery.number}: {sentence}")
        for event in delivery.events:
            yield from _empty_values(event, reported)
            key = (delivery.lane, event.get("source"), event.get("id"))
            known = first.setdefault(key, (event, delivery.number))
            if known[0] != event:
                where = f"deliveries {known[1]} and {delivery.number}"
                text = f"{where} have two different events with id {event.get('id')!r}"
                yield Failure(("EVT-3",), text, expected=known[0], received=event)


def _empty_values(event: Mapping[str, Any], reported: set[tuple[str, str]]) -> Iterator[Failure]:
    data = event.get("data")
    for name, value in data.items() if isinstance(data, Mapping) else ():
        if (value is None or value == "") and ("EVT-6", name) not in reported:
            reported.add(("EVT-6", name))
            yield Failure(("EVT-6",), f"data.{name} is {in_words(value)} where it must be absent", received=event)
