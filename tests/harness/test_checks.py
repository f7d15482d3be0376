"""The checks of the suite: each finds what it is for, by itself, and nothing where all is well."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness.ingest
from harness.conformance import checks, traces
from harness.conformance.check_catalogue import Check
from harness.conformance.delivery_checks import RULES_OF_ANY_SCENARIO
from harness.conformance.observation import Answer, Delivery, Observation
from harness.conformance.outcome import Failure, SubjectForm
from harness.conformance.scenario import parse_scenario
from harness.conformance.subject_form import mixed_forms

TRAFFIC = """\
id: everything
title: A scenario that expects whatever can be expected
rules: [DLV-1]
plugin: {name: metering-and-billing, config: {}}
lanes: {second: [{status: 202}]}
traffic:
  - {id: one, path: /a, response: {status: 200, within: 1, headers: {x-kept: "yes"}, body: hello}}
  - {id: two, path: /b}
expect:
  in_order: true
  events:
    - name: first
      of: one
      subject: acme
      time: {between: [request.start, request.end]}
      only: true
      data:
        equal: 1
        other: {not: 2}
        there: {present: true}
        missing: {absent: true}
        text: {matches: "a+"}
        typed: {type: integer}
        number: {at_least: 1}
        key: {unique: true}
    - {of: two, lane: second, subject: globex, data: {key: {unique: true}, same: {same_as: first.data.equal}}}
  batches: [1, 1]
  max_batch: 1
  connections: 1
  log: [{matches: warned}]
  deliveries:
    - {entries: 1, subjects: [acme], body: object, path: /events, after_request: {of: one, at_least: 1}}
    - {after_previous: {at_least: 1}}
"""

EXCHANGES = """\
id: finished
title: A finished request that makes no event is reported
rules: [DRP-4]
plugin: {name: metering-and-billing, config: {}}
exchanges:
  - {id: kept, exchange: {request: {}, response: {status: 200}}}
  - {id: out, exchange: {request: {}, response: {status: 200}}}
expect: {events: [{of: kept, subject: acme}], dropped: [out]}
"""

RETRY = """\
id: retried
title: A retry repeats what was sent
rules: [RET-4]
plugin: {name: metering-and-billing, config: {}}
traffic: [{id: one, path: /a}]
expect: {events: [{of: one, subject: acme}], deliveries: [{entries: 1}, {repeats: 1}]}
"""

REFUSED = """\
id: refused
title: A configuration that must be refused
rules: [CFG-1]
plugin: {name: metering-and-billing, config: {}}
expect: {refused: [endpoint]}
"""

ADVICE = """\
id: advised
title: A configuration on which lint has advice
rules: [CND-6]
plugin: {name: metering-and-billing, config: {}}
expect: {advice: [one-rule]}
"""

VIRTUAL = """\
id: virtual
title: One entry is retried and one is lost
rules: [RET-1]
simulate: {queue: {}, arrivals: [{t: 0, id: e1, bytes: 1}], ingest: [{status: 202, duration: 0}]}
expect:
  tries: [{t: 0, entries: [e1], status: 500}, {t: 0.1, entries: [e1], status: 202}]
  delivered: [{id: e1, t: 0.1}]
  lost: [{id: e2, t: 0.2, reason: gave_up}]
  peak_entries: 1
  ended_at: 0.2
