"""The quick yes is never wider than the strict schema, says yes to what is usual, and changes no decision."""

from __future__ import annotations

import copy
import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.ingest.cloudevents.api import EITHER
from harness.ingest.cloudevents.event_schema import EventSchema
from harness.ingest.cloudevents.quick_yes import QuickYes
from harness.ingest.core import IngestCore, IngestSettings
from harness.ingest.messages import IngestRequest

STRICT = EventSchema()
API: dict[str, Any] = {
    "specversion": "1.0",
    "id": "5c10fade-1c9e-4d6c-8275-c52c36731d3c",
    "source": "kong",
    "type": "kong.api_request",
    "subject": "alice",
    "time": "2026-01-01T01:01:01.001Z",
    "datacontenttype": "application/json",
    "dataschema": "https://example.com/schema",
    "data": {"request_method": "GET", "upstream_status": 200, "tenant": "acme", "x-é team": "a"},
}
LLM: dict[str, Any] = {**API, "id": "llm-1", "type": "kong.llm_request", "data": {"tokens": 12, "type": "request"}}

members = st.sampled_from([*API, "traceparent", "Id", "i\u0064"])
fields = st.sampled_from(["upstream_status", "route_name", "tokens", "model", "type", "tenant", "x-é team", "unmet"])
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63, -(2**63) - 1, 1.0, 2.5, 1e300, "", "x", "1.0", "é", "\x00", "kong", "two words", "a:b"]),
    st.sampled_from(["kong.api_request", "kong.llm_request", "kong.other", "application/json", "text/plain"]),
    st.sampled_from(["2026-02-30T00:00:00Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00Z"]),
    st.sampled_from(
        ["2026-01-01T00:00:00+0100", "2016-12-31T23:59:60Z", "2026-01-01t00:00:00.5-00:00", "0000-01-01"]
    ),
    st.text(max_size=4),
    st.lists(st.integers(), max_size=2),
)


@st.composite
def mutated_events(draw: st.DrawFn) -> dict[str, Any]:
    """An event of either type with a few members of envelope and data changed or gone."""
    event = copy.deepcopy(draw(st.sampled_from([API, LLM])))
    for member, value in draw(st.lists(st.tuples(members, values), max_size=2)):
        event[member] = value
    for member in draw(st.sets(members, max_size=1)):
        event.pop(member, None)
    if isinstance(event.get("data"), dict):
        for field, value in draw(st.lists(st.tuples(fields, values), max_size=2)):
            event["data"][field] = value
    return event


def taught(*events: Any) -> QuickYes:
    quick = QuickYes()
    quick.learn(events or (API, LLM))
    return quick


TAUGHT = taught()