"""

DATA = {"equal": 1, "other": 1, "there": 1, "text": "aa", "typed": 1, "number": 1, "key": "k1"}


def event_of(subject: str, data: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    return {"source": "s", "id": subject, "subject": subject, "time": "1970-01-01T00:00:10Z", "data": data, **members}


def delivery_of(number: int, at: float, *events: Mapping[str, Any], **changes: Any) -> Delivery:
    given: dict[str, Any] = {"path": "/events", "connection": "c1", **changes}
    body = json.dumps(events)
    return Delivery(number, at, 202, "object", "application/cloudevents+json", body, events, True, **given)


def observation(**changes: Any) -> Observation:
    """What is seen when all is as TRAFFIC expects."""
    given: dict[str, Any] = {
        "answers": [
            Answer("one", 10.0, 10.5, 0.5, 200, {"x-kept": "yes"}, "hello"),
            Answer("two", 12.0, 12.5, 0.5, 200),
        ],
        "deliveries": [
            delivery_of(1, 11.5, event_of("acme", DATA)),
            delivery_of(2, 13.0, event_of("globex", {"key": "k2", "same": 1}), lane="second"),
        ],
        "log": ["it warned"],
    }
    return Observation(**{**given, **changes})


def with_first(**changes: Any) -> Callable[[], Observation]:
    """The first delivery is another."""

    def make() -> Observation:
        seen = observation()
        seen.deliveries[0] = replace(seen.deliveries[0], **changes)
        return seen

    return make


def with_data(**changes: Any) -> Callable[[], Observation]:
    """The data of the first event is another; None takes a field away."""
    data = {name: value for name, value in {**DATA, **changes}.items() if value is not None}
    return with_first(events=(event_of("acme", data),))


def with_answer(**changes: Any) -> Callable[[], Observation]:
    def make() -> Observation:
        seen = observation()
        seen.answers[0] = replace(seen.answers[0], **changes)
        return seen

    return make


def with_second_event(subject: str = "globex", **changes: Any) -> Callable[[], Observation]:
    def make() -> Observation:
        seen = observation()
        event = event_of(subject, {"key": "k2", "same": 1, **changes})
        seen.deliveries[1] = replace(seen.deliveries[1], events=(event,))
        return seen

    return make


def out_of_order() -> Observation:
    """The second event is there before the first; the deliveries are as large and as far apart as ever."""
    first, second = event_of("acme", DATA), event_of("globex", {"key": "k2", "same": 1})
    return observation(
        deliveries=[delivery_of(1, 11.5, second, lane="second"), delivery_of(2, 13.0, first)],
    )


def retried(second: Mapping[str, Any], body: str | None = None) -> Observation:
    first = delivery_of(1, 11.0, event_of("acme", {"n": 1}))
    again = delivery_of(2, 12.0, second)
    return Observation([Answer("one", 10, 11, 1, 200)], [first, replace(again, body=body or again.body)])


SAME = event_of("acme", {"n": 1})
KEPT = [Delivery(1, 11.0, None, "array", None, "", [event_of("acme", {})], True)]

#: By check: the scenario, and what is seen that this check alone objects to.
FOUND: Mapping[Check, tuple[str, Callable[[], Observation]]] = {
    Check.CONFIG_ACCEPTED: (TRAFFIC, lambda: Observation(refused="no")),
    Check.CONFIG_REFUSED: (REFUSED, Observation),
    Check.CONFIG_REASON: (REFUSED, lambda: Observation(refused="no")),
    Check.ADVICE_MISSING: (ADVICE, Observation),
    Check.ADVICE_SURPLUS: (ADVICE, lambda: Observation(advice=["one-rule", "another"])),
    Check.TRAFFIC_WAIT: (TRAFFIC, lambda: observation(waited_for={"deliveries": 3})),
    Check.ANSWER_STATUS: (TRAFFIC, with_answer(status=500)),
    Check.ANSWER_HEADERS: (TRAFFIC, with_answer(headers={})),
    Check.ANSWER_BODY: (TRAFFIC, with_answer(body="")),
    Check.ANSWER_WITHIN: (TRAFFIC, with_answer(seconds=1.5)),
    Check.EVENT_MISSING: (EXCHANGES, lambda: Observation(dropped={"out": "why"})),
    Check.EVENT_SURPLUS: (
        EXCHANGES,
        lambda: Observation(
            deliveries=[*KEPT, replace(KEPT[0], events=[event_of("other", {})])], dropped={"out": "why"}
        ),
    ),
    Check.EVENT_DROPPED: (EXCHANGES, lambda: Observation(deliveries=KEPT)),
    Check.EVENT_ORDER: (TRAFFIC[: TRAFFIC.index("  deliveries:")], out_of_order),
    Check.EVENT_LANE: (TRAFFIC, with_first(lane="second")),
    Check.EVENT_ONLY: (TRAFFIC, with_data(leak="x")),
    Check.EVENT_EMPTY: (TRAFFIC, with_second_event(other=None)),
    Check.EVENT_CHANGED: (RETRY, lambda: retried(event_of("acme", {"n": 2}), json.dumps([SAME]))),
    Check.FIELD_EQUAL: (TRAFFIC, with_second_event("initech")),
    Check.FIELD_NOT: (TRAFFIC, with_data(other=2)),
    Check.FIELD_PRESENT: (TRAFFIC, with_data(there=None)),
    Check.FIELD_ABSENT: (
        TRAFFIC.replace("      only: true\n", ""),
        with_data(missing="x"),
    ),
    Check.FIELD_MATCHES: (TRAFFIC, with_data(text="b")),
    Check.FIELD_TYPE: (TRAFFIC, with_data(typed="1")),
    Check.FIELD_BOUNDS: (TRAFFIC, with_data(number=0)),
    Check.FIELD_TIME: (TRAFFIC, with_first(events=(event_of("acme", DATA, time="1970-01-01T00:00:20Z"),))),
    Check.FIELD_SAME: (TRAFFIC, with_second_event(same=2)),
    Check.FIELD_UNIQUE: (TRAFFIC, with_data(key="k2")),
    Check.DELIVERY_COUNT: (
        RETRY,
        lambda: replace_deliveries(retried(SAME), lambda two: [*two, replace(two[1], number=3)]),
    ),
    Check.DELIVERY_BATCHES: (
        TRAFFIC.replace("batches: [1, 1]", "batches: [2, 1]"),
        observation,
    ),
    Check.DELIVERY_MAX_BATCH: (
        TRAFFIC.replace("batches: [1, 1]", "batches: [1, 2]"),
        lambda: replace_deliveries(observation(), lambda two: [two[0], replace(two[1], events=[*two[1].events] * 2)]),
    ),
    Check.DELIVERY_CONNECTIONS: (TRAFFIC, with_first(connection="c2")),
    Check.DELIVERY_ENTRIES: (TRAFFIC.replace("- {entries: 1,", "- {entries: 2,"), observation),
    Check.DELIVERY_SUBJECTS: (TRAFFIC.replace("subjects: [acme]", "subjects: [globex]"), observation),
    Check.DELIVERY_BODY: (TRAFFIC, with_first(shape="array")),
    Check.DELIVERY_PATH: (TRAFFIC, with_first(path="/other")),
    Check.DELIVERY_REPEATS: (RETRY, lambda: retried(SAME, "other bytes")),
    Check.DELIVERY_AFTER_PREVIOUS: (TRAFFIC, with_first(at=12.5)),
    Check.DELIVERY_AFTER_REQUEST: (TRAFFIC, with_first(at=10.5)),
    Check.INGEST_REQUEST: (TRAFFIC, with_first(complaints=[("DLV-1", "no token")])),
    Check.INGEST_EVENT: (TRAFFIC, with_first(complaints=[("EVT-1", "no id")])),
    Check.LOG: (TRAFFIC, lambda: observation(log=[])),
}

TRACE: Mapping[str, Any] = {
    "tries": [
        {"t": 0.0, "entries": ["e1"], "status": 500, "duration": 0},
        {"t": 0.1, "entries": ["e1"], "status": 202, "duration": 0},
    ],
    "delivered": [{"id": "e1", "t": 0.1}],
    "lost": [{"id": "e2", "t": 0.2, "reason": "gave_up"}],
    "peak_entries": 1,
    "ended_at": 0.2,
}
FOUND_IN_TRACES: Mapping[Check, Mapping[str, Any]] = {
    Check.TRACE_TRIES: {"tries": TRACE["tries"][:1]},
    Check.TRACE_TIMES: {"tries": [TRACE["tries"][0], {**TRACE["tries"][1], "t": 0.2}]},
    Check.TRACE_DELIVERED: {"delivered": []},
    Check.TRACE_LOST: {"lost": [{**TRACE["lost"][0], "reason": "too_large"}]},
    Check.TRACE_PEAK: {"peak_entries": 2},
    Check.TRACE_END: {"ended_at": 0.3},
}

#: A client whose retries wait as chance has it, and that may hold up requests.
BY_CHANCE = """\
id: by-chance
title: Retries whose waits have bounds, and nobody held up
rules: [AMB-9]
simulate:
  plugin: amberflo
  client: later
  arrivals: [{t: 0, id: e1}]
  ingest: [{status: 500, duration: 0}]
expect:
  held_up: [{id: e9, t: 1, until: 2}]
  waits: [{shortest: {at_least: 0.1}, mean: {between: [0.1, 0.2]}, longest: {at_most: 0.2}}]
"""
HELD_UP = [{"id": "e9", "t": 1, "until": 2.0}]
FOUND_BY_CHANCE: Mapping[Check, Sequence[Mapping[str, Any]]] = {
    Check.TRACE_WAITS: (
        {"tries": [TRACE["tries"][0], {**TRACE["tries"][1], "t": 0.3}]},
        {"tries": [TRACE["tries"][0], {**TRACE["tries"][1], "t": 0.05}]},
        {"tries": [{**TRACE["tries"][0], "duration": 0.05}, TRACE["tries"][1]]},
        {"tries": TRACE["tries"][:1]},
        {"tries": [*TRACE["tries"], {**TRACE["tries"][1], "t": 0.2}]},
    ),
    Check.TRACE_HELD_UP: (
        {"held_up": []},
        {"held_up": [*HELD_UP, {**HELD_UP[0], "id": "e10"}]},
        {"held_up": [{**HELD_UP[0], "until": 2.1}]},
        {"held_up": [{**HELD_UP[0], "t": 0}]},
    ),
}


def replace_deliveries(seen: Observation, change: Callable[[list[Delivery]], list[Delivery]]) -> Observation:
    seen.deliveries = change(seen.deliveries)
    return seen


def found(failures: list[Failure]) -> set[Check]:
    return {check for failure in failures for check in failure.checks}


def test_what_is_as_expected_fails_no_check() -> None:
    assert checks.judge(parse_scenario(TRAFFIC), observation()) == []
    assert checks.judge(parse_scenario(EXCHANGES), Observation(deliveries=KEPT, dropped={"out": "why"})) == []
    assert checks.judge(parse_scenario(RETRY), retried(SAME)) == []
    assert checks.judge(parse_scenario(REFUSED), Observation(refused="the endpoint is no URL")) == []
    assert checks.judge(parse_scenario(ADVICE), Observation(advice=["one-rule"])) == []
    assert traces.judge_trace(parse_scenario(VIRTUAL), TRACE) == []


@pytest.mark.parametrize("check", FOUND)
def test_each_check_finds_what_it_is_for_and_no_other_check_does(check: Check) -> None:
    text, seen = FOUND[check]
    failures = checks.judge(parse_scenario(text), seen())
    assert found(failures) == {check}, failures
    assert all(failure.rules for failure in failures)


@pytest.mark.parametrize("check", FOUND_IN_TRACES)
def test_each_check_of_virtual_time_finds_what_it_is_for_and_no_other_check_does(check: Check) -> None:
    failures = traces.judge_trace(parse_scenario(VIRTUAL), {**TRACE, **FOUND_IN_TRACES[check]})
    assert found(failures) == {check}, failures


@pytest.mark.parametrize("check", FOUND_BY_CHANCE)
def test_each_check_of_a_client_finds_what_it_is_for_and_no_other_check_does(check: Check) -> None:
    scenario, trace = parse_scenario(BY_CHANCE), {"tries": TRACE["tries"], "held_up": HELD_UP}
    assert traces.judge_trace(scenario, trace) == []
    for change in FOUND_BY_CHANCE[check]:
        failures = traces.judge_trace(scenario, {**trace, **change})
        assert found(failures) == {check}, failures


def test_the_check_of_names_finds_two_forms_in_a_scenario_and_nothing_in_one() -> None:
    forms: dict[SubjectForm, str] = {"username": "alice"}
    assert list(mixed_forms(forms)) == []
    assert found(mixed_forms({**forms, "prefixed-id": "consumer:1"})) == {Check.SUBJECT_FORM}


def test_there_is_no_check_that_finds_nothing() -> None:
    assert FOUND.keys() | FOUND_IN_TRACES.keys() | FOUND_BY_CHANCE.keys() | {Check.SUBJECT_FORM} == set(Check)


def test_a_client_without_an_answer_is_told_with_the_reason() -> None:
    (failure,) = checks.judge(parse_scenario(TRAFFIC), with_answer(status=None, error="reset by peer")())
    assert failure.checks == {Check.ANSWER_STATUS}
    assert failure.differences[0].received == "'no answer: reset by peer'"


def test_events_that_fit_each_others_place_are_in_order() -> None:
    """Three events of which two are alike: whichever is held against which, the list is kept to."""
    text = (
        TRAFFIC[: TRAFFIC.index("expect:")]
        + "expect: {in_order: true, events: [{subject: a, times: 2}, {subject: b}]}"
    )
    events = [event_of("a", {}, id="1"), event_of("a", {}, id="2"), event_of("b", {}, id="3")]
    seen = observation(deliveries=[delivery_of(1, 11, *events)])
    assert checks.judge(parse_scenario(text), seen) == []
    seen = observation(deliveries=[delivery_of(1, 11, events[0], events[2], events[1])])
    assert found(checks.judge(parse_scenario(text), seen)) == {Check.EVENT_ORDER}


@given(st.lists(st.sampled_from("abc"), max_size=6), st.data())
def test_events_are_out_of_order_exactly_when_their_sequence_is_another(
    subjects: list[str], data: st.DataObject
) -> None:
    came = data.draw(st.permutations(subjects))
    expected = ", ".join(f"{{subject: {subject}}}" for subject in subjects)
    text = TRAFFIC[: TRAFFIC.index("expect:")] + f"expect: {{in_order: true, events: [{expected}]}}"
    events = [event_of(subject, {}, id=str(number)) for number, subject in enumerate(came)]
    seen = observation(deliveries=[delivery_of(1, 11, *events)])
    assert found(checks.judge(parse_scenario(text), seen)) == (set() if came == subjects else {Check.EVENT_ORDER})


def test_a_missing_event_does_not_count_as_disorder() -> None:
    text = (
        TRAFFIC[: TRAFFIC.index("expect:")]
        + "expect: {in_order: true, events: [{subject: a}, {subject: b}, {subject: c}]}"
    )
    seen = observation(deliveries=[delivery_of(1, 11, event_of("a", {}), event_of("c", {}))])
    assert found(checks.judge(parse_scenario(text), seen)) == {Check.EVENT_MISSING}


def test_whatever_rule_the_ingest_endpoint_may_name_is_known_as_one_of_any_scenario() -> None:
    sources = [file.read_text() for file in Path(next(iter(harness.ingest.__path__))).rglob("*.py")]
    named = {rule for source in sources for rule in re.findall(r'"([A-Z]{3}-[0-9]+)"', source)}
    assert named
    assert named <= RULES_OF_ANY_SCENARIO


def test_the_page_of_the_self_check_shows_for_each_check_a_mutant_that_it_alone_kills() -> None:
    page = (Path(__file__).parents[2] / "docs" / "self-check.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z._]+)` \| [^|]+ \| [0-9]+ \| ([0-9]+) \| `", page, re.MULTILINE)
    assert [name for name, _ in rows] == [check.value for check in Check]
    assert all(int(alone) > 0 for _, alone in rows)