def is_valid(body: bytes) -> bool:
    """What JSON parser and jsonschema say."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return all(
        not list(STRICT._thorough.iter_errors(event)) for event in (data if isinstance(data, list) else [data])
    )


@given(st.lists(mutated_events(), max_size=3) | mutated_events())
@settings(max_examples=1000, deadline=None)
def test_a_quick_yes_is_a_yes_of_jsonschema(body: Any) -> None:
    sent = json.dumps(body, ensure_ascii=False).encode()
    if TAUGHT.events(sent) is not None:
        assert is_valid(sent)


@given(mutated_events(), st.data())
@settings(max_examples=300, deadline=None)
def test_members_given_twice_make_the_yes_no_wider(event: dict[str, Any], data: st.DataObject) -> None:
    """JSON parsers take the last of several; the quick yes wants every one of them right."""
    twice = data.draw(st.lists(st.tuples(members, values), min_size=1, max_size=2))
    pairs = data.draw(st.permutations([*event.items(), *twice]))
    sent = ("{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs) + "}").encode()
    if TAUGHT.events(sent) is not None:
        assert is_valid(sent)


PIECES = st.sampled_from(
    [b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\x00", b"\n", b'"', b",", b"}", b"]", b"1e999", b"01", b""]
)


@given(
    st.sampled_from([API, LLM, [API, LLM]]), st.integers(0, 1000), st.integers(0, 3), PIECES | st.binary(max_size=2)
)
@settings(max_examples=1000, deadline=None)
def test_bytes_put_anywhere_into_a_body_make_the_yes_no_wider(body: Any, at: int, cut: int, piece: bytes) -> None:
    sent = json.dumps(body).encode()
    at %= len(sent) + 1
    sent = sent[:at] + piece + sent[at + cut :]
    if TAUGHT.events(sent) is not None:
        assert is_valid(sent)


def without(event: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in names}


@pytest.mark.parametrize(
    "body",
    [
        API,
        [API, LLM],
        [],
        [without(API, "time", "data"), API | {"time": None, "data": None}],
        [LLM | {"data": {"tenant": "b", "tokens": -1}}],
        [API | {"data": {"tokens": "an attribute of this name"}}],
    ],
)
def test_a_valid_body_with_members_it_has_met_gets_a_yes(body: Any) -> None:
    events = taught(API, LLM, API | {"data": {"tokens": "x"}}).events(json.dumps(body).encode())
    expected = body if isinstance(body, list) else [body]
    assert events is not None
    assert [(event.id, event.source, event.subject) for event in events] == [
        (event["id"], event["source"], event["subject"]) for event in expected
    ]


@pytest.mark.parametrize("unmet", [{"time": "2026-01-01T00:00:00Z"}, {"data": {"team": "a"}}])
def test_a_member_it_has_not_met_takes_a_closer_look_once(unmet: dict[str, Any]) -> None:
    quick = QuickYes()
    event = without(API, "time", "datacontenttype", "dataschema", "data") | unmet
    sent = orjson.dumps(event)
    assert quick.events(sent) is None
    quick.learn([event])
    assert quick.events(sent) is not None


def test_it_keeps_no_more_than_128_fields_in_mind() -> None:
    quick = taught()
    many = API | {"data": {f"attribute {number}": "x" for number in range(125)}}
    quick.learn([many])
    assert quick.events(orjson.dumps(many)) is None
    assert quick.events(orjson.dumps([API, LLM])) is not None


def test_an_attribute_whose_name_is_hard_to_write_is_left_to_others() -> None:
    event = API | {"data": {'a"b\\c\n': "x"}}
    quick = taught(event)
    assert quick.events(orjson.dumps(event)) is None
    assert IngestCore().receive(request(event)).count("accepted") == 1


def request(body: Any) -> IngestRequest:
    headers = (("Authorization", "Bearer x"), ("Content-Type", EITHER))
    return IngestRequest("POST", "/events", headers, orjson.dumps(body))


def test_events_parsed_later_are_those_of_the_body() -> None:
    endpoint = IngestCore()
    assert list(endpoint.receive(request([API, LLM])).events) == [API, LLM]
    again = endpoint.receive(request([LLM, API]))
    assert (len(again.events), again.events[0], list(again.events)) == (2, LLM, [LLM, API])
    assert list(endpoint.receive(request(API)).events) == [API]


bodies = st.lists(mutated_events(), max_size=3) | mutated_events()


@given(st.lists(bodies, max_size=4), st.booleans())
@settings(max_examples=200, deadline=None)
def test_an_endpoint_decides_the_same_with_and_without_the_quick_yes(sent: list[Any], lenient: bool) -> None:
    """``thorough`` does without it; everything a client or a reader of the capture sees is the same."""
    quick, slow = (IngestCore(IngestSettings(lenient=lenient, thorough=thorough)) for thorough in (False, True))
    for endpoint in (quick, slow):
        endpoint.receive(request([API, LLM]))
    for body in [*sent, [API, LLM | {"id": "new"}], API | {"subject": "unknown"}]:
        try:
            given = request(body)
        except TypeError:  # integers that this JSON writer does not write
            continue
        one, other = quick.receive(given), slow.receive(given)
        assert (one.answer, list(one.verdicts), one.findings) == (other.answer, list(other.verdicts), other.findings)
        assert list(one.events) == list(other.events)
        assert list(one.keys) == list(other.keys)
